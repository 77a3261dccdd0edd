/**
 * Who is logged in to what. A login belongs to a process (pid and start time) and a token. Each change is
 * written to the store first, so that logins survive restarts of keeper and agent, even of both at once, and
 * the store never lists a login that the process was told had ended.
 */
import type { ClientId } from '../ports.ts';
import type { TokenStore } from '../store-port.ts';

export type Role = 'user' | 'so';

/** A process may have several connections. */
export interface Connection {
  readonly process: string;
  readonly uid: number;
  readonly client: ClientId;
}

interface Login {
  uid: number | null;
  keeper: bigint | null;
  client: ClientId | null;
  /** Loaded from the store; the process has not reconnected since. */
  restored: boolean;
  /** By token serial. */
  readonly roles: Map<string, Role>;
}

type LoginStore = Pick<TokenStore, 'logins' | 'putLogin' | 'moveLogins' | 'dropLogins'>;

/** A process whose start time cannot be read could not be recognised again. */
export function isNamed(process: string): boolean {
  return /^\d+ /.test(process);
}

export class Logins {
  readonly #store: LoginStore;
  readonly #boot: string;
  readonly #logins = new Map<string, Login>();
  /** Logins that ended but could not be removed from the store: retried before the next change. */
  readonly #ended = new Set<string>();
  #keeper: bigint | null = null;

  constructor(store: LoginStore, boot: string) {
    this.#store = store;
    this.#boot = boot;
    for (const { process, uid, keeper, client, serial, role } of store.logins(boot)) {
      const login = this.#logins.get(process) ?? { uid, keeper, client, restored: true, roles: new Map() };
      login.roles.set(serial, role);
      this.#logins.set(process, login);
    }
  }

  processes(): string[] {
    return [...this.#logins.keys()];
  }

  role(process: string, serial: string): Role | null {
    return this.#logins.get(process)?.roles.get(serial) ?? null;
  }

  roles(process: string): ReadonlyMap<string, Role> {
    return this.#logins.get(process)?.roles ?? new Map();
  }

  keeperIs(boot: bigint): void {
    this.#keeper = boot;
  }

  #loginOf({ process, uid, client }: Connection): Login {
    const known = this.#logins.get(process);
    return known ?? { uid, keeper: this.#keeper, client, restored: false, roles: new Map() };
  }

  /** Throws store_failed, and then changes nothing. */
  begin(connection: Connection, serial: string, role: Role): void {
    const { process, uid } = connection;
    const login = this.#loginOf(connection);
    const row = { boot: this.#boot, process, uid, keeper: login.keeper, client: login.client };
    this.#dropEnded();
    if (isNamed(process)) this.#store.putLogin({ ...row, serial, role });
    login.roles.set(serial, role);
    this.#logins.set(process, login);
  }

  /**
   * The keeper's note also remembers the login, which is valid while the connection lasts, whatever happened
   * to the row.
   */
  noted(connection: Connection, serial: string, role: Role): void {
    const login = this.#loginOf(connection);
    login.roles.set(serial, role);
    this.#logins.set(connection.process, login);
  }

  /** Throws store_failed, and then the login stands. */
  end(process: string, serial: string): void {
    const login = this.#logins.get(process);
    if (login === undefined) return;
    if (isNamed(process)) this.#store.dropLogins({ process, serial });
    login.roles.delete(serial);
    if (login.roles.size === 0) this.#logins.delete(process);
  }

  /** Undoes begin(): the login ends now in any case, and in the store now or before the next login. */
  takeBack(process: string, serial: string): void {
    try {
      this.end(process, serial);
    } catch {
      this.#logins.get(process)?.roles.delete(serial);
      this.#ended.add(process);
    }
  }

  /** The process hung up or exited. */
  endProcess(process: string): void {
    if (!this.#logins.delete(process) || !isNamed(process)) return;
    this.#ended.add(process);
    try {
      this.#dropEnded();
    } catch {
      // The next login retries this, and fails if it fails.
    }
  }

  /** The token was initialized again. Throws store_failed. */
  endToken(serial: string): void {
    this.#store.dropLogins({ serial });
    for (const { roles } of this.#logins.values()) roles.delete(serial);
  }

  /**
   * The PIN was changed. As in PKCS#11, processes logged in with the old PIN stay logged in, but a restart of
   * keeper and agent restores only the login of the process that made the change. Throws store_failed.
   */
  pinChanged(serial: string, role: Role, by: string): void {
    this.#store.dropLogins({ serial, role, except: by });
  }

  /**
   * A process is connected. It keeps its logins, unless it hung up in between: then the connection on which
   * the login was last seen belonged to this same keeper, and is gone. Under a previous keeper nobody can
   * tell whether it hung up.
   */
  connected({ process, uid, client }: Connection, isOpen: (client: ClientId) => boolean): void {
    const login = this.#logins.get(process);
    if (login === undefined) return;
    const isSameKeeper = login.keeper === this.#keeper;
    const hungUp = isSameKeeper && login.client !== null && !isOpen(login.client);
    const isAnother = login.restored && login.uid !== null && login.uid !== uid;
    if (hungUp || isAnother) return this.endProcess(process);
    login.restored = false;
    if (!isSameKeeper) this.#move(process, login, uid, client);
  }

  /** The login's last known connection has ended; this is another connection of the same process. */
  moved({ process, uid, client }: Connection): void {
    const login = this.#logins.get(process);
    if (login !== undefined) this.#move(process, login, uid, client);
  }

  #move(process: string, login: Login, uid: number, client: ClientId): void {
    const keeper = this.#keeper;
    Object.assign(login, { uid, keeper, client });
    if (!isNamed(process)) return;
    try {
      this.#store.moveLogins(process, { uid, keeper, client });
    } catch {
      // The row still names the old connection; at worst, the login is forgotten with it.
    }
  }

  /** Ends logins last seen on a connection of this keeper that no longer exists. */
  endGone(isOpen: (client: ClientId) => boolean): void {
    for (const [process, { keeper, client }] of [...this.#logins])
      if (keeper === this.#keeper && client !== null && !isOpen(client)) this.endProcess(process);
  }

  #dropEnded(): void {
    for (const process of this.#ended) {
      this.#store.dropLogins({ process });
      this.#ended.delete(process);
    }
  }
}
