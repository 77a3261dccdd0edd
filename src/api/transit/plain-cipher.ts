/**
 * encrypt/:name and decrypt/:name for bodies in their plainest form (hot/plain-body.ts), with the key's own terms: no associated data, no
 * context, the latest version. What is not so, or is wrong in any way, is for cipher.ts, which says what.
 */
import type { NamedKey } from '../../tokens/service.ts';
import { readBase64 } from '../base64.ts';
import { Refusal } from '../fault.ts';
import { readPlainBody } from '../hot/plain-body.ts';
import { API_LIMITS } from '../limits.ts';
import type { Reply } from '../route.ts';
import { FAILED, type Failed } from './batch.ts';
import { nameOf, type TransitCall } from './call.ts';
import { decryptJob, encryptJob, isEnvelope } from './key-cipher.ts';
import { answerPrepared, type KeyJob } from './key-jobs.ts';
import { answerAtOnce, planDecryption, planEncryption, type PlanBatch } from './batch-at-once.ts';

export const UNDECRYPTED: Failed = { status: 400, row: { plaintext: '' } };

/** What the two operations differ in. */
interface PlainForm {
  readonly field: 'plaintext' | 'ciphertext';
  readonly jobOf: JobOf;
  readonly failed: Failed;
  readonly plan: PlanBatch;
}

type JobOf = (key: NamedKey, text: string) => KeyJob | null;

function readJobs(key: NamedKey, texts: readonly string[], jobOf: JobOf): KeyJob[] | null {
  const jobs: KeyJob[] = [];
  for (const text of texts) {
    const job = jobOf(key, text);
    if (job === null) return null;
    jobs.push(job);
  }
  return jobs;
}

function tryJobs(...asked: Parameters<typeof readJobs>): KeyJob[] | null {
  try {
    return readJobs(...asked);
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

const ENCRYPT: PlainForm = {
  field: 'plaintext',
  jobOf: (key, text) => {
    const plaintext = readBase64(text);
    return plaintext === null ? null : encryptJob(key, key.latestVersion, {}, plaintext);
  },
  failed: FAILED,
  plan: planEncryption,
};

const DECRYPT: PlainForm = {
  field: 'ciphertext',
  jobOf: (key, ciphertext) => decryptJob(key, { ciphertext }),
  failed: UNDECRYPTED,
  plan: planDecryption,
};

function answerPlain(call: TransitCall, body: Buffer, form: PlainForm): Reply | Promise<Reply> | null {
  const plain = readPlainBody(body, form.field, API_LIMITS.batchTogether);
  if (plain === null) return null;
  const key = call.tokens.findNamedKey(call.peer, call.token, nameOf(call));
  if (key === null || isEnvelope(key) || key.derived) return null;
  const reply = plain.isBatch ? answerAtOnce(call, key, plain.texts, form.plan) : null;
  if (reply !== null) return reply;
  const jobs = tryJobs(key, plain.texts, form.jobOf);
  return jobs === null ? null : answerPrepared(call, key, jobs, plain.isBatch, form.failed);
}

export function encryptPlain(call: TransitCall, body: Buffer): Reply | Promise<Reply> | null {
  return answerPlain(call, body, ENCRYPT);
}

export function decryptPlain(call: TransitCall, body: Buffer): Reply | Promise<Reply> | null {
  return answerPlain(call, body, DECRYPT);
}
