/**
 * A call of a remote key service: tries with a deadline each and one for all of them, full jitter between them, Retry-After
 * honoured, by the calls that follow as well. What the service's answers mean is the adapter's table; this file only knows what follows from a verdict.
 */
import { SidekeyError } from '../../errors.ts';
import type { Clock, Timer } from '../../tokens/ports.ts';
import { ofCall } from '../provider-error.ts';
import type { HttpReply, HttpRequest, HttpSender } from './http-client.ts';
import { parseRetryAfter } from './retry-after.ts';

const TRIES_MAX = 5;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 2000;
/** A service that asks to be left alone for longer is asked again all the same. */
const REST_MAX_MS = 60_000;
/** Services and their logins that one provider talks to: few. */
const ORIGINS_MAX = 32;

/** `reauthenticate`: once with new credentials, and a refusal when that is answered the same. */
export type Verdict =
  | { readonly is: 'ok' }
  | {
      readonly is: 'refused' | 'again' | 'reauthenticate';
      readonly reason: string;
      readonly cause?: unknown;
    };

export interface ServiceCall {
  /** For messages: provider, key, operation. */
  readonly what: string;
  /** Made anew for each try: signatures and tokens age. Its own SidekeyErrors end the call. */
  prepare(signal: AbortSignal): Promise<HttpRequest> | HttpRequest;
  judge(reply: HttpReply): Verdict;
  /** Drops the credentials that were refused. */
  reauthenticate?(): Promise<void> | void;
}

export interface CallerOptions {
  readonly http: HttpSender;
  readonly clock: Clock;
  readonly timer: Timer;
  readonly random: (bytes: number) => Buffer;
  readonly tryMs: number;
  readonly overallMs: number;
}

/** Services take what was dated some minutes off. */
const CLOCK_OFF_MS = 240_000;

/** At least 0, below 1. */
export function fraction(random: (bytes: number) => Buffer): number {
  return random(4).readUInt32BE() / 2 ** 32;
}

/** The first of both; what comes later is left alone. */
export function whileOpen<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

function sleep(timer: Timer, ms: number): Promise<void> {
  return new Promise((done) => timer(ms, done));
}

function codeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code: unknown = Reflect.get(Object(cause), 'code');
  return typeof code === 'string' ? code : '';
}

/** Trying again does not make a certificate good. */
const TLS_REFUSED =
  /^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_)/;

export function describeFault(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  const code = codeOf(error);
  return code === '' || text.includes(code) ? text : `${text} (${code})`;
}

/** Who points elsewhere (a standby, a portal before the network) has not said no; credentials follow nobody to another place. */
function judgeRedirect({ status, headers }: HttpReply, { href }: URL): Verdict | null {
  if (status < 300 || status > 399) return null;
  const to = URL.parse(headers['location'] ?? '', href)?.origin ?? 'another place';
  return { is: 'again', reason: `status ${status}: it points to ${to}, and no redirect is followed` };
}

interface Tried {
  readonly reply: HttpReply | null;
  readonly verdict: Verdict;
  readonly restMs: number;
}

/** The try that ran out of time says less than the one before it that failed: both are told. */
class NoAnswer extends Error {}

function isNoAnswer(verdict: Verdict): boolean {
  return verdict.is === 'again' && verdict.cause instanceof NoAnswer;
}

function askedToWait(ms: number): string {
  return `the service asked for a pause of ${Math.ceil(ms / 1000)} s (Retry-After)`;
}

