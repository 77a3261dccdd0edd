/** Random bytes of a key service, which gives so many at a time: asked for in pieces, and checked for their number. */
import { SidekeyError } from '../errors.ts';

/** A request for more is refused before the service is asked: each piece is a call that costs. */
export const SERVICE_RANDOM_MAX = 1024;

export interface RandomSource {
  /** For messages. */
  readonly what: string;
  /** In one call. */
  readonly pieceMax: number;
  /** At least so many must be asked for; absent: one. */
  readonly pieceMin?: number;
  /** Rejects with provider_refused or provider_unreachable; null: the answer holds none. */
  readonly ask: (bytes: number) => Promise<Buffer | null>;
}

/** The caller wipes what comes. */
export async function takeRandom(source: RandomSource, bytes: number): Promise<Buffer> {
  const all = Buffer.alloc(bytes);
  for (let at = 0; at < bytes;) {
    const wanted = Math.min(source.pieceMax, bytes - at);
    const asked = Math.max(wanted, source.pieceMin ?? 1);
    const piece = await source.ask(asked);
    if (piece?.length !== asked) {
      for (const each of [piece, all]) each?.fill(0);
      throw new SidekeyError(
        'provider_unreachable',
        `${source.what}: the service returned ${piece?.length ?? 0} random bytes instead of ${asked}`,
      );
    }
    at += piece.copy(all, at, 0, wanted);
    piece.fill(0);
  }
  return all;
}
