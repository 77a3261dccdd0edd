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
  /** Connections whose process is being read, and those of which it is known; these also by process. */
  readonly #opening = new Map<ClientId, Promise<Client>>();
  readonly #known = new Map<ClientId, Client>();
  readonly #byProcess = new Map<string, Set<Client>>();
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
    return [...this.#known.keys(), ...this.#opening.keys()];
  }

  /**
   * A process connected, or was found connected after an attach. Its frames wait in find() until it is known.
   */
  async open(seen: ClientSeen): Promise<void> {
    const id = seen.client;
    if (this.#known.has(id)) return;
    const opening = this.#opening.get(id) ?? this.#describe(seen);
    this.#opening.set(id, opening);
    const client = await opening;
    // It may have hung up meanwhile.
    if (this.#opening.get(id) === opening) this.#add(client);
  }

  #add(client: Client): void {
    this.#opening.delete(client.id);
    this.#known.set(client.id, client);
    const connections = this.#byProcess.get(client.process) ?? new Set();
    this.#byProcess.set(client.process, connections.add(client));
  }

  #remove(id: ClientId): void {
    const client = this.#known.get(id);
    this.#opening.delete(id);
    this.#known.delete(id);
    if (client === undefined) return;
    const connections = this.#byProcess.get(client.process);
    connections?.delete(client);
    if (connections?.size === 0) this.#byProcess.delete(client.process);
  }

  async #describe({ client: id, pid, uid, gid, groups, program, note }: ClientSeen): Promise<Client> {
    const keepers = this.#keepers;
    const peer = await this.#readPeer(pid, uid, gid, groups);
    const process = peer.startTime === null ? `client ${id}` : `${pid} ${peer.startTime}`;
    const connection = { process, uid, client: id };
    this.#logins.connected(connection, (client) => this.#isOpen(client));
    for (const [serial, role] of Object.entries(parseNote(note)))
      this.#logins.noted(connection, serial, role);
    // If that keeper has ended meanwhile, this number belongs to nobody or to somebody else.
    if (keepers === this.#keepers) this.#connected(id, process);
    return { id, peer, program, process };
  }

  #isOpen(id: ClientId): boolean {
    return this.#known.has(id) || this.#opening.has(id);
  }

  async find(id: ClientId): Promise<Client> {
    const client = this.#known.get(id) ?? (await this.#opening.get(id));
    if (client === undefined) throw new SidekeyError('internal', `client ${id} does not exist`);
    return client;
  }

  /** The process hung up: its logins end, unless it has another connection. */
  async close(id: ClientId): Promise<void> {
    const known = this.#known.get(id);
    const opening = this.#opening.get(id);
    this.#remove(id);
    // Only connections that exist now count: one made later is a program starting afresh.
    const others = this.#present(known?.process);
    const closed = known ?? (await opening);
    if (closed === undefined) return;
    const other = (await others).find(({ process }) => process === closed.process);
    if (other === undefined) this.#logins.endProcess(closed.process);
    else this.#logins.moved(connectionOf(other));
  }

  /** All connections of one process, this one included: they log in and out together. */
  async sharing(client: Client): Promise<ClientId[]> {
    const all = await this.#present(client.process);
    return all.filter(({ process }) => process === client.process).map(({ id }) => id);
  }

  /**
   * Connections that exist now: of a process, and those of which it is not known yet whose they are. Without a process: all.
   * A thousand processes may end at once, so who asks for one does not look at them all.
   */
  async #present(process?: string): Promise<Client[]> {
    const known = process === undefined ? this.#known.values() : (this.#byProcess.get(process) ?? []);
    const now = [...known];
    const opened = await Promise.allSettled(this.#opening.values());
    return [...now, ...opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))];
  }

  /** The keeper is gone, and its numbers with it; logins wait for their processes to reconnect. */
  forgetNumbers(): void {
    this.#keepers++;
    this.#opening.clear();
    this.#known.clear();
    this.#byProcess.clear();
  }

  /**
   * Ends the logins of processes that exited while the keeper was away. An idle process may still reconnect.
   */
  async pruneLogins(): Promise<void> {
    const present = new Set((await this.#present()).map(({ process }) => process));
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
