/**
 * The heads of one connection's requests. A client says the same head again and again: those bytes, seen once more, are what they were
 * before, and are not parsed again.
 */
import type { HotCall, HotRoutes } from './hot-routes.ts';
import { bodyBytesOf } from './request-frame.ts';
import { parseHead } from './request-head.ts';

export interface ReadHead {
  /** With the empty line. */
  readonly length: number;
  /** null: the request is for node:http. */
  readonly call: HotCall | null;
  readonly bodyBytes: number;
}

interface HotHead extends ReadHead {
  readonly call: HotCall;
}

interface KnownHead extends HotHead {
  readonly bytes: Buffer;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const STARTS = ['GET /', 'POST /', 'PUT /', 'LIST /', 'DELETE /', 'HEAD /', 'PATCH /'] as const;
const START_MAX = Math.max(...STARTS.map((start) => start.length));
/** A longer one is not remembered: each connection has one. */
const KNOWN_MAX = 1024;

function startsWith(held: Buffer, bytes: Buffer): boolean {
  const { length } = bytes;
  return held.length >= length && held.compare(bytes, 0, length, 0, length) === 0;
}

/** Whether these bytes can be the beginning of a request. */
function mayBegin(held: Buffer): boolean {
  const text = held.toString('latin1', 0, START_MAX);
  return STARTS.some((start) => start.startsWith(text) || text.startsWith(start));
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

  /** Of the request that `held` begins with. null: the connection is for node:http. */
  read(held: Buffer): ReadHead | 'more' | null {
    const known = this.#known;
    if (known === null || !startsWith(held, known.bytes)) return this.#parse(held);
    return { ...known, call: { ...known.call, startedAt: performance.now() } };
  }

  #parse(held: Buffer): ReadHead | 'more' | null {
    const end = held.subarray(0, this.#headMax).indexOf(HEAD_END);
    if (end < 0) return held.length < this.#headMax && mayBegin(held) ? 'more' : null;
    const text = held.toString('latin1', 0, end);
    const length = end + HEAD_END.length;
    const hot = this.#parseHot(text, length);
    if (hot !== null) return this.#remember(held, hot);
    const bodyBytes = bodyBytesOf(text);
    return bodyBytes === null ? null : { length, call: null, bodyBytes };
  }

  #parseHot(text: string, length: number): HotHead | null {
    const head = parseHead(text);
    if (head === null || head.bodyBytes > this.#bodyMax) return null;
    const call = this.#hot.find(head.method, head.path, head.contentType);
    return call === null ? null : { length, call, bodyBytes: head.bodyBytes };
  }

  #remember(held: Buffer, head: HotHead): HotHead {
    this.forget();
    if (head.length <= KNOWN_MAX)
      this.#known = { ...head, bytes: Buffer.from(held.subarray(0, head.length)) };
    return head;
  }

  /** It may hold a token that is one elsewhere. */
  forget(): void {
    this.#known?.bytes.fill(0);
    this.#known = null;
  }
}
