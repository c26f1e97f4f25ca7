// What a token request asks for, as the authorization server reads it.
import { diffieHellman, generateKeyPairSync } from "node:crypto";
import { bytes32, fromBase64url } from "./encoding.mjs";
import { publicKey, thumbprint } from "./jose.mjs";

const PRIVATE = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const CURVES = { "P-256": 32, "P-384": 48, "P-521": 66, X25519: 32, X448: 56 };

class Refused extends Error {}

/** Return the error code for the body of the answer, or null. */
export function judgeKeyRequest({ dsk, dpop_sym: parameter }, proofJwk) {
  try {
    const claimed = dsk === null ? null : readClaim(dsk);
    if (parameter !== null) {
      const names = parameter.split(" ");
      if (claimed !== null && names.join(" ") !== claimed.join(" ")) {
        return "invalid_request";
      }
    }
    checkKey(dsk?.jwk ?? proofJwk);
    return null;
  } catch (error) {
    return error instanceof Refused ? error.message : "invalid_dpop_proof";
  }
}

function readClaim(dsk) {
  if (!Array.isArray(dsk.algs) || !dsk.algs.length) throw new Error("algs");
  if (!dsk.algs.every((name) => typeof name === "string")) throw new Error("algs");
  if (!["boolean", "undefined"].includes(typeof dsk.must)) throw new Error("must");
  if ("n" in dsk && "k_jwe" in dsk) throw new Refused("invalid_request");
  if ("n" in dsk) bytes32(dsk.n);
  return dsk.algs;
}

function checkKey(jwk) {
  if (JSON.stringify(jwk).length > 4096) throw new Error("too long");
  if (PRIVATE.some((name) => name in jwk)) throw new Error("private");
  if ((jwk.use ?? "enc") !== "enc") throw new Error("use");
  if (jwk.kty === "RSA") return checkRsa(jwk);
  const length = CURVES[jwk.crv];
  if (length === undefined) throw new Error("curve");
  for (const name of jwk.kty === "EC" ? ["x", "y"] : ["x"]) {
    if (fromBase64url(jwk[name]).length !== length) throw new Error("length");
  }
  thumbprint(jwk);
  // A low-order point looks like any other until it is used.
  const own =
    jwk.kty === "EC"
      ? generateKeyPairSync("ec", { namedCurve: jwk.crv })
      : generateKeyPairSync(jwk.crv.toLowerCase());
  diffieHellman({ privateKey: own.privateKey, publicKey: publicKey(jwk) });
}

function checkRsa(jwk) {
  const [n, e] = [jwk.n, jwk.e].map((text) => BigInt(`0x${fromBase64url(text).toString("hex")}`));
  const [bits, exponentBits] = [n, e].map((number) => number.toString(2).length);
  if (bits < 2048 || bits > 4096 || !(n & 1n)) throw new Error("modulus");
  if (exponentBits < 17 || exponentBits > 32 || !(e & 1n)) throw new Error("exponent");
}
