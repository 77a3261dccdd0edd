/** Asks the running agent over its API socket. Answers are believed: the socket is the agent's, and the kernel says whose it is. */
import { request } from 'node:http';
import { SidekeyError } from '../errors.ts';

const TIMEOUT_MS = 10_000;
const ANSWER_MAX_BYTES = 64 * 1024 * 1024;

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

function get(socketPath: string, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, timeout: TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > ANSWER_MAX_BYTES) sent.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
      response.once('error', reject);
    });
    sent.once('timeout', () => sent.destroy(new Error('the agent does not answer')));
    sent.once('error', reject);
    sent.end();
  });
}

/** Rejects with not_running when nobody answers, or not to us. */
export async function askAgent<T>(socketPath: string, path: string): Promise<T> {
  const answer = await get(socketPath, path).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('not_running', `no agent at ${socketPath}: ${reason}`, { cause });
  });
  if (answer.status === 403)
    throw new SidekeyError('not_running', `the agent at ${socketPath} answers its owner and root only`);
  if (answer.status === 404) throw new SidekeyError('object_handle_invalid', `the agent knows no ${path}`);
  if (answer.status !== 200)
    throw new SidekeyError(
      'internal',
      `the agent answered ${answer.status}: ${answer.body.toString('utf8').slice(0, 300)}`,
    );
  return JSON.parse(answer.body.toString('utf8')) as T;
}
