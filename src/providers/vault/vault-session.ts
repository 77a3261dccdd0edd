/**
 * The token of one provider: got by its login, renewed at about two thirds of its life, got again when it cannot be renewed, when its
 * file changes or when the server does not know it any longer. Begins nothing before somebody needs a token.
 */
import { SidekeyError } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { Clock, Timer } from '../../tokens/ports.ts';
import { jsonAt, parseJson, textAt } from '../http/json-secret.ts';
import { fraction, whileOpen } from '../http/service-call.ts';
import { fingerprintFiles } from '../http/tls-files.ts';
import type { VaultClient, VaultTokens } from './vault-client.ts';
import { loginRequest, readSecretLine } from './vault-login.ts';
import type { VaultAuth } from './vault-options.ts';

const RENEW_AT = 2 / 3;
const RENEW_JITTER = 0.2;
const RETRY_MS = 10_000;
/** A renewal that gives less than this part of the first life meets the token's end: a new login instead. */
const SHRUNK = 0.5;
const TIMER_MAX_MS = 2 ** 31 - 1;

interface Held {
  readonly token: string;
  /** Milliseconds; null: it does not expire. */
  readonly lifeMs: number | null;
  readonly expiresAt: number;
  readonly isRenewable: boolean;
  /** Of the token's file. */
  readonly fingerprint: string;
}

export interface SessionDeps {
  readonly name: string;
  readonly auth: VaultAuth;
  readonly client: VaultClient;
  readonly clock: Clock;
  readonly timer: Timer;
  readonly random: (bytes: number) => Buffer;
  readonly log: Logger;
  readonly resolvePath: (path: string) => string;
}

function noneIfRefused(error: unknown): null {
  if (error instanceof SidekeyError && error.code === 'provider_refused') return null;
  throw error;
}

