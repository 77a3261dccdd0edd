/**
 * A batch of encrypt/:name or decrypt/:name in its plainest form, with AES-GCM or ChaCha20-Poly1305: written from its texts into the
 * keeper's frames, and from the outputs into the text of the answer, without an object for each item. Where anything is unusual or wrong there is no answer: key-jobs.ts goes
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
  readonly write: NoncedItems['write'];
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

const answers = new SpareBuffer();

export const planEncryption: PlanBatch = ({ latestVersion: version }, texts) => {
  const nonces = randomBytes(NONCE_BYTES * texts.length);
  return {
    operation: 'encrypt',
    version,
    write: (index, into, at) => {
      nonces.copy(into, at, NONCE_BYTES * index, NONCE_BYTES * (index + 1));
      return writeDecoded(texts[index] ?? '', into, at + NONCE_BYTES);
    },
    before: `{"ciphertext":"${formatVersioned(version, '')}`,
    leads: Buffer.from(nonces.toString('base64'), 'latin1'),
    after: `","key_version":${version},"reference":""}`,
  };
};

export const planDecryption: PlanBatch = (key, texts) => {
  const version = versionOf(key, texts[0] ?? '');
  if (version === null) return null;
  const prefix = formatVersioned(version, '');
  return {
    operation: 'decrypt',
    version,
    write: (index, into, at) => {
      const text = texts[index] ?? '';
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
  const { operation, version, write } = plan;
  const [use, items] = [
    { operation, mechanism, version },
    { count: texts.length, write },
  ];
  const outputs = call.tokens.operateNamedKeyAtOnce(call.peer, call.token, key.name, use, items);
  return outputs === null ? null : writeAnswer(plan, outputs);
}

function lengthOf({ before, after }: Plan, outputs: readonly Buffer[]): number {
  const around = before.length + LEAD_BYTES + after.length + 1;
  let length = OPEN.length + CLOSE.length;
  for (const output of outputs) length += around + Math.ceil(output.length / 3) * 4;
  return length;
}

function writeAnswer(plan: Plan, outputs: readonly Buffer[]): SecretReply {
  const memory = answers.take(lengthOf(plan, outputs));
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
