/**
 * A body in the form that programs mostly write: one long text, or a batch of them, with nothing beside. It is found by its quotes, so
 * that the letters between them are looked at once, by what decodes them. The grammar takes nothing that JSON.parse would refuse or read
 * in another way, as long as the text itself is base64 (or base64 behind a prefix without `"` and `\`); all else is for JSON.parse.
 */

export interface PlainBody {
  readonly isBatch: boolean;
  readonly texts: readonly string[];
}

const BATCH = '{"batch_input":';

/** Walks a body. Each step answers whether it was there; behind a step that was not, the walk is over. */
class Walk {
  readonly #body: string;
  readonly texts: string[] = [];
  #at = 0;

  constructor(body: string) {
    this.#body = body;
  }

  /** After `:` and `,` some writers leave a space. */
  space(): void {
    if (this.#body[this.#at] === ' ') this.#at += 1;
  }

  word(wanted: string): boolean {
    if (!this.#body.startsWith(wanted, this.#at)) return false;
    this.#at += wanted.length;
    return true;
  }

  /** An object of this one member. */
  item(name: string): boolean {
    if (!this.word('{') || !this.word(name)) return false;
    this.space();
    if (!this.word('"')) return false;
    const end = this.#body.indexOf('"', this.#at);
    if (end < 0) return false;
    this.texts.push(this.#body.slice(this.#at, end));
    this.#at = end + 1;
    return this.word('}');
  }

  items(name: string, max: number): boolean {
    for (let left = max; left > 0; left--) {
      if (!this.item(name)) return false;
      if (!this.word(',')) return true;
      this.space();
    }
    return false;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#body.length;
  }
}

/** null: not this plain, or more than `max` items. A text of other letters than ASCII is not what was sent, and no base64 either. */
export function readPlainBody(body: Buffer, field: string, max: number): PlainBody | null {
  const walk = new Walk(body.toString('latin1'));
  const name = `"${field}":`;
  const isBatch = walk.word(BATCH);
  const isRead = isBatch ? readBatch(walk, name, max) : walk.item(name);
  return isRead && walk.isAtEnd ? { isBatch, texts: walk.texts } : null;
}

function readBatch(walk: Walk, name: string, max: number): boolean {
  walk.space();
  return walk.word('[') && walk.items(name, max) && walk.word(']') && walk.word('}');
}
