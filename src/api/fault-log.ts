/** What is logged of requests that failed, and how much of it: whoever can connect can be refused twenty thousand times a second. */
import type { Logger } from 'pino';
import type { Peer } from '../access/peer.ts';
import { SidekeyError } from '../errors.ts';
import { LinesAMinute } from '../log/lines-a-minute.ts';
import type { Clock } from '../tokens/ports.ts';
import { faultOf, Refusal } from './fault.ts';

const LINES_A_MINUTE = 60;
/** Of requests whose peer is not known. */
const NO_UID = -1;

/** Messages of our own errors quote no input and no secret. A foreign one might, and a refused request is not worth that. */
function reasonOf(error: unknown): string | undefined {
  return error instanceof Refusal || error instanceof SidekeyError ? error.message : undefined;
}

/** What is logged of a request: fastify's, or one that was served before it. */
export interface Asked {
  readonly method: string;
  readonly routeOptions: { readonly url?: string | undefined };
  readonly id: string;
}

/** A key service's faults, which have a line of their own (src/metrics/provider-log.ts), and come with every request while it is down. */
function isOfService(error: unknown): boolean {
  return error instanceof SidekeyError && error.code.startsWith('provider_');
}

export class FaultLog {
  readonly #logger: Logger;
  readonly #lines: LinesAMinute;

  constructor(logger: Logger, clock: Pick<Clock, 'monotonic'>) {
    this.#logger = logger;
    this.#lines = new LinesAMinute(LINES_A_MINUTE, () => clock.monotonic());
  }

  /** Once per failure: what the client or a key service did wrong as info, what we did wrong as an error with its stack. */
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

  /** What Node's parser refused. */
  brokeOff(code: string | undefined): void {
    this.#info(NO_UID, { code }, 'API connection broke off');
  }

  #info(uid: number, what: object, message: string): void {
    const unlogged = this.#lines.take(uid);
    if (unlogged !== null) this.#logger.info(unlogged === 0 ? what : { ...what, unlogged }, message);
  }
}
