/**
 * The connected processes, and who of them is logged in to what. Login belongs to a process (pid and start time) and a
 * token, so that it outlives a restart of the keeper, and through the client's note also one of the agent.
 */
import { SidekeyError } from '../errors.ts';
import type { Peer } from '../access/peer.ts';
import type { ClientId, ClientSeen } from './ports.ts';

export type Role = 'user' | 'so';

export interface Client {
  readonly id: ClientId;
  readonly peer: Peer;
  readonly program: string;
  /** One process as the kernel tells it from all others. */
  readonly process: string;
}

export type ReadPeer = (
  pid: number,
  uid: number,
  gid: number,
  groups: readonly number[],
) => Peer | Promise<Peer>;

/** Login of a note: token's serial and role. */
type NotedLogins = Record<string, Role>;

function parseNote(note: Buffer | null): NotedLogins {
  if (note === null || note.length === 0) return {};
  const value: unknown = JSON.parse(note.toString('utf8'));
  if (typeof value !== 'object' || value === null) return {};
  const entries = Object.entries(value).filter(([, role]) => role === 'user' || role === 'so');
  return Object.fromEntries(entries) as NotedLogins;
}

export class Clients {
  readonly #clients = new Map<ClientId, Promise<Client>>();
  /** By process, then by the token's serial. */
  readonly #logins = new Map<string, Map<string, Role>>();
  readonly #readPeer: ReadPeer;

  constructor(readPeer: ReadPeer) {
    this.#readPeer = readPeer;
  }

  ids(): ClientId[] {
    return [...this.#clients.keys()];
  }

  /** A process connected, or is found connected. Its frames wait in find() until it is known. */
  async open(seen: ClientSeen): Promise<void> {
    const client = this.#clients.get(seen.client) ?? this.#describe(seen);
    this.#clients.set(seen.client, client);
    await client;
  }

  async #describe({ client: id, pid, uid, gid, groups, program, note }: ClientSeen): Promise<Client> {
    const peer = await this.#readPeer(pid, uid, gid, groups);
    const process = peer.startTime === null ? `client ${id}` : `${pid} ${peer.startTime}`;
    for (const [serial, role] of Object.entries(parseNote(note))) this.#loginsOf(process).set(serial, role);
    return { id, peer, program, process };
  }

  async find(id: ClientId): Promise<Client> {
    const client = await this.#clients.get(id);
    if (client === undefined) throw new SidekeyError('internal', `client ${id} is not known`);
    return client;
  }

  /** The process hung up: what it was logged in to, it is no longer, unless it has another connection. */
  async close(id: ClientId): Promise<void> {
    const closing = this.#clients.get(id);
    this.#clients.delete(id);
    // Those connected at this moment: a connection that comes after is a program that begins anew.
    const others = await Promise.all(this.#clients.values());
    const closed = await closing;
    if (closed === undefined) return;
    if (!others.some(({ process }) => process === closed.process)) this.#logins.delete(closed.process);
  }

  /** The connections of one process, this one among them: they are logged in and out together. */
  async sharing(client: Client): Promise<ClientId[]> {
    const all = await Promise.all(this.#clients.values());
    return all.filter(({ process }) => process === client.process).map(({ id }) => id);
  }

  /** The keeper is gone and its numbers with it; logins wait for their processes to come back. */
  forgetNumbers(): void {
    this.#clients.clear();
  }

  /** Drops the logins of processes that ended while the keeper was away. One that is merely idle has yet to reconnect. */
  async pruneLogins(): Promise<void> {
    const present = new Set((await Promise.all(this.#clients.values())).map(({ process }) => process));
    for (const process of [...this.#logins.keys()]) {
      if (!present.has(process) && !(await this.#isAlive(process))) this.#logins.delete(process);
    }
  }

  async #isAlive(process: string): Promise<boolean> {
    const [pid = '', startTime = ''] = process.split(' ');
    if (!/^\d+$/.test(pid)) return false;
    return (await this.#readPeer(Number(pid), 0, 0, [])).startTime === startTime;
  }

  #loginsOf(process: string): Map<string, Role> {
    const known = this.#logins.get(process);
    if (known !== undefined) return known;
    const logins = new Map<string, Role>();
    this.#logins.set(process, logins);
    return logins;
  }

  /** Every login of a process that can be told from others, for the next start of the service. */
  logins(): { process: string; serial: string; role: Role }[] {
    return [...this.#logins]
      .filter(([process]) => /^\d+ /.test(process))
      .flatMap(([process, roles]) => [...roles].map(([serial, role]) => ({ process, serial, role })));
  }

  /** What logins() gave before the service was stopped. Who ended meanwhile goes with the next pruneLogins. */
  restore(logins: readonly { process: string; serial: string; role: Role }[]): void {
    for (const { process, serial, role } of logins) this.#loginsOf(process).set(serial, role);
  }

  role(client: Client, serial: string): Role | null {
    return this.#logins.get(client.process)?.get(serial) ?? null;
  }

  setRole(client: Client, serial: string, role: Role | null): void {
    const logins = this.#loginsOf(client.process);
    if (role === null) logins.delete(serial);
    else logins.set(serial, role);
  }

  /** The token is another one now, or its PIN is. */
  logoutEverybody(serial: string): void {
    for (const logins of this.#logins.values()) logins.delete(serial);
  }

  /** What the keeper should remember of this client. */
  noteOf(client: Client): Buffer {
    return Buffer.from(JSON.stringify(Object.fromEntries(this.#loginsOf(client.process))));
  }
}
