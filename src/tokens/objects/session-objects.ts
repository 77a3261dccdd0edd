/**
 * Session objects: in memory only, destroyed with their session. A key has a cell that belongs to the client,
 * with a note from which the next agent recovers it; data and certificates end with the agent. If the keeper
 * ends, only copies of token keys remain (session-copies.ts), waiting for their process to reconnect.
 */
import { SidekeyError } from '../../errors.ts';
import { WireReader, WireWriter } from '../../wire/buffer.ts';
import { LIMITS } from '../../wire/tables.ts';
import { decodeAttributes, encodeAttributes } from './attribute-value.ts';
import { isNamed } from '../login/logins.ts';
import type { CellId, ClientId } from '../ports.ts';
import { FIRST_SESSION_HANDLE, type TokenObject } from './token-object.ts';

export const OBJECTS_PER_CLIENT_MAX = 10_000;
const NOTE_KIND = 'session-object 2';
/** A note without copyOf, written by an agent before an upgrade. */
const NOTE_KIND_BEFORE = 'session-object 1';

/** null: too large for a note; the object then ends with the agent. */
export function writeSessionNote(object: TokenObject): Buffer | null {
  const writer = new WireWriter().text(NOTE_KIND).u64(object.handle).u64(object.tokenId);
  writer
    .u64(object.session?.number ?? 0)
    .u64(object.session?.copyOf ?? 0)
    .u64(object.createdAt)
    .text(object.uniqueId);
  writer.raw(encodeAttributes(object.attributes));
  return writer.length > LIMITS.noteMax ? null : Buffer.from(writer.done());
}

/** null: not the note of a session object. */
export function readSessionNote(note: Buffer, client: ClientId, cell: CellId): TokenObject | null {
  const reader = new WireReader(note);
  const kind = reader.text(note.length);
  if (kind !== NOTE_KIND && kind !== NOTE_KIND_BEFORE) return null;
  const handle = reader.number();
  const tokenId = reader.number();
  const number = reader.number();
  const copyOf = kind === NOTE_KIND ? reader.number() : 0;
  const session = { client, number, cell, ...(copyOf === 0 ? {} : { copyOf }) };
  const createdAt = reader.number();
  const uniqueId = reader.text(64);
  const attributes = decodeAttributes(note.subarray(note.length - reader.left));
  return { handle, tokenId, uniqueId, attributes, blob: null, createdAt, session };
}

/** Without a cell, which the next use opens. */
function belongingTo(client: ClientId, object: TokenObject): TokenObject {
  return object.session === null ? object : { ...object, session: { ...object.session, client, cell: null } };
}

export class SessionObjects {
  readonly #objects = new Map<number, TokenObject>();
  readonly #byClient = new Map<ClientId, Set<number>>();
  readonly #processes = new Map<ClientId, string>();
  /** Copies whose keeper has ended, by process. */
  readonly #waiting = new Map<string, TokenObject[]>();
  #next: number;

  /** Handles start at a random number, so that handles of a previous agent do not name other objects. */
  constructor(random: (bytes: number) => Buffer) {
    this.#next = FIRST_SESSION_HANDLE + random(6).readUIntLE(0, 6);
  }

  /**
   * memory: the process has reached its limit of session objects, as all processes share the agent's memory.
   */
  takeHandle(client: ClientId): number {
    if ((this.#byClient.get(client)?.size ?? 0) >= OBJECTS_PER_CLIENT_MAX)
      throw new SidekeyError('memory', `client ${client} has ${OBJECTS_PER_CLIENT_MAX} session objects`);
    return this.#next++;
  }

  put(object: TokenObject): void {
    if (object.session === null) return;
    this.#objects.set(object.handle, object);
    const handles = this.#byClient.get(object.session.client) ?? new Set();
    this.#byClient.set(object.session.client, handles.add(object.handle));
    this.#next = Math.max(this.#next, object.handle + 1);
  }

  /** Visible only to its own process. */
  get(client: ClientId, handle: number): TokenObject | null {
    const object = this.#objects.get(handle);
    return object?.session?.client === client ? object : null;
  }

  has(handle: number): boolean {
    return this.#objects.has(handle);
  }

  /** Ascending by handle. */
  list(client: ClientId, tokenId: number): TokenObject[] {
    const handles = [...(this.#byClient.get(client) ?? [])].sort((a, b) => a - b);
    return handles
      .map((handle) => this.#objects.get(handle))
      .filter((object) => object?.tokenId === tokenId) as TokenObject[];
  }

  all(): TokenObject[] {
    return [...this.#objects.values()];
  }

  remove(object: TokenObject): void {
    this.#objects.delete(object.handle);
    const client = object.session?.client;
    if (client !== undefined) this.#byClient.get(client)?.delete(object.handle);
  }

  /** Returns the waiting copies of a process to its new client. */
  connected(client: ClientId, process: string): void {
    if (!isNamed(process)) return;
    this.#processes.set(client, process);
    for (const object of this.#waiting.get(process) ?? []) this.put(belongingTo(client, object));
    this.#waiting.delete(process);
  }

  /** Processes with copies that have not reconnected yet. */
  awaited(): string[] {
    return [...this.#waiting.keys()];
  }

  forget(process: string): void {
    this.#waiting.delete(process);
  }

  /** The keeper has dropped the client's cells together with the client. */
  removeClient(client: ClientId): void {
    this.#processes.delete(client);
    for (const handle of this.#byClient.get(client) ?? []) this.#objects.delete(handle);
    this.#byClient.delete(client);
  }

  removeCell(cell: CellId): void {
    const object = this.all().find(({ session }) => session?.cell === cell);
    if (object === undefined) return;
    if (object.session?.copyOf === undefined) this.remove(object);
    else this.put(belongingTo(object.session.client, object));
  }

  /** The cells of a token's copies, which no longer own them. */
  closeCopies(tokenId: number): CellId[] {
    const cells: CellId[] = [];
    for (const object of this.all()) {
      const { session } = object;
      if (object.tokenId !== tokenId || session?.copyOf === undefined || session.cell === null) continue;
      cells.push(session.cell);
      this.put(belongingTo(session.client, object));
    }
    return cells;
  }

  /** A new keeper has none of these cells, and numbers its clients differently. */
  keeperChanged(): void {
    for (const object of this.#objects.values()) this.#await(object);
    this.#objects.clear();
    this.#byClient.clear();
    this.#processes.clear();
  }

  #await(object: TokenObject): void {
    const process = this.#processes.get(object.session?.client ?? 0n);
    if (process === undefined || object.session?.copyOf === undefined) return;
    const waiting = this.#waiting.get(process) ?? [];
    waiting.push(object);
    this.#waiting.set(process, waiting);
  }
}
