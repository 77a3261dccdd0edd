/**
 * A body in the form that programs mostly write: one long text, or a batch of them, with nothing beside. It is found by its quotes, so
 * that the letters between them are looked at once, by what decodes them. The grammar takes nothing that JSON.parse would refuse or read
 * in another way, as long as the text itself is base64 (or base64 behind a prefix without `"` and `\`); all else is for JSON.parse.
 */

export interface PlainBody {
  readonly isBatch: boolean;
  /** Where each text begins and ends, in pairs. */
  readonly bounds: readonly number[];
}

const QUOTE = '"'.charCodeAt(0);
const SPACE = ' '.charCodeAt(0);
const COMMA = ','.charCodeAt(0);
const OPEN = '{'.charCodeAt(0);
const CLOSE = '}'.charCodeAt(0);
const BATCH = Buffer.from('{"batch_input":');
const NAMES = { plaintext: Buffer.from('"plaintext":'), ciphertext: Buffer.from('"ciphertext":') } as const;
const LIST_OPEN = '['.charCodeAt(0);
const LIST_CLOSE = ']'.charCodeAt(0);

/** Walks a body. Each step answers whether it was there; behind a step that was not, the walk is over. */
class Walk {
  readonly #body: Buffer;
  readonly bounds: number[] = [];
  #at = 0;

  constructor(body: Buffer) {
    this.#body = body;
  }

  /** After `:` and `,` some writers leave a space. */
  space(): void {
    if (this.#body[this.#at] === SPACE) this.#at += 1;
  }

  byte(wanted: number): boolean {
    if (this.#body[this.#at] !== wanted) return false;
    this.#at += 1;
    return true;
  }

  word(wanted: Buffer): boolean {
    for (let i = 0; i < wanted.length; i++) if (this.#body[this.#at + i] !== wanted[i]) return false;
    this.#at += wanted.length;
    return true;
  }

  /** An object of this one member. */
  item(name: Buffer): boolean {
    if (!this.byte(OPEN) || !this.word(name)) return false;
    this.space();
    if (!this.byte(QUOTE)) return false;
    const end = this.#body.indexOf(QUOTE, this.#at);
    if (end < 0) return false;
    this.bounds.push(this.#at, end);
    this.#at = end + 1;
    return this.byte(CLOSE);
  }

  items(name: Buffer, max: number): boolean {
    for (let left = max; left > 0; left--) {
      if (!this.item(name)) return false;
      if (!this.byte(COMMA)) return true;
      this.space();
    }
    return false;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#body.length;
  }
}

/** null: not this plain, or more than `max` items. */
export function readPlainBody(body: Buffer, field: keyof typeof NAMES, max: number): PlainBody | null {
  const walk = new Walk(body);
  const name = NAMES[field];
  const isBatch = walk.word(BATCH);
  const isRead = isBatch ? readBatch(walk, name, max) : walk.item(name);
  return isRead && walk.isAtEnd ? { isBatch, bounds: walk.bounds } : null;
}

function readBatch(walk: Walk, name: Buffer, max: number): boolean {
  walk.space();
  return walk.byte(LIST_OPEN) && walk.items(name, max) && walk.byte(LIST_CLOSE) && walk.byte(CLOSE);
}
