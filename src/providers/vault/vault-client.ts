/** Requests to a Vault or OpenBao server, and what its answers mean. Knows neither keys nor logins. */
import { SidekeyError } from '../../errors.ts';
import type { HttpReply, HttpRequest } from '../http/http-client.ts';
import { jsonAt, parseJson } from '../http/json-secret.ts';
import type { ServiceCaller, Verdict } from '../http/service-call.ts';

type Method = 'GET' | 'POST' | 'DELETE';
type Meaning = 'refused' | 'again' | 'reauthenticate';

/**
 * A status that is not here: refused below 500, else tried again. 403 says nothing of whether token or policy is wrong. 412: a
 * replica behind; 472, 473: a standby that does not serve; 503: sealed.
 */
const MEANINGS: Readonly<Record<number, Meaning>> = {
  403: 'reauthenticate',
  408: 'again',
  412: 'again',
  429: 'again',
  472: 'again',
  473: 'again',
};

/** Older servers answer 500 when a ciphertext does not open. */
const NOT_OPENED = /message authentication failed|decryption error|invalid ciphertext/i;
const QUOTE_MAX = 300;

function readErrors({ status, body }: HttpReply): string {
  const errors = jsonAt(parseJson(body), 'errors');
  const text = Array.isArray(errors) ? errors.map(String).join('; ').trim().slice(0, QUOTE_MAX) : '';
  return text === '' ? `status ${status}` : `status ${status}: ${text}`;
}

/** Whether a call was refused because a ciphertext does not open. */
export function didNotOpen(error: unknown): error is SidekeyError {
  return error instanceof SidekeyError && error.code === 'provider_refused' && NOT_OPENED.test(error.message);
}

/** `canLogIn`: whether a new token may change the answer. */
export function judgeVault(reply: HttpReply, canLogIn: boolean): Verdict {
  const { status, headers } = reply;
  if (status === 200 || status === 204) return { is: 'ok' };
  const id = headers['x-request-id'];
  const reason = readErrors(reply) + (id ? `; request ${id}` : '');
  const meaning = MEANINGS[status] ?? (status >= 500 && !NOT_OPENED.test(reason) ? 'again' : 'refused');
  return { is: meaning === 'reauthenticate' && !canLogIn ? 'refused' : meaning, reason };
}

/** Where tokens come from; a refused one may be replaced. */
export interface VaultTokens {
  token(signal: AbortSignal): Promise<string>;
  /** Resolves when another token may do better than this one; rejects with provider_refused when it is good. */
  replace(refused: string): Promise<void>;
}

export interface VaultCall {
  readonly what: string;
  readonly method: Method;
  /** Below /v1/, with its query. */
  readonly path: string;
  /** Whether 404 is an answer, not a refusal. */
  readonly mayBeAbsent?: boolean;
  readonly body?: Buffer;
  readonly tokens: VaultTokens | string | null;
}

export class VaultClient {
  readonly #base: URL;
  readonly #namespace: string | null;
  readonly #caller: ServiceCaller;

  constructor(address: string, namespace: string | null, caller: ServiceCaller) {
    this.#base = new URL(address.endsWith('/') ? address : `${address}/`);
    this.#namespace = namespace;
    this.#caller = caller;
  }

  /** Rejects with provider_refused or provider_unreachable. */
  call({ what, method, path, body, tokens, mayBeAbsent = false }: VaultCall): Promise<HttpReply> {
    const source = typeof tokens === 'object' ? tokens : null;
    let used = typeof tokens === 'string' ? tokens : null;
    return this.#caller.call({
      what,
      prepare: async (signal) => {
        if (source) used = await source.token(signal);
        return this.request(method, path, body ?? null, used);
      },
      judge: (reply) =>
        mayBeAbsent && reply.status === 404 ? { is: 'ok' } : judgeVault(reply, source !== null),
      reauthenticate: async () => source?.replace(used ?? ''),
    });
  }

  request(method: Method, path: string, body: Buffer | null, token: string | null): HttpRequest {
    return {
      method,
      url: new URL(`v1/${path}`, this.#base),
      headers: {
        // Agents and proxies of either server may require it.
        'x-vault-request': 'true',
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...(token === null ? {} : { 'x-vault-token': token }),
        ...(this.#namespace === null ? {} : { 'x-vault-namespace': this.#namespace }),
      },
      body,
    };
  }
}
