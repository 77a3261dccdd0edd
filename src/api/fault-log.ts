/**
 * Logs failed requests, with a bounded number of lines: anybody who can connect can be refused twenty
 * thousand times a second.
 */
import type { Logger } from 'pino';
import type { Peer } from '../access/peer.ts';
import { SidekeyError } from '../errors.ts';
import { LogRateLimit } from '../log/log-rate-limit.ts';
import type { Clock } from '../tokens/ports.ts';
import { faultOf, Refusal } from './fault.ts';

const LINES_A_MINUTE = 60;
/** For requests whose peer is unknown. */
const NO_UID = -1;

/**
 * Messages of our own errors quote no input and no secret. Others might, so they are left out for refused
 * requests.
 */
function reasonOf(error: unknown): string | undefined {
  return error instanceof Refusal || error instanceof SidekeyError ? error.message : undefined;
}

/** What is logged of a request, whether fastify handled it or the hot path. */
export interface Asked {
  readonly method: string;
  readonly routeOptions: { readonly url?: string | undefined };
  readonly id: string;
}

/**
 * Faults of a key service are logged elsewhere (src/metrics/provider-log.ts): while it is down, every request
 * has one.
 */
function isOfService(error: unknown): boolean {
  return error instanceof SidekeyError && error.code.startsWith('provider_');
}

export class FaultLog {
  readonly #logger: Logger;
  readonly #lines: LogRateLimit;

  constructor(logger: Logger, clock: Pick<Clock, 'monotonic'>) {
    this.#logger = logger;
    this.#lines = new LogRateLimit(LINES_A_MINUTE, () => clock.monotonic());
  }

  /** Once per failure: faults of the client or a key service as info, our own as an error with its stack. */
  fault(request: Asked, peer: Peer | null, error: unknown): void {
    const { status } = faultOf(error);
    const { method, routeOptions, id } = request;
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const who = { requestId: id, peer: peer && { pid: peer.pid, uid: peer.uid } };
    const what = { ...who, method, route: routeOptions.url, status, code };
    if (status >= 500 && !isOfService(error)) {
      this.#logger.error({ ...what, err: error }, 'API request failed');
      return;
    }
    const ended = status < 500 ? 'API request refused' : 'API request failed';
    this.#info(peer?.uid ?? NO_UID, { ...what, reason: reasonOf(error) }, ended);
  }

  /** Node's parser rejected the request. */
  brokeOff(code: string | undefined): void {
    this.#info(NO_UID, { code }, 'API connection broke off');
  }

  #info(uid: number, what: object, message: string): void {
    const unlogged = this.#lines.take(uid);
    if (unlogged !== null) this.#logger.info(unlogged === 0 ? what : { ...what, unlogged }, message);
  }
}
