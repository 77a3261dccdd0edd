/**
 * Fuzz target of what a KMIP server sends: `node test/fuzz/ttlv-decoder.ts [MESSAGES [SECONDS]]` decodes random and mutated messages, so many at least and
 * for so long at least, and keeps what broke. Whatever the bytes are, the answer is an item that encodes to the same bytes, or a TtlvError; a payload, KmipResultError or KmipTransportError.
 */
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KmipResultError, KmipTransportError } from '../../src/providers/kmip/fault.ts';
import { decodeResponse } from '../../src/providers/kmip/message.ts';
import { OPERATION } from '../../src/providers/kmip/tables.ts';
import { decodeTtlv, encodeTtlv, messageLength, TtlvError } from '../../src/providers/kmip/ttlv.ts';

export const CORPUS = join(import.meta.dirname, 'corpus/ttlv-decoder');
const OPERATIONS = Object.values(OPERATION);
/** An answer is read in the same way whatever was asked; a few of them find what all do. */
const ASKED_AT_ONCE = 4;
/** Of the processor. Far more than the longest message takes; a decoder that hangs is as bad as one that crashes. */
const SLOW_US = 1_000_000;

function expects(work: () => unknown, ...errors: (new (...args: never[]) => Error)[]): void {
  try {
    work();
  } catch (error) {
    if (!errors.some((each) => error instanceof each)) throw error;
  }
}

/** Throws when the bytes were answered by anything else. */
export function decodeHostileMessage(bytes: Buffer, operations: readonly number[] = OPERATIONS): void {
  const begin = process.cpuUsage();
  expects(() => messageLength(bytes), TtlvError);
  expects(() => {
    const again = encodeTtlv(decodeTtlv(bytes));
    if (!again.equals(bytes)) throw new Error('it encodes to other bytes');
  }, TtlvError);
  for (const operation of operations)
    expects(() => decodeResponse(bytes, operation), KmipResultError, KmipTransportError);
  const { user, system } = process.cpuUsage(begin);
  if (user + system > SLOW_US) throw new Error(`${bytes.length} bytes took too long`);
}

/** Half of the changes fall on heads (tag, type, length), where they matter most. */
function mutateOnce(bytes: Buffer): void {
  const at = randomInt(bytes.length);
  const head = at - (at % 8);
  const place = randomInt(2) === 0 ? at : Math.min(bytes.length - 1, head + randomInt(8));
  bytes[place] = randomInt(3) === 0 ? (bytes[place] ?? 0) ^ (1 << randomInt(8)) : randomInt(256);
}

export function mutateMessage(seeds: readonly Buffer[]): Buffer {
  if (randomInt(10) === 0) return randomBytes(randomInt(128));
  const seed = seeds[randomInt(seeds.length)] ?? Buffer.alloc(0);
  const other = seeds[randomInt(seeds.length)] ?? Buffer.alloc(0);
  const cut = randomInt(seed.length + 1) & ~7;
  const spliced =
    randomInt(4) === 0 ? Buffer.concat([seed.subarray(0, cut), other.subarray(cut)]) : Buffer.from(seed);
  for (let i = randomInt(6); i > 0 && spliced.length > 0; i--) mutateOnce(spliced);
  return randomInt(6) === 0 ? spliced.subarray(0, randomInt(spliced.length + 1)) : spliced;
}

export function readSeeds(): Buffer[] {
  return readdirSync(CORPUS).map((name) => readFileSync(join(CORPUS, name)));
}

function keep(bytes: Buffer): void {
  const name = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  writeFileSync(join(CORPUS, `crash-${name}`), bytes);
}

/** Answers how many messages it were. */
export function fuzz(messages: number, seconds = 0): number {
  const seeds = readSeeds();
  const end = performance.now() + seconds * 1000;
  let i = 0;
  for (; i < messages || performance.now() < end; i++) {
    const bytes = mutateMessage(seeds);
    try {
      const first = randomInt(OPERATIONS.length);
      decodeHostileMessage(bytes, OPERATIONS.slice(first, first + ASKED_AT_ONCE));
    } catch (error) {
      keep(bytes);
      throw error;
    }
  }
  return i;
}

if (import.meta.main) {
  const [messages = 1_000_000, seconds = 0] = process.argv.slice(2).map(Number);
  const begin = performance.now();
  const done = fuzz(messages, seconds);
  console.log(`${done} messages in ${Math.round((performance.now() - begin) / 1000)} s, nothing found`);
}
