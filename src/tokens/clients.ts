/** The connected processes. Their logins are in logins.ts, and end with a process's last connection. */
import { SidekeyError } from '../errors.ts';
import type { Peer } from '../access/peer.ts';
import type { Connection, Logins, Role } from './login/logins.ts';
import type { ClientId, ClientSeen } from './ports.ts';

export interface Client {
  readonly id: ClientId;
  readonly peer: Peer;
  readonly program: string;
  /** Identifies one process among all, past and present: pid and start time. */
  readonly process: string;
}

export type ReadPeer = (
  pid: number,
  uid: number,
  gid: number,
  groups: readonly number[],
) => Peer | Promise<Peer>;

/** The logins in a note: token serial to role. */
type NotedLogins = Record<string, Role>;

function parseNote(note: Buffer | null): NotedLogins {
  if (note === null || note.length === 0) return {};
  const value: unknown = JSON.parse(note.toString('utf8'));
  if (typeof value !== 'object' || value === null) return {};
  const entries = Object.entries(value).filter(([, role]) => role === 'user' || role === 'so');
  return Object.fromEntries(entries) as NotedLogins;
}

export function connectionOf({ id, peer, process }: Client): Connection {
  return { process, uid: peer.uid, client: id };
}

export class Clients {
  readonly #clients = new Map<ClientId, Promise<Client>>();
  readonly #logins: Logins;
  readonly #readPeer: ReadPeer;
  readonly #connected: (client: ClientId, process: string) => void;
  #keepers = 0;

  /** `connected` is called for each process before its first frame is read. */
  constructor(
    readPeer: ReadPeer,
    logins: Logins,
    connected: (client: ClientId, process: string) => void = () => undefined,
  ) {
    this.#readPeer = readPeer;
    this.#logins = logins;
    this.#connected = connected;
  }

  ids(): ClientId[] {
    return [...this.#clients.keys()];
  }

  /**
   * A process connected, or was found connected after an attach. Its frames wait in find() until it is known.
   */
  async open(seen: ClientSeen): Promise<void> {
    const client = this.#clients.get(seen.client) ?? this.#describe(seen);
    this.#clients.set(seen.client, client);
    await client;
  }

  async #describe({ client: id, pid, uid, gid, groups, program, note }: ClientSeen): Promise<Client> {
    const keepers = this.#keepers;
    const peer = await this.#readPeer(pid, uid, gid, groups);
    const process = peer.startTime === null ? `client ${id}` : `${pid} ${peer.startTime}`;
    const connection = { process, uid, client: id };
    this.#logins.connected(connection, (client) => this.#clients.has(client));
    for (const [serial, role] of Object.entries(parseNote(note)))
      this.#logins.noted(connection, serial, role);
    // If that keeper has ended meanwhile, this number belongs to nobody or to somebody else.
    if (keepers === this.#keepers) this.#connected(id, process);
    return { id, peer, program, process };
  }

  async find(id: ClientId): Promise<Client> {
    const client = await this.#clients.get(id);
    if (client === undefined) throw new SidekeyError('internal', `client ${id} does not exist`);
    return client;
  }

  /** The process hung up: its logins end, unless it has another connection. */
  async close(id: ClientId): Promise<void> {
    const closing = this.#clients.get(id);
    this.#clients.delete(id);
    // Only connections that exist now count: one made later is a program starting afresh.
    const others = await Promise.all(this.#clients.values());
    const closed = await closing;
    if (closed === undefined) return;
    const other = others.find(({ process }) => process === closed.process);
    if (other === undefined) this.#logins.endProcess(closed.process);
    else this.#logins.moved(connectionOf(other));
  }

  /** All connections of one process, this one included: they log in and out together. */
  async sharing(client: Client): Promise<ClientId[]> {
    const all = await Promise.all(this.#clients.values());
    return all.filter(({ process }) => process === client.process).map(({ id }) => id);
  }

  /** The keeper is gone, and its numbers with it; logins wait for their processes to reconnect. */
  forgetNumbers(): void {
    this.#keepers++;
    this.#clients.clear();
  }

  /**
   * Ends the logins of processes that exited while the keeper was away. An idle process may still reconnect.
   */
  async pruneLogins(): Promise<void> {
    const present = new Set((await Promise.all(this.#clients.values())).map(({ process }) => process));
    for (const process of this.#logins.processes())
      if (!present.has(process) && !(await this.isAlive(process))) this.#logins.endProcess(process);
  }

  async isAlive(process: string): Promise<boolean> {
    const [pid = '', startTime = ''] = process.split(' ');
    if (!/^\d+$/.test(pid)) return false;
    return (await this.#readPeer(Number(pid), 0, 0, [])).startTime === startTime;
  }

  /** What the keeper should remember of this client. */
  noteOf({ process }: Client): Buffer {
    return Buffer.from(JSON.stringify(Object.fromEntries(this.#logins.roles(process))));
  }
}
