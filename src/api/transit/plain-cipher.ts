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

export const UNDECRYPTED: Failed = { status: 400, row: { plaintext: '' } };

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

function answerPlain(
  call: TransitCall,
  body: Buffer,
  field: 'plaintext' | 'ciphertext',
  jobOf: JobOf,
  failed: Failed,
): Promise<Reply> | null {
  const plain = readPlainBody(body, field, API_LIMITS.batchTogether);
  if (plain === null) return null;
  const key = call.tokens.findNamedKey(call.peer, call.token, nameOf(call));
  if (key === null || isEnvelope(key) || key.derived) return null;
  const jobs = tryJobs(key, plain.texts, jobOf);
  return jobs === null ? null : answerPrepared(call, key, jobs, plain.isBatch, failed);
}

export function encryptPlain(call: TransitCall, body: Buffer): Promise<Reply> | null {
  const jobOf = (key: NamedKey, text: string): KeyJob | null => {
    const plaintext = readBase64(text);
    return plaintext === null ? null : encryptJob(key, key.latestVersion, {}, plaintext);
  };
  return answerPlain(call, body, 'plaintext', jobOf, FAILED);
}

export function decryptPlain(call: TransitCall, body: Buffer): Promise<Reply> | null {
  const jobOf = (key: NamedKey, ciphertext: string): KeyJob => decryptJob(key, { ciphertext });
  return answerPlain(call, body, 'ciphertext', jobOf, UNDECRYPTED);
}