export class VaultSession implements VaultTokens {
  readonly #deps: SessionDeps;
  #held: Held | null = null;
  #login: Promise<Held> | null = null;
  #cancel: (() => void) | null = null;
  #isClosed = false;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
  }

  /** Seconds that the token has left; null: none is held, or it does not expire. */
  get secondsLeft(): number | null {
    if (!this.#held || this.#held.lifeMs === null) return null;
    return Math.max(0, Math.round((this.#held.expiresAt - this.#deps.clock.monotonic()) / 1000));
  }

  readonly token = async (signal: AbortSignal): Promise<string> => {
    const held = this.#held;
    if (held && this.#isGood(held)) return held.token;
    return (await whileOpen(this.#logInOnce(), signal)).token;
  };

  /** A 403 may mean the token or the policy: the server is asked which. A login per refusal would fill it with tokens. */
  async replace(refused: string): Promise<void> {
    const held = this.#held;
    if (held?.token !== refused) return;
    const what = `provider "${this.#deps.name}": looking up its own token`;
    const path = 'auth/token/lookup-self';
    const isGood = await this.#deps.client.call({ what, method: 'GET', path, tokens: held.token }).then(
      () => true,
      (error) => noneIfRefused(error) !== null,
    );
    if (isGood)
      throw new SidekeyError(
        'provider_refused',
        `provider "${this.#deps.name}": permission denied: the policies of its token do not allow this request`,
      );
    if (this.#held === held) this.#drop();
  }

  /** What was got by a login is given back, if that takes no time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const held = this.#held;
    this.#drop();
    if (!held || this.#deps.auth.method === 'token') return;
    const { client, timer, name } = this.#deps;
    const path = 'auth/token/revoke-self';
    const revoked = client.call({
      what: `provider "${name}"`,
      method: 'POST',
      path,
      body: Buffer.from('{}'),
      tokens: held.token,
    });
    let cancel = (): void => {};
    await Promise.race([
      revoked.catch(() => undefined),
      new Promise<void>((done) => (cancel = timer(500, done))),
    ]);
    cancel();
  }

  #isGood(held: Held): boolean {
    return this.#deps.clock.monotonic() < held.expiresAt && held.fingerprint === this.#fingerprint();
  }

  #fingerprint(): string {
    const { auth, resolvePath } = this.#deps;
    return auth.method === 'token' ? fingerprintFiles([resolvePath(auth['token-file'])]) : '';
  }

  #drop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#held = null;
  }

  #logInOnce(): Promise<Held> {
    this.#login ??= this.#logIn().finally(() => (this.#login = null));
    return this.#login;
  }

  async #logIn(): Promise<Held> {
    const { auth, client, name, resolvePath } = this.#deps;
    if (auth.method === 'token') return this.#keep(await this.#readToken(resolvePath(auth['token-file'])));
    const { path, body } = loginRequest(auth, resolvePath);
    const reply = await client.call({
      what: `provider "${name}": login by ${auth.method}`,
      method: 'POST',
      path,
      body: Buffer.from(JSON.stringify(body)),
      tokens: null,
    });
    return this.#keep(this.#readAuth(parseJson(reply.body)));
  }

  /** Its life is told by the server; a token that may not look itself up is used as it is. */
  async #readToken(path: string): Promise<Held> {
    const fingerprint = this.#fingerprint();
    const token = readSecretLine(path);
    const what = `provider "${this.#deps.name}": looking up its own token`;
    const known = { what, method: 'GET', path: 'auth/token/lookup-self', tokens: token } as const;
    const reply = await this.#deps.client.call(known).catch(noneIfRefused);
    const data = reply && jsonAt(parseJson(reply.body), 'data');
    return { token, ...this.#life(jsonAt(data, 'ttl'), jsonAt(data, 'renewable')), fingerprint };
  }

  #readAuth(reply: unknown): Held {
    const auth = jsonAt(reply, 'auth');
    const token = textAt(auth, 'client_token');
    if (token === '')
      throw new SidekeyError(
        'provider_refused',
        `provider "${this.#deps.name}": the login returned no token`,
      );
    const life = this.#life(jsonAt(auth, 'lease_duration'), jsonAt(auth, 'renewable'));
    return { token, ...life, fingerprint: this.#fingerprint() };
  }

  #life(seconds: unknown, renewable: unknown): Omit<Held, 'token' | 'fingerprint'> {
    const lifeMs = typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : null;
    const expiresAt = lifeMs === null ? Infinity : this.#deps.clock.monotonic() + lifeMs;
    return { lifeMs, expiresAt, isRenewable: renewable === true };
  }

  #keep(held: Held): Held {
    this.#drop();
    if (this.#isClosed) return held;
    this.#held = held;
    if (held.lifeMs !== null) {
      const jitter = 1 - RENEW_JITTER * fraction(this.#deps.random);
      this.#schedule(held.lifeMs * RENEW_AT * jitter);
    }
    return held;
  }

  #schedule(ms: number): void {
    this.#cancel = this.#deps.timer(Math.min(ms, TIMER_MAX_MS), () => void this.#refresh());
  }

  /** Nobody waits for this: what fails here is tried again while the token is good, and after that by who needs one. */
  async #refresh(): Promise<void> {
    const held = this.#held;
    if (!held) return;
    try {
      await this.#renew(held);
    } catch (error) {
      const { log, name, clock } = this.#deps;
      log.warn({ provider: name, secondsLeft: this.secondsLeft, error }, 'cannot renew the token');
      if (this.#held === held && clock.monotonic() < held.expiresAt) this.#schedule(RETRY_MS);
    }
  }

  async #renew(held: Held): Promise<void> {
    const { auth, client, name } = this.#deps;
    if (!held.isRenewable) return void (auth.method === 'token' || (await this.#logInOnce()));
    const what = `provider "${name}": renewing its token`;
    const body = Buffer.from('{}');
    const path = 'auth/token/renew-self';
    const renewed = await client
      .call({ what, method: 'POST', path, body, tokens: held.token })
      .then((reply) => jsonAt(parseJson(reply.body), 'auth'))
      .catch(noneIfRefused);
    const life = this.#life(jsonAt(renewed, 'lease_duration'), jsonAt(renewed, 'renewable'));
    const isShrunk = renewed === null || (held.lifeMs !== null && (life.lifeMs ?? 0) < held.lifeMs * SHRUNK);
    if (isShrunk && auth.method !== 'token') return void (await this.#logInOnce());
    if (renewed !== null && this.#held === held) this.#keep({ ...held, ...life });
  }
}
