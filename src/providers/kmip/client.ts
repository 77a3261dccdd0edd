/**
 * A KMIP server as something to ask: finds the version that both speak, retries what may be retried within one deadline, and tells a server that says
 * no from one that cannot be asked.
 */
import { SidekeyError } from '../../errors.ts';
import type { Clock } from '../../tokens/ports.ts';
import type { KmipConnection } from './connection.ts';
import { KmipResultError, KmipTransportError, mayRetry } from './fault.ts';
import * as message from './message.ts';
import type { KmipVersion, Payload } from './message.ts';
import { nameOf, OPERATION, RESULT_REASON, TAG } from './tables.ts';

const ATTEMPTS_MAX = 4;
const PAUSE_FIRST_MS = 100;
const PAUSE_MAX_MS = 1000;
/** Discover Versions came with 1.1. */
const FIRST_HEADER: KmipVersion = { major: 1, minor: 1 };
const OLDEST: KmipVersion = { major: 1, minor: 0 };

/** A fault of the server's own may be its way to say what it thinks of the data. */
const JUDGES: readonly number[] = [OPERATION.Decrypt, OPERATION.SignatureVerify];

export interface KmipPort {
  /** `end` is on the monotonic clock; `tryMs` bounds one attempt to connect. */
  use<T>(end: number, tryMs: number, work: (connection: KmipConnection) => Promise<T>): Promise<T>;
  close(): void;
}

export interface ClientOptions {
  readonly provider: string;
  readonly pool: KmipPort;
  /** Newest version that may be agreed on. */
  readonly newest: KmipVersion;
  readonly timeoutMs: number;
  readonly tryMs: number;
  readonly clock: Clock;
  readonly sleep: (ms: number) => Promise<unknown>;
  readonly random: (bytes: number) => Buffer;
}

export interface Call<T> {
  readonly operation: number;
  /** Of the key, for messages. */
  readonly key: string;
  /** Makes something: one try with all the time there is, since nobody knows afterwards whether it was done. */
  readonly once?: true;
  readonly request: (version: KmipVersion) => Payload;
  /** Copies what it wants to keep: the payload's bytes are wiped after it. */
  readonly response: (payload: Payload) => T;
}

export interface KmipCaller {
  /** Rejects with provider_refused or provider_unreachable, by the deadline. */
  call<T>(call: Call<T>): Promise<T>;
}

function ask<T>(
  connection: KmipConnection,
  version: KmipVersion,
  call: Omit<Call<T>, 'key'>,
  ms: number,
): Promise<T> {
  const request = message.encodeRequest(version, call.operation, call.request(version));
  return connection.exchange(request, ms).then((answer) => {
    try {
      return call.response(message.decodeResponse(answer, call.operation));
    } catch (error) {
      // A server that lost the thread may send anything next.
      if (
        error instanceof KmipTransportError ||
        (error instanceof KmipResultError && error.reason === RESULT_REASON.CodecError)
      )
        connection.close();
      throw error;
    } finally {
      answer.fill(0);
    }
  });
}

/** The server was exchanged for one of other versions, or means something else: asked anew once. */
function isOtherVersion(error: unknown): boolean {
  const reasons: number[] = [RESULT_REASON.UnsupportedProtocolVersion, RESULT_REASON.InvalidMessage];
  return error instanceof KmipResultError && reasons.includes(error.reason);
}

export class KmipClient {
  readonly #options: ClientOptions;
  #version: KmipVersion | null = null;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** For what takes several calls and has one deadline, which begins now. */
  begin(): KmipCaller {
    const end = this.#options.clock.monotonic() + this.#options.timeoutMs;
    return { call: (call) => this.#call(call, end) };
  }

  async #call<T>(call: Call<T>, end: number): Promise<T> {
    const { clock, sleep } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#try(call, end);
      } catch (error) {
        const pause = this.#pauseMs(attempt);
        const late = attempt >= ATTEMPTS_MAX || clock.monotonic() + pause >= end;
        if (late || !this.#isWorthRetry(error, call, attempt)) throw this.#translate(error, call);
        await sleep(pause);
      }
    }
  }

  close(): void {
    this.#options.pool.close();
  }

  #try<T>(call: Call<T>, end: number): Promise<T> {
    const { pool, tryMs, clock } = this.#options;
    const left = (): number => Math.max(1, Math.min(tryMs, end - clock.monotonic()));
    return pool.use(end, tryMs, async (connection) => {
      try {
        this.#version ??= await this.#negotiate(connection, left());
        const ms = call.once ? Math.max(1, end - clock.monotonic()) : left();
        return await ask(connection, this.#version, call, ms);
      } catch (error) {
        if (isOtherVersion(error)) this.#version = null;
        throw error;
      }
    });
  }

  async #negotiate(connection: KmipConnection, ms: number): Promise<KmipVersion> {
    const { newest } = this.#options;
    if (!message.isAtLeast(newest, FIRST_HEADER.major, FIRST_HEADER.minor)) return OLDEST;
    const ours = message.VERSIONS.filter(({ major, minor }) => message.isAtLeast(newest, major, minor));
    const discover = {
      operation: OPERATION.DiscoverVersions,
      request: () => ours.map(message.encodeVersion),
      response: (payload: Payload) =>
        message
          .findAll(payload, TAG.ProtocolVersion)
          .map((item) => message.decodeVersion(item.type === 'structure' ? item.value : [])),
    };
    try {
      const theirs = await ask(connection, FIRST_HEADER, discover, ms);
      const same = (a: KmipVersion) => theirs.some((b) => b?.major === a.major && b.minor === a.minor);
      const common = ours.find(same);
      if (common) return common;
      throw new KmipResultError(RESULT_REASON.UnsupportedProtocolVersion, 'no version that both speak');
    } catch (error) {
      // A server of 1.0 knows neither the operation nor the header.
      const unknown: number[] = [RESULT_REASON.OperationNotSupported, RESULT_REASON.InvalidMessage];
      if (error instanceof KmipResultError && unknown.includes(error.reason)) return OLDEST;
      throw error;
    }
  }

  #isWorthRetry<T>(error: unknown, { operation, once }: Call<T>, attempt: number): boolean {
    if (isOtherVersion(error) && attempt === 1) return true;
    if (once) return false;
    if (error instanceof KmipResultError) return mayRetry(error.reason, JUDGES.includes(operation));
    return error instanceof KmipTransportError && !error.refused;
  }

  #pauseMs(attempt: number): number {
    const most = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** (attempt - 1));
    return (this.#options.random(4).readUInt32BE() / 2 ** 32) * most;
  }

  #translate<T>(error: unknown, { operation, key }: Call<T>): unknown {
    const what = `provider "${this.#options.provider}" (key ${key}), ${nameOf(OPERATION, operation)}`;
    if (error instanceof SidekeyError) return error;
    if (!(error instanceof KmipResultError || error instanceof KmipTransportError)) return error;
    const own =
      error instanceof KmipResultError ? mayRetry(error.reason, JUDGES.includes(operation)) : !error.refused;
    const code = own ? 'provider_unreachable' : 'provider_refused';
    return new SidekeyError(code, `${what}: ${error.message}`, { cause: error });
  }
}