export class ServiceCaller {
  readonly #options: CallerOptions;
  /** Until when an origin asked to be left alone, by Clock.monotonic(). */
  readonly #restsUntil = new Map<string, number>();

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  /** The good reply, or provider_refused, or provider_unreachable. */
  async call(call: ServiceCall): Promise<HttpReply> {
    const { clock, overallMs } = this.#options;
    const endsAt = clock.monotonic() + overallMs;
    let isRenewed = false;
    let before: Verdict | null = null;
    for (let tries = 1; ; tries++) {
      const { reply, verdict, restMs } = await this.#try(call, endsAt);
      if (reply && verdict.is === 'ok') return reply;
      const reason = verdict.is === 'ok' ? '' : verdict.reason;
      if (verdict.is === 'reauthenticate' && isRenewed) this.#demandClock(call.what, reason, reply);
      if (verdict.is === 'refused' || (verdict.is === 'reauthenticate' && isRenewed))
        throw new SidekeyError('provider_refused', `${call.what}: ${reason}`);
      if (verdict.is === 'reauthenticate') {
        isRenewed = true;
        await call.reauthenticate?.();
        continue;
      }
      const waitMs = this.#waitMs(tries, restMs);
      if (tries >= TRIES_MAX || clock.monotonic() + waitMs >= endsAt) {
        const told = tellFaults(verdict, before, tries);
        throw new SidekeyError('provider_unreachable', `${call.what}: ${told.reason}`, { cause: told.cause });
      }
      if (!isNoAnswer(verdict)) before = verdict;
      await sleep(this.#options.timer, waitMs);
    }
  }

  /** Credentials that a wrong clock has dated are no no of the service, after which keys would be wiped. */
  #demandClock(what: string, reason: string, reply: HttpReply | null): void {
    const behindMs = Date.parse(reply?.headers['date'] ?? '') - this.#options.clock.now();
    if (Number.isNaN(behindMs) || Math.abs(behindMs) < CLOCK_OFF_MS) return;
    const off = `this host's clock is ${Math.abs(Math.round(behindMs / 1000))} s ${behindMs > 0 ? 'behind' : 'ahead'}`;
    throw new SidekeyError('provider_unreachable', `${what}: ${reason}; ${off}`);
  }

  /** Full jitter; at least what the service asked for. */
  #waitMs(tries: number, restMs: number): number {
    const bound = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (tries - 1));
    return restMs + fraction(this.#options.random) * bound;
  }

  /** How long this origin is to be left alone; 0: it may be asked. */
  #restMs({ origin }: URL): number {
    return Math.max(0, (this.#restsUntil.get(origin) ?? 0) - this.#options.clock.monotonic());
  }

  #noteRest({ origin }: URL, { headers }: HttpReply, verdict: Verdict): void {
    const { clock } = this.#options;
    const asked = verdict.is === 'again' ? parseRetryAfter(headers['retry-after'], clock.now()) : null;
    this.#restsUntil.delete(origin);
    if (asked === null || this.#restsUntil.size >= ORIGINS_MAX) return;
    this.#restsUntil.set(origin, clock.monotonic() + Math.min(asked, REST_MAX_MS));
  }

  async #try(call: ServiceCall, endsAt: number): Promise<Tried> {
    const { clock, http, timer, tryMs } = this.#options;
    const ms = Math.max(1, Math.min(tryMs, endsAt - clock.monotonic()));
    const aborter = new AbortController();
    const cancel = timer(ms, () => aborter.abort(new NoAnswer(`no answer within ${Math.round(ms)} ms`)));
    try {
      const request = await whileOpen(Promise.resolve(call.prepare(aborter.signal)), aborter.signal);
      const restMs = this.#restMs(request.url);
      if (restMs > 0) return { reply: null, verdict: { is: 'again', reason: askedToWait(restMs) }, restMs };
      const reply = await whileOpen(http.send(request, aborter.signal), aborter.signal);
      const verdict = judgeRedirect(reply, request.url) ?? call.judge(reply);
      this.#noteRest(request.url, reply, verdict);
      return { reply, verdict, restMs: this.#restMs(request.url) };
    } catch (error) {
      return { reply: null, verdict: judgeFault(call.what, error), restMs: 0 };
    } finally {
      cancel();
    }
  }
}

function tellFaults(
  last: Verdict,
  before: Verdict | null,
  tries: number,
): { reason: string; cause: unknown } {
  const { reason, cause } = last.is === 'ok' ? { reason: '', cause: undefined } : last;
  const times = tries === 1 ? '' : `, tried ${tries} times`;
  if (before === null || before.is === 'ok' || !isNoAnswer(last)) return { reason: reason + times, cause };
  return { reason: `${reason}${times}; before that: ${before.reason}`, cause: before.cause };
}

function judgeFault(what: string, error: unknown): Verdict {
  if (error instanceof SidekeyError) throw ofCall(what, error);
  const reason = describeFault(error);
  if (TLS_REFUSED.test(codeOf(error)))
    throw new SidekeyError('provider_unreachable', `${what}: TLS: ${reason}`, { cause: error });
  return { is: 'again', reason, cause: error };
}
