/**
 * The heads of one connection's requests. A client says the same head again and again: those bytes, seen once more, are what they were
 * before, and are not parsed again.
 */
import type { HotCall, HotRoutes } from './hot-routes.ts';
import { parseHead } from './request-head.ts';

export interface ReadHead {
  /** With the empty line. */
  readonly length: number;
  readonly call: HotCall;
  readonly bodyBytes: number;
}

interface KnownHead extends ReadHead {
  readonly bytes: Buffer;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const STARTS = ['POST /v1/', 'PUT /v1/'] as const;
/** A longer one is not remembered: each connection has one. */
const KNOWN_MAX = 1024;

function startsWith(held: Buffer, bytes: Buffer): boolean {
  const { length } = bytes;
  return held.length >= length && held.compare(bytes, 0, length, 0, length) === 0;
}

export class HeadReader {
  readonly #hot: HotRoutes;
  readonly #headMax: number;
  readonly #bodyMax: number;
  #known: KnownHead | null = null;

  constructor(hot: HotRoutes, limits: { readonly hotHeadBytes: number; readonly hotBodyBytes: number }) {
    this.#hot = hot;
    this.#headMax = limits.hotHeadBytes;
    this.#bodyMax = limits.hotBodyBytes;
  }

  /** Of the request that `held` begins with. null: not for us. */
  read(held: Buffer): ReadHead | 'more' | null {
    const known = this.#known;
    if (known === null || !startsWith(held, known.bytes)) return this.#parse(held);
    return { ...known, call: { ...known.call, startedAt: performance.now() } };
  }

  #parse(held: Buffer): ReadHead | 'more' | null {
    const start = held.toString('latin1', 0, STARTS[0].length);
    const end = held.subarray(0, this.#headMax).indexOf(HEAD_END);
    if (!STARTS.some((each) => start.startsWith(each))) return null;
    if (end < 0) return held.length < this.#headMax ? 'more' : null;
    const head = parseHead(held.toString('latin1', 0, end));
    const call = head === null ? null : this.#hot.find(head.method, head.path, head.contentType);
    if (head === null || call === null || head.bodyBytes > this.#bodyMax) return null;
    const found = { length: end + HEAD_END.length, call, bodyBytes: head.bodyBytes };
    this.#remember(held, found);
    return found;
  }

  #remember(held: Buffer, head: ReadHead): void {
    this.forget();
    if (head.length <= KNOWN_MAX)
      this.#known = { ...head, bytes: Buffer.from(held.subarray(0, head.length)) };
  }

  /** It may hold a token that is one elsewhere. */
  forget(): void {
    this.#known?.bytes.fill(0);
    this.#known = null;
  }
}
