/**
 * Fuzz target of what the agent reads from a keeper: `node test/fuzz/agent-decoder.ts [SECONDS]` mutates the corpus and keeps what
 * broke. Whatever the bytes are, the answer is frames and values, or a SidekeyError.
 */
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SidekeyError } from '../../src/errors.ts';
import * as bodies from '../../src/keeper/bodies.ts';
import { FrameDecoder, type Frame } from '../../src/keeper/frame-decoder.ts';
import type { WireReader } from '../../src/wire/buffer.ts';
import { readOutcomes } from '../../src/keeper/operate-many.ts';
import { LIMITS, type MessageName } from '../../src/wire/tables.ts';

export const CORPUS = join(import.meta.dirname, 'corpus/agent-decoder');

const READERS: Partial<Record<MessageName, (reader: WireReader) => unknown>> = {
  attach: bodies.readAttached,
  mechanism_table: bodies.readMechanismTable,
  state: bodies.readState,
  client_opened: (reader) => bodies.readClientOpened(reader),
  client_refused: bodies.readClientRefused,
  client_list: (reader) => bodies.readPage(reader, (each) => bodies.readClientSeen(each)),
  cell_list: (reader) => bodies.readPage(reader, bodies.readCellSeen),
  use_ended: bodies.readUseEnded,
  usage: (reader) => bodies.readPage(reader, bodies.readUsageSeen),
  cell_generate: bodies.readMade,
  cell_encapsulate: bodies.readEncapsulated,
};

function readAll(frame: Frame): void {
  if (frame.message === 'cell_operate_many') readOutcomes(frame.body, LIMITS.manyMax);
  const read = READERS[frame.message];
  if (read) bodies.readBody(frame.body, read);
}

/** Throws when the bytes were answered by anything but values or a SidekeyError. */
export function decodeHostileBytes(bytes: Buffer, step: number): void {
  const decoder = new FrameDecoder();
  try {
    for (let at = 0; at < bytes.length; at += step)
      decoder.push(bytes.subarray(at, at + step)).forEach(readAll);
  } catch (error) {
    if (!(error instanceof SidekeyError)) throw error;
  }
}

export function mutate(seed: Buffer): Buffer {
  const bytes = Buffer.concat([seed, randomBytes(randomInt(8))]);
  for (let i = randomInt(1, 8); i > 0 && bytes.length > 0; i--)
    bytes[randomInt(bytes.length)] = randomInt(256);
  return randomInt(4) === 0 ? bytes.subarray(0, randomInt(bytes.length + 1)) : bytes;
}

export function readCorpus(): Buffer[] {
  return readdirSync(CORPUS).map((name) => readFileSync(join(CORPUS, name)));
}

function fuzz(seconds: number): void {
  const corpus = readCorpus();
  const end = Date.now() + seconds * 1000;
  for (let runs = 1; ; runs++) {
    const bytes = mutate(corpus[randomInt(corpus.length)] ?? Buffer.alloc(0));
    try {
      decodeHostileBytes(bytes, randomInt(1, 64));
    } catch (error) {
      writeFileSync(
        join(CORPUS, `crash-${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`),
        bytes,
      );
      throw error;
    }
    if (Date.now() > end) return console.log(`${runs} runs, nothing found`);
  }
}

if (import.meta.main) fuzz(Number(process.argv[2] ?? 10));
