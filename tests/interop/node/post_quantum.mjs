// A post-quantum client, and a server for it, on the packages of others. Each line of
// the input is a JSON array, the name of an operation and its arguments; the answer is
// a line of JSON, null where it is refused.
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { stdin, stdout } from "node:process";
import { createInterface } from "node:readline";
import { ml_dsa44, ml_dsa65, ml_dsa87 } from "@noble/post-quantum/ml-dsa.js";
import {
  AEAD_AES_256_GCM,
  KDF_SHAKE256,
  KEM_MLKEM768_X25519,
} from "@panva/hpke-noble";
import { CipherSuite } from "hpke";

const ML_DSA = { "ML-DSA-44": ml_dsa44, "ML-DSA-65": ml_dsa65, "ML-DSA-87": ml_dsa87 };
const suite = new CipherSuite(KEM_MLKEM768_X25519, KDF_SHAKE256, AEAD_AES_256_GCM);

const encode = (data) => Buffer.from(data).toString("base64url");
const decode = (text) => new Uint8Array(Buffer.from(text, "base64url"));
const segment = (value) => encode(JSON.stringify(value));
const parse = (text) => JSON.parse(Buffer.from(text, "base64url").toString());

const thumbprint = ({ alg, kty, pub }) =>
  createHash("sha256").update(JSON.stringify({ alg, kty, pub })).digest("base64url");

const keyOf = (alg, seed) => {
  const { publicKey, secretKey } = ML_DSA[alg].keygen(decode(seed));
  return { jwk: { kty: "AKP", alg, pub: encode(publicKey) }, secretKey };
};

const info = (enc) => Buffer.from(`JOSE-HPKE rcpt\xff${enc}\xff`, "latin1");

const OPERATIONS = {
  key({ alg, seed }) {
    const { jwk } = keyOf(alg, seed);
    return { jwk, jkt: thumbprint(jwk) };
  },

  sign({ alg, seed, claims }) {
    const { jwk, secretKey } = keyOf(alg, seed);
    const input = `${segment({ typ: "dpop+jwt", alg, jwk })}.${segment(claims)}`;
    return `${input}.${encode(ML_DSA[alg].sign(Buffer.from(input), secretKey))}`;
  },

  verify({ proof }) {
    const [header, payload, signature] = proof.split(".");
    const { alg, jwk } = parse(header);
    if (jwk.alg !== alg || jwk.kty !== "AKP" || "priv" in jwk) return null;
    const input = Buffer.from(`${header}.${payload}`);
    const good = ML_DSA[alg].verify(decode(signature), input, decode(jwk.pub));
    return good ? { jkt: thumbprint(jwk), claims: parse(payload) } : null;
  },

  async encrypt({ header, plaintext, jwk }) {
    const contentKey = randomBytes(32);
    const { encapsulatedSecret, ciphertext } = await suite.Seal(
      await suite.DeserializePublicKey(decode(jwk.pub)),
      contentKey,
      { info: info(header.enc) },
    );
    const members = { ...header, kid: thumbprint(jwk), ek: encode(encapsulatedSecret) };
    const iv = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", contentKey, iv);
    cipher.setAAD(Buffer.from(segment(members)));
    const text = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    const parts = [ciphertext, iv, text, cipher.getAuthTag()];
    return [segment(members), ...parts.map(encode)].join(".");
  },

  async decrypt({ jwe, priv }) {
    const [header, sealed, iv, text, tag] = jwe.split(".");
    const { enc, ek } = parse(header);
    const contentKey = await suite.Open(
      await suite.DeserializePrivateKey(decode(priv)),
      decode(ek),
      decode(sealed),
      { info: info(enc) },
    );
    const cipher = createDecipheriv("aes-256-gcm", new Uint8Array(contentKey), decode(iv));
    cipher.setAAD(Buffer.from(header)).setAuthTag(decode(tag));
    const plain = Buffer.concat([cipher.update(decode(text)), cipher.final()]);
    return { header: parse(header), plaintext: plain.toString() };
  },
};

async function answer(line) {
  const [name, values] = JSON.parse(line);
  try {
    return await OPERATIONS[name](values);
  } catch {
    return null;
  }
}

for await (const line of createInterface({ input: stdin })) {
  stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
