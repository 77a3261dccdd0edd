/**
 * Takes one base64 field out of a JSON body without making a string of it: what remains can be parsed, quoted and logged. The
 * scanner looks for the field only; JSON.parse judges the rest.
 */
import { decodeBase64 } from './base64-bytes.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SLASH = 0x2f;
const COLON = 0x3a;
const COMMA = 0x2c;
const SMALL_U = 0x75;
const BLANK = 0x78;
const OPEN = new Set([0x7b, 0x5b]);
const CLOSE = new Set([0x7d, 0x5d]);
const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);

class Scanner {
  readonly #body: Buffer;
  at = 0;

  constructor(body: Buffer) {
    this.#body = body;
  }

  get byte(): number {
    return this.#body[this.at] ?? -1;
  }

  skipSpace(): void {
    while (SPACE.has(this.byte)) this.at++;
  }

  /** Is the next thing this byte? Then it is passed. */
  take(byte: number): boolean {
    this.skipSpace();
    if (this.byte !== byte) return false;
    this.at++;
    return true;
  }

  /** From behind the opening quote to before the closing one; null when there is no whole string. */
  string(): Buffer | null {
    if (!this.take(QUOTE)) return null;
    const start = this.at;
    while (this.at < this.#body.length && this.byte !== QUOTE) this.at += this.byte === BACKSLASH ? 2 : 1;
    if (this.byte !== QUOTE) return null;
    return this.#body.subarray(start, this.at++);
  }

  /** Passes any value. Depth is counted, not recursed into. */
  skipValue(): void {
    let depth = 0;
    do {
      this.skipSpace();
      if (this.byte === -1) return;
      if (this.byte === QUOTE) this.string();
      else {
        if (OPEN.has(this.byte)) depth++;
        if (CLOSE.has(this.byte)) depth--;
        this.at++;
      }
    } while (depth > 0 || !this.#isValueOver());
  }

  #isValueOver(): boolean {
    this.skipSpace();
    return this.byte === -1 || this.byte === COMMA || CLOSE.has(this.byte);
  }
}

/** The bytes of the string at this path of objects, as they stand in the body. */
function findString(body: Buffer, path: readonly string[]): Buffer | null {
  const scanner = new Scanner(body);
  for (const step of path) if (!enter(scanner, step)) return null;
  return scanner.string();
}

/** Goes to the value of one member of the object that comes next. */
function enter(scanner: Scanner, name: string): boolean {
  if (!scanner.take(0x7b)) return false;
  do {
    const key = scanner.string();
    if (!key || !scanner.take(COLON)) return false;
    if (key.equals(Buffer.from(name, 'utf8'))) return true;
    scanner.skipValue();
  } while (scanner.take(COMMA));
  return false;
}

/** Some encoders write "/" and "=" as escapes. In a Buffer of its own. */
function unescape(text: Buffer): Buffer {
  const plain = Buffer.alloc(text.length);
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const isEscape = text[i] === BACKSLASH;
    const isUnicode = isEscape && text[i + 1] === SMALL_U;
    if (isUnicode) plain[length++] = Number.parseInt(text.toString('latin1', i + 2, i + 6), 16);
    else plain[length++] = isEscape ? SLASH : (text[i] ?? 0);
    i += isUnicode ? 5 : Number(isEscape);
  }
  return plain.subarray(0, length);
}

/** The decoded field, which the caller wipes, and blanks where it stood; null when it is not there or no base64. */
export function takeSecret(body: Buffer, path: readonly string[]): Buffer | null {
  const text = findString(body, path);
  if (!text) return null;
  const plain = unescape(text);
  try {
    return decodeBase64(plain);
  } finally {
    plain.fill(0);
    text.fill(BLANK);
  }
}

/** `{"before":...,"field":"` + base64 + `","after":...}` as bytes. The caller wipes it. */
export function jsonWithSecret(
  others: Readonly<Record<string, unknown>>,
  field: string,
  secret: Buffer,
): Buffer {
  const rest = JSON.stringify(others).slice(1);
  return Buffer.concat([
    Buffer.from(`{${JSON.stringify(field)}:"`, 'utf8'),
    secret,
    Buffer.from(rest === '}' ? '"}' : `",${rest}`, 'utf8'),
  ]);
}

/** What a service said, as far as it is JSON; else null. Never for a body that still holds a secret. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return null;
  }
}

/** The value at a path of objects, or undefined. */
export function jsonAt(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (at, step) => (typeof at === 'object' && at !== null ? Reflect.get(at, step) : undefined),
    value,
  );
}

/** The text at a path of objects; empty when there is none. */
export function textAt(value: unknown, ...path: readonly string[]): string {
  const found = jsonAt(value, ...path);
  return typeof found === 'string' ? found : '';
}
