/** Requests to Azure Key Vault or Managed HSM, and what its answers mean. */
import { SidekeyError } from '../../errors.ts';
import type { HttpReply } from '../http/http-client.ts';
import { parseJson, textAt } from '../http/json-secret.ts';
import type { ServiceCaller, Verdict } from '../http/service-call.ts';
import { checkResource, parseChallenge } from './azure-challenge.ts';
import type { AzureTokens } from './azure-tokens.ts';

/** Served by vaults and managed HSMs of every cloud. */
const API_VERSION = '7.4';
const QUOTE_MAX = 300;

export function judgeAzure(reply: HttpReply): Verdict {
  const { status, body, headers } = reply;
  if (status === 200) return { is: 'ok' };
  const parsed = parseJson(body);
  const codes = [textAt(parsed, 'error', 'code'), textAt(parsed, 'error', 'innererror', 'code')];
  const said = [...codes, textAt(parsed, 'error', 'message').slice(0, QUOTE_MAX)].filter(
    (part) => part !== '',
  );
  const id = headers['x-ms-request-id'];
  const reason = `${[`status ${status}`, ...said].join(': ')}${id ? `; request ${id}` : ''}`;
  if (status === 401) return { is: 'reauthenticate', reason };
  return { is: status === 408 || status === 429 || status >= 500 ? 'again' : 'refused', reason };
}

export interface AzureCallOptions {
  /** Absent: POST with a body, GET without. */
  readonly method?: 'DELETE';
  readonly query?: Readonly<Record<string, string>>;
  /** A status that is an answer as well. */
  readonly accepts?: number;
  /** What BadParameter means where the caller's data may be to blame; absent: a refusal. */
  readonly badParameter?: 'encrypted_data_invalid';
}

function isBadParameter({ status, body }: HttpReply): boolean {
  return status === 400 && textAt(parseJson(body), 'error', 'code') === 'BadParameter';
}

export class AzureClient {
  readonly #vault: URL;
  readonly #caller: ServiceCaller;
  readonly #tokens: AzureTokens;
  #resource: string | null;

  /** `resource`: instead of what the vault's challenge names. */
  constructor(vault: URL, resource: string | null, caller: ServiceCaller, tokens: AzureTokens) {
    this.#vault = vault;
    this.#resource = resource;
    this.#caller = caller;
    this.#tokens = tokens;
  }

  /** Rejects with provider_refused or provider_unreachable. `body` null: GET. */
  async call(
    what: string,
    path: string,
    body: Buffer | null,
    options: AzureCallOptions = {},
  ): Promise<HttpReply> {
    const resource = (this.#resource ??= await this.#askResource(what, path));
    let claims: string | null = null;
    return this.#caller.call({
      what,
      prepare: async (signal) =>
        this.#request(path, body, `Bearer ${await this.#tokens.get(resource, signal)}`, options),
      judge: (reply) => {
        claims = parseChallenge(reply.headers['www-authenticate']).claims;
        if (reply.status === options.accepts) return { is: 'ok' };
        const verdict = judgeAzure(reply);
        if (options.badParameter !== undefined && verdict.is === 'refused' && isBadParameter(reply))
          throw new SidekeyError(options.badParameter, `${what}: ${verdict.reason}`);
        return verdict;
      },
      reauthenticate: () => this.#tokens.drop(claims),
    });
  }

  /** By a request without token and without body: what is to be wrapped is shown to nobody who has not accepted a token. */
  async #askResource(what: string, path: string): Promise<string> {
    const keyPath = path.split('/').slice(0, 2).join('/');
    const reply = await this.#caller.call({
      what: `${what}: challenge`,
      prepare: () => this.#request(keyPath, null, null),
      judge: (reply) => (reply.status === 401 ? { is: 'ok' } : judgeAzure(reply)),
    });
    return checkResource(what, this.#vault, parseChallenge(reply.headers['www-authenticate']).resource);
  }

  #request(
    path: string,
    body: Buffer | null,
    authorization: string | null,
    { method, query }: AzureCallOptions = {},
  ) {
    const headers = {
      ...(authorization === null ? {} : { authorization }),
      ...(body ? { 'content-type': 'application/json' } : {}),
    };
    const url = new URL(`/${path}`, this.#vault);
    for (const [name, value] of Object.entries({ ...query, 'api-version': API_VERSION }))
      url.searchParams.set(name, value);
    return { method: method ?? (body ? ('POST' as const) : ('GET' as const)), url, headers, body };
  }
}
