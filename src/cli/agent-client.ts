/**
 * Queries the running agent over its API socket. Answers are trusted: the kernel confirms that the socket is
 * the agent's.
 */
import { request } from 'node:http';
import { jsonAt, parseJson } from '../providers/http/json-secret.ts';
import { SidekeyError } from '../errors.ts';

/** Longer than the agent's handler deadline, so that the agent's error is the one reported. */
const TIMEOUT_MS = 35_000;
const ANSWER_MAX_BYTES = 64 * 1024 * 1024;

export interface Question {
  readonly method: 'GET' | 'LIST' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body?: Buffer;
  readonly timeoutMs?: number;
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

function send(socketPath: string, question: Question): Promise<Answer> {
  const { method, path, body, timeoutMs: timeout = TIMEOUT_MS } = question;
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-length': body.length };
    const sent = request({ socketPath, method, path, headers, timeout }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > ANSWER_MAX_BYTES) sent.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) });
        for (const chunk of chunks) chunk.fill(0);
      });
      response.once('error', reject);
    });
    sent.once('timeout', () => sent.destroy(new Error('the agent does not answer')));
    sent.once('error', reject);
    sent.end(body);
  });
}

export function refusalOf({ status, body }: Answer): SidekeyError {
  const errors = jsonAt(parseJson(body), 'errors');
  const said = Array.isArray(errors) && errors.length > 0 ? errors.join('; ') : 'no reason given';
  return new SidekeyError('request_refused', `the agent answered ${status}: ${said}`);
}

async function ask(socketPath: string, question: Question): Promise<Answer> {
  return send(socketPath, question).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('not_running', `no agent at ${socketPath}: ${reason}`, { cause });
  });
}

/**
 * The body of the answer; the caller wipes it if it may hold a secret. Rejects with not_running if nobody
 * answers; `absent` is the message for a 404 that has none of its own.
 */
export async function callAgent(
  socketPath: string,
  question: Question,
  absent: string | null = null,
): Promise<Buffer> {
  const answer = await ask(socketPath, question);
  if (answer.status === 404 && absent !== null) throw new SidekeyError('request_refused', absent);
  if (answer.status >= 200 && answer.status < 300) return answer.body;
  throw refusalOf(answer);
}

/** A JSON answer of /v1/sidekey. Rejects with not_running if nobody answers, or refuses this user. */
export async function askAgent<T>(
  socketPath: string,
  path: string,
  absent = `the agent does not support ${path}`,
  timeoutMs = TIMEOUT_MS,
): Promise<T> {
  const answer = await ask(socketPath, { method: 'GET', path, timeoutMs });
  if (answer.status === 403)
    throw new SidekeyError('not_running', `the agent at ${socketPath} only accepts its owner and root`);
  if (answer.status === 404) throw new SidekeyError('object_handle_invalid', absent);
  if (answer.status !== 200) throw refusalOf(answer);
  return JSON.parse(answer.body.toString('utf8')) as T;
}
