/** The latest processes that the keeper refused, with one entry and one log line each. */
import type { Logger } from '../log/logger.ts';
import type { ClientRefused } from './bodies.ts';

const REFUSED_MAX = 16;

export class RefusedClients {
  readonly #log: Logger;
  readonly #byPid = new Map<number, ClientRefused>();

  constructor(log: Logger) {
    this.#log = log;
  }

  list(): readonly ClientRefused[] {
    return [...this.#byPid.values()];
  }

  add(client: ClientRefused): void {
    const { pid, ...rest } = client;
    if (!this.#byPid.delete(pid))
      this.#log.warn(
        { client: pid, ...rest },
        'refused a process: its module has an unsupported protocol version',
      );
    this.#byPid.set(pid, client);
    for (const old of [...this.#byPid.keys()].slice(0, -REFUSED_MAX)) this.#byPid.delete(old);
  }
}
