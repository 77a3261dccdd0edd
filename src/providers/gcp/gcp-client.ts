/** Requests to Google Cloud KMS (v1, REST), and what its answers mean. */
import { SidekeyError } from '../../errors.ts';
import type { HttpReply } from '../http/http-client.ts';
import { jsonAt, parseJson, textAt } from '../http/json-secret.ts';
import type { ServiceCaller, Verdict } from '../http/service-call.ts';
import type { GoogleCredentials } from './google-credentials.ts';

const QUOTE_MAX = 300;
const AGAIN = new Set([408, 429, 500, 502, 503, 504]);
/** Something changed on the way to the service: the only bad argument that may be good next time. */
const CHECKSUM = /checksum|crc32c/i;

export function judgeGcp(reply: HttpReply): Verdict {
  const { status, body, headers } = reply;
  if (status === 200) return { is: 'ok' };
  const error = jsonAt(parseJson(body), 'error');
  const [name, message] = [textAt(error, 'status'), textAt(error, 'message').slice(0, QUOTE_MAX)];
  const said = [name, message].filter((part) => part !== '').join(': ');
  const id = headers['x-goog-request-id'] ?? headers['x-request-id'];
  const reason = `status ${status}${said === '' ? '' : `: ${said}`}${id ? `; request ${id}` : ''}`;
  if (status === 401) return { is: 'reauthenticate', reason };
  const isAgain = AGAIN.has(status) || name === 'ABORTED' || (status === 400 && CHECKSUM.test(message));
  return { is: isAgain ? 'again' : 'refused', reason };
}

function isBadArgument({ status, body }: HttpReply): boolean {
  return status === 400 && textAt(parseJson(body), 'error', 'status') === 'INVALID_ARGUMENT';
}

export interface GcpCall {
  readonly what: string;
  /** Below /v1/: a resource's name, with ":verb". */
  readonly path: string;
  /** Null: GET. */
  readonly body: Buffer | null;
  /** What is wrong with a good answer: it is asked for again. */
  readonly check?: (body: Buffer) => string | null;
  /** What INVALID_ARGUMENT means where the caller's data may be to blame; absent: a refusal. */
  readonly badArgument?: 'encrypted_data_invalid';
}

export class GcpClient {
  readonly #endpoint: string;
  readonly #quotaProject: string | null;
  readonly #caller: ServiceCaller;
  readonly #credentials: GoogleCredentials;

  constructor(
    endpoint: string,
    quotaProject: string | null,
    caller: ServiceCaller,
    credentials: GoogleCredentials,
  ) {
    this.#endpoint = endpoint;
    this.#quotaProject = quotaProject;
    this.#caller = caller;
    this.#credentials = credentials;
  }

  /** Rejects with provider_refused or provider_unreachable. */
  async call({ what, path, body, check, badArgument }: GcpCall): Promise<Buffer> {
    const reply = await this.#caller.call({
      what,
      prepare: async (signal) => ({
        method: body ? 'POST' : 'GET',
        url: new URL(`/v1/${path}`, this.#endpoint),
        headers: {
          authorization: await this.#credentials.authorization(signal),
          ...(body ? { 'content-type': 'application/json' } : {}),
          ...(this.#quotaProject === null ? {} : { 'x-goog-user-project': this.#quotaProject }),
        },
        body,
      }),
      judge: (reply) => {
        const verdict = judgeGcp(reply);
        if (badArgument !== undefined && verdict.is === 'refused' && isBadArgument(reply))
          throw new SidekeyError(badArgument, `${what}: ${verdict.reason}`);
        const fault = verdict.is === 'ok' ? (check?.(reply.body) ?? null) : null;
        return fault === null ? verdict : { is: 'again', reason: fault };
      },
      reauthenticate: () => this.#credentials.drop(),
    });
    return reply.body;
  }
}
