/** At most so many connections to one server. A connection is used by one request at a time, and not after the files of its identity changed. */
import type { Clock } from '../../tokens/ports.ts';
import { openConnection, type Address, type KmipConnection } from './connection.ts';
import { KmipTransportError, toTransportError } from './fault.ts';
import { readTlsIdentity, stampTlsFiles, type TlsFiles } from './tls-files.ts';

/** Servers close idle connections; one that may just be closing is not worth the risk. */
const IDLE_MAX_MS = 30_000;

interface Idle {
  readonly connection: KmipConnection;
  readonly since: number;
}

export interface PoolOptions {
  readonly address: Address;
  readonly files: TlsFiles;
  readonly connections: number;
  readonly clock: Clock;
}

export class KmipPool {
  readonly #options: PoolOptions;
  readonly #open = new Set<KmipConnection>();
  #idle: Idle[] = [];
  #waiters: ((place: boolean) => void)[] = [];
  #taken = 0;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** `work` gets a connection for itself. Rejects with KmipTransportError, by its end (on the monotonic clock), or as `work` does. */
  async use<T>(end: number, tryMs: number, work: (connection: KmipConnection) => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const left = () => Math.max(1, end - clock.monotonic());
    await this.#place(left());
    let connection: KmipConnection | null = null;
    try {
      connection = this.#reuse() ?? (await this.#connect(Math.min(tryMs, left())));
      return await work(connection);
    } finally {
      if (connection) this.#rest(connection);
      this.#leave();
    }
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#open) connection.close();
    for (const waiter of this.#waiters.splice(0)) waiter(false);
  }

  async #place(timeoutMs: number): Promise<void> {
    if (this.#closed) throw new KmipTransportError('the provider is closed');
    if (this.#taken >= this.#options.connections) return this.#wait(timeoutMs);
    this.#taken++;
  }

  /** The place goes from hand to hand: who came between a leaving and a waking would be one too many. */
  #leave(): void {
    const next = this.#waiters.shift();
    if (next) next(true);
    else this.#taken--;
  }

  #wait(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter = (place: boolean): void => {
        clearTimeout(timer);
        this.#waiters = this.#waiters.filter((each) => each !== waiter);
        if (place) resolve();
        else reject(new KmipTransportError('all connections were in use until the deadline'));
      };
      const timer = setTimeout(() => waiter(false), timeoutMs);
      this.#waiters.push(waiter);
    });
  }

  #reuse(): KmipConnection | null {
    const { files, clock } = this.#options;
    const stamp = stampTlsFiles(files);
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      const { connection, since } = idle;
      const fresh = clock.monotonic() - since < IDLE_MAX_MS && connection.stamp === stamp;
      if (connection.isOpen && fresh) return connection;
      this.#drop(connection);
    }
    return null;
  }

  async #connect(timeoutMs: number): Promise<KmipConnection> {
    const { address, files } = this.#options;
    const stamp = stampTlsFiles(files);
    let identity;
    try {
      identity = readTlsIdentity(files);
    } catch (error) {
      throw toTransportError(error, 'the files of the TLS identity cannot be read');
    }
    const connection = await openConnection(address, identity, stamp, timeoutMs);
    this.#open.add(connection);
    if (this.#closed) connection.close();
    return connection;
  }

  #rest(connection: KmipConnection): void {
    if (!connection.isOpen || this.#closed) return this.#drop(connection);
    connection.rest();
    this.#idle.push({ connection, since: this.#options.clock.monotonic() });
  }

  #drop(connection: KmipConnection): void {
    connection.close();
    this.#open.delete(connection);
  }
}
