/**
 * Implements the domain's Keeper port over the control connection: messages, bodies and deadlines. While no
 * keeper is attached, every call rejects with keeper_absent; keeper-link.ts attaches and reattaches it.
 */
import { randomBytes } from 'node:crypto';
import { SidekeyError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type {
  Binding,
  CellId,
  CellSeen,
  ClientId,
  ClientSeen,
  Keeper,
  KeeperState,
  MadeKey,
  Mechanism,
  MechanismRow,
  NewKey,
  Outcome,
  Template,
  UsageSeen,
} from '../tokens/ports.ts';
import { WireWriter, type WireReader } from '../wire/buffer.ts';
import { LIMITS, type MessageName } from '../wire/tables.ts';
import { writeMechanism } from '../wire/template.ts';
import * as bodies from './bodies.ts';
import { introduce, type Attachment } from './introduction.ts';
import { KeeperConnection } from './keeper-connection.ts';
import { KeyOperations } from './key-operations.ts';
import { RefusedClients } from './refused-clients.ts';
import { RoutedFrames, type KeeperEvents } from './routed-frames.ts';
import { Searches } from './searches.ts';
import { wipeSecret } from './secret-components.ts';

const PAGES_MAX = 10_000;
const RANDOM_MAX = 32 * 1024 * 1024;

/** new-key for what is not a key: derived data (CKO_DATA), domain parameters. */
const NO_KEY: NewKey = {
  ...{ objectClass: 0, keyType: 0, owner: null, leaseMs: null, uses: null, note: null, seal: null },
};

const CKO_DOMAIN_PARAMETERS = 6;
/** CKM_ of searches for primes: RSA pairs, domain parameters of DSA and X9.42. */
const SEARCHING: readonly number[] = [0x00, 0x0a, 0x2000, 0x2002];

export class KeeperClient implements Keeper {
  readonly #searches = new Searches(LIMITS.generateDeadlineMs);
  readonly #log: Logger;
  #attachment: Attachment | null = null;
  #events: KeeperEvents | null = null;
  readonly #operations = new KeyOperations(
    () => this.#attachment,
    (body) => this.#ask('cell_operate', body),
  );
  #stranger: number | null = null;
  readonly #refused: RefusedClients;

  constructor(log: Logger) {
    this.#log = log;
    this.#refused = new RefusedClients(log);
  }

  /** Sets the receiver of routed requests and events. Call before the first attach. */
  serve(events: KeeperEvents): void {
    this.#events = events;
  }

  get pid(): number | null {
    return this.#attachment?.pid ?? null;
  }

  /** The protocol version spoken with the keeper; null while none is attached. */
  get wire(): number | null {
    return this.#attachment?.version ?? null;
  }

  /** The latest processes that were refused, one entry each. */
  refused(): readonly bodies.ClientRefused[] {
    return this.#refused.list();
  }

  get boot(): bigint | null {
    return this.#attachment?.boot ?? null;
  }

  /**
   * Connects, attaches and has the domain restore its state; resolves when requests are served. `lost` is
   * called once when the connection ends. Rejects with keeper_absent, agent_present or wire_version.
   */
  async attach(path: string, lost: (reason: string) => void): Promise<void> {
    const routed = new RoutedFrames(this.#events, this.#log, (client) => this.#refused.add(client));
    const connection = await KeeperConnection.open(path, {
      frame: (frame) => routed.accept(connection, frame),
      closed: (reason) => this.#lose(connection, routed, reason, lost),
    });
    try {
      this.#attachment = await introduce(connection, path);
      routed.version = this.#attachment.version;
      await this.#events?.keeperAttached(this.#attachment.boot);
      routed.open();
    } catch (error) {
      const isOther = error instanceof SidekeyError && error.code === 'wire_version';
      this.#stranger = isOther ? connection.peerPid : null;
      connection.close('attaching failed');
      throw error;
    }
  }

  /** The pid of the keeper with which the last attach() failed with wire_version. */
  get stranger(): number | null {
    return this.#stranger;
  }

  /** Ends the connection; the keeper continues. */
  detach(): void {
    this.#attachment?.connection.close('the agent detached');
  }

  /** Ends the keeper, and wipes every key in it. */
  async shutdown(): Promise<void> {
    await this.#ask('shutdown', new WireWriter());
  }

  #lose(
    connection: KeeperConnection,
    routed: RoutedFrames,
    reason: string,
    lost: (reason: string) => void,
  ): void {
    routed.close();
    if (this.#attachment?.connection !== connection) return;
    this.#attachment.frames?.close();
    this.#attachment = null;
    this.#events?.keeperLost();
    lost(reason);
  }

  get #version(): number {
    return this.#attachment?.version ?? LIMITS.version;
  }

  #ask(message: MessageName, body: WireWriter, deadlineMs: number = LIMITS.deadlineMs): Promise<Buffer> {
    const attachment = this.#attachment;
    if (attachment) return attachment.connection.request(message, body.done(), deadlineMs);
    body.done().fill(0);
    return Promise.reject(new SidekeyError('keeper_absent', 'no keeper is attached'));
  }

  async #tell(message: MessageName, body: WireWriter): Promise<void> {
    bodies.readBody(await this.#ask(message, body), () => undefined);
  }

  async #make(message: MessageName, body: WireWriter, deadlineMs?: number): Promise<MadeKey> {
    return bodies.readBody(await this.#ask(message, body, deadlineMs), bodies.readMade);
  }

  /** All pages of a list; the next page starts at `numberOf` the last entry. */
  async #list<T>(
    message: MessageName,
    read: (reader: WireReader) => T,
    numberOf: (entry: T) => bigint,
  ): Promise<T[]> {
    const all: T[] = [];
    let after = 0n;
    for (let page = 0; page < PAGES_MAX; page++) {
      const reply = await this.#ask(message, new WireWriter().u64(after));
      const { entries, more } = bodies.readBody(reply, (reader) => bodies.readPage(reader, read));
      all.push(...entries);
      const last = entries.at(-1);
      if (!more || last === undefined) return all;
      after = numberOf(last);
    }
    throw new SidekeyError('wire_malformed', `the list of ${message} does not end`);
  }

  mechanisms(): readonly MechanismRow[] {
    return this.#attachment?.mechanisms ?? [];
  }

  async state(): Promise<KeeperState> {
    const version = this.#version;
    const reply = await this.#ask('state', new WireWriter());
    return bodies.readBody(reply, (reader) => bodies.readState(reader, version));
  }

  clients(): Promise<ClientSeen[]> {
    const version = this.#version;
    const read = (reader: WireReader): ClientSeen => bodies.readClientSeen(reader, version);
    return this.#list('client_list', read, ({ client }) => client);
  }

  noteClient(client: ClientId, note: Buffer): Promise<void> {
    return this.#tell('client_note', new WireWriter().u64(client).bytes(note));
  }

  cells(): Promise<CellSeen[]> {
    return this.#list('cell_list', bodies.readCellSeen, ({ cell }) => cell);
  }

  generate(key: NewKey, mechanism: Mechanism, template: Template): Promise<MadeKey> {
    const make = () =>
      this.#make('cell_generate', bodies.writeGenerate(key, mechanism, template), LIMITS.generateDeadlineMs);
    return SEARCHING.includes(mechanism.type) ? this.#searches.run(make) : make();
  }

  async generateDomain(mechanism: Mechanism, template: Template): Promise<Template> {
    const wanted = { ...NO_KEY, objectClass: CKO_DOMAIN_PARAMETERS };
    const { components } = await this.generate(wanted, mechanism, template);
    return components;
  }

  async importComponents(key: NewKey, components: Template): Promise<MadeKey> {
    try {
      return await this.#make('cell_import', bodies.writeImport(key, 0n, components));
    } finally {
      wipeSecret(key.objectClass, components);
    }
  }

  importMaterial(key: NewKey, routedId: bigint, components: Template): Promise<MadeKey> {
    return this.#make('cell_import', bodies.writeImport(key, routedId, components));
  }

  open(key: NewKey, by: CellId, aad: Buffer, blob: Buffer): Promise<MadeKey> {
    return this.#make('cell_open', bodies.writeNewKey(new WireWriter(), key).u64(by).bytes(aad).bytes(blob));
  }

  unwrap(
    key: NewKey,
    by: CellId,
    mechanism: Mechanism,
    wrapped: Buffer,
    lengthBytes: number | null,
  ): Promise<MadeKey> {
    const writer = bodies.writeNewKey(new WireWriter(), key).u64(by);
    writeMechanism(writer, mechanism);
    return this.#make('cell_unwrap', writer.bytes(wrapped).u64(lengthBytes ?? 0));
  }

  derive(
    key: NewKey,
    base: CellId,
    mechanism: Mechanism,
    lengthBytes: number | null,
    other: CellId | null,
  ): Promise<MadeKey> {
    return this.#make('cell_derive', bodies.writeDerive(key, { base, mechanism, lengthBytes, other }));
  }

  async deriveData(
    base: CellId,
    mechanism: Mechanism,
    lengthBytes: number | null,
    other: CellId | null,
  ): Promise<Buffer> {
    const { components } = await this.#make(
      'cell_derive',
      bodies.writeDerive(NO_KEY, { base, mechanism, lengthBytes, other }),
    );
    const data = components[0];
    if (data === undefined) throw new SidekeyError('wire_malformed', 'the derivation has no result');
    return data.value;
  }

  derivePassword(
    key: NewKey,
    routedId: bigint,
    mechanism: Mechanism,
    lengthBytes: number | null,
  ): Promise<MadeKey> {
    const writer = bodies.writeDerive(key, { mechanism, lengthBytes, routedId });
    return this.#make('cell_derive', writer, LIMITS.generateDeadlineMs);
  }

  async encapsulate(
    key: NewKey,
    to: CellId,
    mechanism: Mechanism,
    lengthBytes: number | null,
  ): Promise<{ made: MadeKey; ciphertext: Buffer }> {
    const writer = bodies.writeNewKey(new WireWriter(), key).u64(to);
    writeMechanism(writer, mechanism);
    const reply = await this.#ask('cell_encapsulate', writer.u64(lengthBytes ?? 0));
    return bodies.readBody(reply, bodies.readEncapsulated);
  }

  decapsulate(
    key: NewKey,
    by: CellId,
    mechanism: Mechanism,
    ciphertext: Buffer,
    lengthBytes: number | null,
  ): Promise<MadeKey> {
    const writer = bodies.writeNewKey(new WireWriter(), key).u64(by);
    writeMechanism(writer, mechanism);
    return this.#make('cell_decapsulate', writer.bytes(ciphertext).u64(lengthBytes ?? 0));
  }

  copy(key: NewKey, cell: CellId): Promise<MadeKey> {
    return this.#make('cell_copy', bodies.writeNewKey(new WireWriter(), key).u64(cell));
  }

  async seal(cell: CellId, by: CellId, aad: Buffer): Promise<Buffer> {
    const reply = await this.#ask('cell_seal', new WireWriter().u64(cell).u64(by).bytes(aad));
    return bodies.readBody(reply, (reader) => reader.bytes(LIMITS.blobMax));
  }

  async wrap(cell: CellId, by: CellId, mechanism: Mechanism): Promise<Buffer> {
    const writer = new WireWriter().u64(cell).u64(by);
    writeMechanism(writer, mechanism);
    const reply = await this.#ask('cell_wrap', writer);
    return bodies.readBody(reply, (reader) => reader.bytes(LIMITS.bodyMax));
  }

  note(cell: CellId, note: Buffer): Promise<void> {
    return this.#tell('cell_note', new WireWriter().u64(cell).bytes(note));
  }

  drop(cell: CellId): Promise<void> {
    return this.#tell('cell_drop', new WireWriter().u64(cell));
  }

  operate(...asked: Parameters<Keeper['operate']>): Promise<Buffer> {
    return this.#operations.one(...asked);
  }

  operateMany(...asked: Parameters<Keeper['operateMany']>): Promise<Outcome[]> {
    return this.#operations.many(...asked);
  }

  operateAtOnce(...asked: Parameters<Keeper['operateAtOnce']>): Buffer[] | null {
    return this.#operations.atOnce(...asked);
  }

  /**
   * The output is public (an answer to whoever asks), so this process's own kernel-seeded generator is good
   * enough.
   */
  async random(lengthBytes: number): Promise<Buffer> {
    if (lengthBytes > RANDOM_MAX) throw new SidekeyError('data_len_range', `${lengthBytes} random bytes`);
    return randomBytes(lengthBytes);
  }

  async bind(binding: Binding): Promise<void> {
    await this.#tell('bind', bodies.writeBinding(binding, this.#version));
  }

  unbind(client: ClientId | null, slot: number, handle: number | null): Promise<void> {
    return this.#tell(
      'unbind',
      new WireWriter()
        .u64(client ?? 0n)
        .u64(slot)
        .u64(handle ?? 0),
    );
  }

  /** Reading resets the counters, so each page starts from the beginning. */
  usage(): Promise<UsageSeen[]> {
    return this.#list('usage', bodies.readUsageSeen, () => 0n);
  }
}
