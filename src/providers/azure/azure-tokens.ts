/** The token of one provider for Key Vault: got when it is needed, replaced in the background well before its end. */
import { SidekeyError } from '../../errors.ts';
import type { Clock } from '../../tokens/ports.ts';
import type { HttpReply, HttpRequest } from '../http/http-client.ts';
import { jsonAt, parseJson, textAt } from '../http/json-secret.ts';
import { fraction, whileOpen, type ServiceCaller, type Verdict } from '../http/service-call.ts';
import { tokenRequest, type LoginDeps, type TokenScope } from './azure-login.ts';
import { answerArc, findManagedIdentity } from './azure-managed-identity.ts';
import type { AzureAuth } from './azure-options.ts';

const REFRESH_AT = 0.8;
const REFRESH_JITTER = 0.2;
const QUOTE_MAX = 300;
/** A client assertion is not within its valid time range: it is made anew, once. */
const OUT_OF_TIME = 'AADSTS700024:';
/** The metadata service says 404 and 410 while it starts. */
const AGAIN_AT_IMDS = new Set([404, 410]);

function judgeLogin(reply: HttpReply, isImds: boolean): Verdict {
  const { status, body } = reply;
  if (status === 200) return { is: 'ok' };
  const parsed = parseJson(body);
  const said = textAt(parsed, 'error_description').split(/\r?\n/)[0] ?? '';
  const reason = `status ${status}: ${textAt(parsed, 'error')} ${said}`.trim().slice(0, QUOTE_MAX);
  const isAgain = status === 408 || status === 429 || status >= 500 || (isImds && AGAIN_AT_IMDS.has(status));
  if (isAgain) return { is: 'again', reason };
  return { is: said.startsWith(OUT_OF_TIME) ? 'reauthenticate' : 'refused', reason };
}

interface Held {
  readonly token: string;
  readonly refreshAt: number;
  readonly expiresAt: number;
}

export interface TokensDeps extends LoginDeps {
  readonly what: string;
  readonly auth: AzureAuth;
  readonly caller: ServiceCaller;
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
  /** In which Azure Arc's agent puts the keys of its challenges. */
  readonly arcTokensFolder?: string;
}

const ARC_TOKENS = '/var/opt/azcmagent/tokens';

export class AzureTokens {
  readonly #deps: TokensDeps;
  #held: Held | null = null;
  #login: Promise<Held> | null = null;
  #claims: string | null = null;

  constructor(deps: TokensDeps) {
    this.#deps = deps;
  }

  /** null: none is held. */
  get secondsLeft(): number | null {
    if (this.#held === null) return null;
    return Math.max(0, Math.round((this.#held.expiresAt - this.#deps.clock.monotonic()) / 1000));
  }

  /** Rejects with provider_unreachable or provider_refused, or with the signal's reason. */
  async get(resource: string, signal: AbortSignal): Promise<string> {
    const now = this.#deps.clock.monotonic();
    const held = this.#held;
    if (!held || held.expiresAt <= now) return (await whileOpen(this.#logInOnce(resource), signal)).token;
    // Whoever needs one after the end of this one hears what went wrong.
    if (held.refreshAt <= now) this.#logInOnce(resource).catch(() => undefined);
    return held.token;
  }

  /** After a refusal; `claims` from the challenge, if it had some. */
  drop(claims: string | null): void {
    this.#held = null;
    this.#claims = claims;
  }

  #logInOnce(resource: string): Promise<Held> {
    this.#login ??= this.#logIn(resource).finally(() => (this.#login = null));
    return this.#login;
  }

  async #logIn(resource: string): Promise<Held> {
    const { what, clock, random } = this.#deps;
    const reply = await this.#ask({ resource, claims: this.#claims });
    const parsed = parseJson(reply.body);
    const token = textAt(parsed, 'access_token');
    if (token === '') throw new SidekeyError('provider_unreachable', `${what}: the login returned no token`);
    const lifeMs = this.#lifeSeconds(parsed) * 1000;
    const now = clock.monotonic();
    const refreshAt = now + lifeMs * REFRESH_AT * (1 - REFRESH_JITTER * fraction(random));
    this.#held = { token, refreshAt, expiresAt: now + lifeMs };
    return this.#held;
  }

  /** Azure Arc answers the first request by a challenge. */
  #ask(scope: TokenScope): Promise<HttpReply> {
    const { what, auth, caller, environment, arcTokensFolder = ARC_TOKENS } = this.#deps;
    const isManaged = auth.method === 'managed-identity';
    const isArc = isManaged && findManagedIdentity(environment) === 'Azure Arc';
    let challenge: HttpReply | null = null;
    const prepare = (): HttpRequest => {
      const request = tokenRequest(auth, scope, this.#deps);
      if (challenge === null) return request;
      const authorization = answerArc(challenge, arcTokensFolder);
      return { ...request, headers: { ...request.headers, authorization } };
    };
    const judge = (reply: HttpReply): Verdict => {
      const verdict = judgeLogin(reply, isManaged);
      if (!isArc || reply.status !== 401 || verdict.is === 'ok') return verdict;
      challenge = reply;
      return { is: 'reauthenticate', reason: verdict.reason };
    };
    return caller.call({ what: `${what}: token by ${auth.method}`, prepare, judge });
  }

  /** Numbers or digits; App Service says when, not how long. */
  #lifeSeconds(reply: unknown): number {
    const seconds = Number(jsonAt(reply, 'expires_in'));
    if (seconds > 0) return seconds;
    const until = Number(jsonAt(reply, 'expires_on')) - this.#deps.nowMs() / 1000;
    return until > 0 ? until : 0;
  }
}
