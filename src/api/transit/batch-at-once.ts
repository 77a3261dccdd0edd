/**
 * A batch of encrypt/:name or decrypt/:name in its plainest form, with AES-GCM or ChaCha20-Poly1305: read from its texts into one buffer and written
 * from the outputs into another, without an object for each item. Where anything is unusual or wrong there is no answer: key-jobs.ts goes
 * through the items one by one, and says what.
 */
import { randomBytes } from 'node:crypto';
import { NONCE_BYTES, type Mechanism, type NoncedItems } from '../../tokens/ports.ts';
import type { NamedKey } from '../../tokens/service.ts';
import { writeDecoded } from '../base64.ts';
import { Refusal } from '../fault.ts';
import { chachaMechanism, gcmMechanism, GCM_TAG_BYTES } from '../mechanism.ts';
import type { SecretReply } from '../route.ts';
import { SpareBuffer } from '../spare-buffer.ts';
import type { TransitCall } from './call.ts';
import { formatVersioned, parseVersioned } from './versioned.ts';

/** How the items of one batch are read, and what stands around the base64 of an output. */
interface Plan {
  readonly operation: 'encrypt' | 'decrypt';
  readonly version: number;
  /** Writes nonce and data. Where they end; null: the text is not valid. */
  readonly read: (text: string, index: number, into: Buffer, at: number) => number | null;
  readonly before: string;
  /** Of each item, the letters before those of its output, as bytes. */
  readonly leads: Buffer | null;
  readonly after: string;
}

/** null: not of one kind. */
export type PlanBatch = (key: NamedKey, texts: readonly string[]) => Plan | null;

const NO_NONCE = Buffer.alloc(NONCE_BYTES);
const NO_DATA = Buffer.alloc(0);
const MECHANISMS: Readonly<Partial<Record<NamedKey['kind'], Mechanism>>> = {
  aes: gcmMechanism(NO_NONCE, NO_DATA),
  chacha20: chachaMechanism(NO_NONCE, NO_DATA),
};
/** A nonce is of whole groups of letters, so those of the output can follow. */
const LEAD_BYTES = (NONCE_BYTES / 3) * 4;
const [OPEN, CLOSE] = ['{"batch_results":[', ']}'];

const items = new SpareBuffer();
const answers = new SpareBuffer();

export const planEncryption: PlanBatch = ({ latestVersion: version }, texts) => {
  const nonces = randomBytes(NONCE_BYTES * texts.length);
  return {
    operation: 'encrypt',
    version,
    read: (text, index, into, at) => {
      nonces.copy(into, at, NONCE_BYTES * index, NONCE_BYTES * (index + 1));
      return writeDecoded(text, into, at + NONCE_BYTES);
    },
    before: `{"ciphertext":"${formatVersioned(version, '')}`,
    leads: Buffer.from(nonces.toString('base64'), 'latin1'),
    after: `","key_version":${version},"reference":""}`,
  };
};

export const planDecryption: PlanBatch = (key, [first = '']) => {
  const version = versionOf(key, first);
  if (version === null) return null;
  const prefix = formatVersioned(version, '');
  return {
    operation: 'decrypt',
    version,
    read: (text, _index, into, at) => {
      if (!text.startsWith(prefix)) return null;
      const end = writeDecoded(text.slice(prefix.length), into, at);
      return end !== null && end - at >= NONCE_BYTES + GCM_TAG_BYTES ? end : null;
    },
    before: '{"plaintext":"',
    leads: null,
    after: '","reference":""}',
  };
};

function versionOf(key: NamedKey, ciphertext: string): number | null {
  try {
    return parseVersioned(key, ciphertext, 'ciphertext').version;
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

/** null: nothing was answered, and nothing reported. */
export function answerAtOnce(
  call: TransitCall,
  key: NamedKey,
  texts: readonly string[],
  planBatch: PlanBatch,
): SecretReply | null {
  const mechanism = MECHANISMS[key.kind];
  const plan = mechanism === undefined ? null : planBatch(key, texts);
  if (mechanism === undefined || plan === null) return null;
  const { operation, version } = plan;
  const memory = items.take(sum(texts, (text) => NONCE_BYTES + text.length));
  let used = 0;
  const make = (): NoncedItems | null => {
    const ends = readItems(plan, texts, memory);
    used = ends?.at(-1) ?? memory.length;
    return ends === null ? null : { bytes: memory, ends };
  };
  const use = { operation, mechanism, version };
  try {
    const outputs = call.tokens.operateNamedKeyAtOnce(call.peer, call.token, key.name, use, make);
    return outputs === null ? null : writeAnswer(plan, outputs);
  } finally {
    memory.fill(0, 0, used);
    items.giveBack(memory);
  }
}

function sum<T>(list: readonly T[], of: (each: T) => number): number {
  let all = 0;
  for (const each of list) all += of(each);
  return all;
}

function readItems(plan: Plan, texts: readonly string[], into: Buffer): number[] | null {
  const ends: number[] = [];
  let at: number | null = 0;
  for (const [index, text] of texts.entries()) {
    at = plan.read(text, index, into, at);
    if (at === null) return null;
    ends.push(at);
  }
  return ends;
}

function writeAnswer(plan: Plan, outputs: readonly Buffer[]): SecretReply {
  const around = plan.before.length + plan.after.length + LEAD_BYTES + 1;
  const length = sum(outputs, (output) => around + Math.ceil(output.length / 3) * 4);
  const memory = answers.take(OPEN.length + length + CLOSE.length);
  const secret = memory.subarray(0, writeRows(plan, outputs, memory));
  return { secret, wiped: () => answers.giveBack(memory) };
}

/** Answers how long the text is. What stands between two outputs is copied as bytes: to write a short string takes twice as long. */
function writeRows(
  { operation, before, leads, after }: Plan,
  outputs: readonly Buffer[],
  into: Buffer,
): number {
  const between = Buffer.from(`${after},${before}`, 'latin1');
  let at = into.write(OPEN + before, 'latin1');
  for (const [index, output] of outputs.entries()) {
    if (index > 0) at += between.copy(into, at);
    if (leads !== null) at += leads.copy(into, at, LEAD_BYTES * index, LEAD_BYTES * (index + 1));
    at += into.write(output.toString('base64'), at, 'latin1');
    if (operation === 'decrypt') output.fill(0);
  }
  return at + into.write(after + CLOSE, at, 'latin1');
}
