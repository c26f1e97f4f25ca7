// JSON as the profile reads it: one way to say a thing, and bounded work to read it.
// JSON.parse keeps the last of two members with one name, so it cannot be used.

const MAX_LEVELS = 16;
const MAX_STRUCTURAL = 256;
const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS = [["true", true], ["false", false], ["null", null]];

/** Return the object that UTF-8 bytes stand for, or throw. */
export function parseObject(bytes, { maxStructural = MAX_STRUCTURAL } = {}) {
  // A byte order mark is kept by ignoreBOM, and then is no JSON.
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const text = decoder.decode(bytes);
  if ((text.match(/[{}[\]:,]/g) ?? []).length > maxStructural) throw new Error("too much");
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.skip(SPACE);
  if (reader.position !== text.length) throw new Error("something behind");
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error("not an object");
  }
  return value;
}

/** A number as it was written: 7.0 and 7 are one number and two texts. */
export class Numeral {
  constructor(text) {
    this.text = text;
    this.number = Number(text);
    if (!Number.isFinite(this.number)) throw new Error("no double");
  }
  get isInteger() {
    return /^-?[0-9]+$/.test(this.text);
  }
}

class Reader {
  constructor(text) {
    this.text = text;
    this.position = 0;
  }

  skip(pattern) {
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.text);
    if (found === null) return null;
    this.position = pattern.lastIndex;
    return found[0];
  }

  take(character) {
    this.skip(SPACE);
    if (this.text[this.position] !== character) return false;
    this.position += 1;
    return true;
  }

  need(character) {
    if (!this.take(character)) throw new Error(`no ${character}`);
  }

  value(level) {
    if (this.take("{")) return this.object(level + 1);
    if (this.take("[")) return this.array(level + 1);
    if (this.text[this.position] === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (this.text.startsWith(word, this.position)) {
        this.position += word.length;
        return value;
      }
    }
    const number = this.skip(NUMBER);
    if (!number) throw new Error("no value");
    return new Numeral(number);
  }

  string() {
    this.skip(SPACE);
    const raw = this.skip(STRING);
    if (raw === null) throw new Error("no string");
    const text = JSON.parse(raw);
    if (!text.isWellFormed() || text.includes("\0")) throw new Error("no text");
    return text;
  }

  object(level) {
    if (level > MAX_LEVELS) throw new Error("too deep");
    const members = Object.create(null);
    if (this.take("}")) return members;
    do {
      const name = this.string();
      if (name in members) throw new Error("repeated");
      this.need(":");
      members[name] = this.value(level);
    } while (this.take(","));
    this.need("}");
    return members;
  }

  array(level) {
    if (level > MAX_LEVELS) throw new Error("too deep");
    const values = [];
    if (this.take("]")) return values;
    do values.push(this.value(level));
    while (this.take(","));
    this.need("]");
    return values;
  }
}
