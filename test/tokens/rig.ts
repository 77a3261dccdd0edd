/** A token service with a real store, the fake keeper and a provider that really wraps, and the program's side of the frames. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Peer } from '../../src/access/peer.ts';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { encodeBool, encodeUlong } from '../../src/tokens/objects/attribute-value.ts';
import { CKA, CKK, CKM, CKO } from '../../src/tokens/cryptoki.ts';
import type { Provider, Template } from '../../src/tokens/ports.ts';
import type { ResidentKeys } from '../../src/tokens/resident-port.ts';
import type { ResidentOptions } from '../../src/tokens/token-catalogue.ts';
import { createTokenService, type TokenServiceDeps } from '../../src/tokens/token-service.ts';
import { WireReader, WireWriter } from '../../src/wire/buffer.ts';
import { OPERATIONS, WHY } from '../../src/wire/tables.ts';
import { writeTemplate } from '../../src/wire/template.ts';
import { FakeKeeper } from './fake-keeper.ts';

export const USER_PIN = '1234';
export const SO_PIN = 'so-pin';

class FakeProvider implements Provider {
  readonly name = 'embedded';
  readonly kind = 'fake';
  opens = 0;
  readonly #kek = randomBytes(32);
  readonly #keeper: FakeKeeper;

  constructor(keeper: FakeKeeper) {
    this.#keeper = keeper;
  }

  #put(value: Buffer): bigint {
    const cell = 1_000_000n + BigInt(this.#keeper.held.size) + BigInt(this.opens) * 1000n;
    const key = { objectClass: CKO.SECRET_KEY, keyType: CKK.AES, owner: null, leaseMs: null };
    const rest = { uses: null, note: null, seal: null };
    this.#keeper.held.set(cell, {
      key: { ...key, ...rest },
      components: new Map([[CKA.VALUE, value]]),
      note: null,
    });
    return cell;
  }

  resident: ResidentKeys | null = null;
  readonly bare = null;
  readonly random = null;

  credentialSecondsLeft(): null {
    return null;
  }

  watch(): void {}

  async createDataKey(): Promise<{ cell: bigint; wrapped: Buffer }> {
    const value = randomBytes(32);
    const cipher = createCipheriv('aes256-wrap', this.#kek, Buffer.alloc(8, 0xa6));
    const wrapped = Buffer.concat([cipher.update(value), cipher.final()]);
    return { cell: this.#put(value), wrapped };
  }
  async openDataKey(wrapped: Buffer): Promise<bigint> {
    this.opens++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    const decipher = createDecipheriv('aes256-wrap', this.#kek, Buffer.alloc(8, 0xa6));
    return this.#put(Buffer.concat([decipher.update(wrapped), decipher.final()]));
  }
  async health(): Promise<{ ok: boolean; detail: string }> {
    return { ok: true, detail: '' };
  }
  async close(): Promise<void> {}
}

export function peerOf(pid: number, uid: number): Peer {
  return { pid, startTime: '77', uid, gid: uid, groups: [], executable: '/bin/app', unit: null };
}

export interface Rig {
  readonly deps: TokenServiceDeps;
  readonly keeper: FakeKeeper;
  readonly provider: FakeProvider;
  readonly store: SqliteStore;
  readonly records: { event: string; fields: Record<string, unknown> }[];
  service: ReturnType<typeof createTokenService>;
  now: number;
  /** A new agent with the same store, and the same or another keeper or boot of the machine. */
  restart(keeper?: bigint, boot?: string): Promise<void>;
}

/** uid 1000 is admitted, uid 0 may also create tokens; other uids have no access. */
export async function makeRig(
  path = ':memory:',
  login: 'pin' | 'none' = 'pin',
  openKeysMax = 1000,
  shown: { keys: ResidentKeys; options: ResidentOptions } | null = null,
): Promise<Rig> {
  const keeper = new FakeKeeper();
  const provider = new FakeProvider(keeper);
  provider.resident = shown?.keys ?? null;
  const limits = { anyMs: 1000, unusedMs: 1000, uses: null, offlineMs: 0 };
  const resident = shown?.options ?? null;
  const store = new SqliteStore(path);
  const records: Rig['records'] = [];
  const deps: TokenServiceDeps = {
    ...{ store, keeper, random: randomBytes, boot: 'boot', createTokens: true, openKeysMax },
    providers: new Map([['embedded', provider]]),
    access: {
      admits: ({ uid }) => uid === 1000 || uid === 0,
      sees: () => true,
      permits: () => true,
      permitsSome: () => true,
      mayCreateTokens: ({ uid }) => uid === 0,
    },
    audit: {
      record: (event, fields) => void records.push({ event, fields }),
      durable: () => Promise.resolve(),
    },
    clock: { now: () => Date.now(), monotonic: () => rig.now },
    timer: () => () => undefined,
    readPeer: (pid, uid) => peerOf(pid, uid),
    tokens: [{ label: 'alpha', provider: 'embedded', login, cache: limits, resident }],
    pinCost: { memoryKiB: 8, passes: 1, parallelism: 1 },
  };
  const service = createTokenService(deps);
  const restart = async (keeper = 1n, boot = 'boot'): Promise<void> => {
    rig.service = createTokenService({ ...deps, boot });
    await rig.service.keeperAttached(keeper);
  };
  const rig: Rig = { deps, keeper, provider, store, records, service, now: 5000, restart };
  if (store.tokens().length === 0) {
    const pins = { soPin: Buffer.from(SO_PIN), userPin: Buffer.from(USER_PIN) };
    await service.createToken({ label: 'alpha', provider: 'embedded', ...pins });
  }
  await service.keeperAttached(1n);
  return rig;
}

type Given = Readonly<Record<number, Buffer | number | boolean | string>>;

/** Attributes as a C program would lay them out. */
export function template(given: Given): Template {
  return Object.entries(given).map(([type, value]) => ({ type: Number(type), value: toBytes(value) }));
}

function toBytes(value: Buffer | number | boolean | string): Buffer {
  if (typeof value === 'boolean') return encodeBool(value);
  if (typeof value === 'number') return encodeUlong(value);
  return typeof value === 'string' ? Buffer.from(value) : value;
}

let frames = 100n;

/** One process: sends what the module would send for it. */
export class Program {
  readonly rig: Rig;
  readonly client: bigint;
  slot = 0;
  session = 1;
  readWrite = true;

  static async start(rig: Rig, client: bigint, uid = 1000): Promise<Program> {
    const seen = { client, pid: 100 + Number(client), uid, gid: uid, groups: [], program: 'app', note: null };
    rig.keeper.connected.set(client, seen);
    await rig.service.clientOpened(seen);
    return new Program(rig, client);
  }

  constructor(rig: Rig, client: bigint) {
    this.rig = rig;
    this.client = client;
  }

  send(message: string, body: WireWriter, id = frames++): Promise<Buffer> {
    return this.rig.service.handle({ message, id, client: this.client, body: Buffer.from(body.done()) });
  }

  place(): WireWriter {
    return new WireWriter()
      .u64(this.slot)
      .u64(this.session)
      .u8(this.readWrite ? 1 : 0);
  }

  #template(writer: WireWriter, given: Given): WireWriter {
    writeTemplate(writer, template(given));
    return writer;
  }

  async login(pin = USER_PIN, userType = 1, handle = 0): Promise<void> {
    await this.send('login', new WireWriter().u64(this.slot).u64(userType).text(pin).u64(handle));
  }

  async create(given: Given, material: Given = {}): Promise<number> {
    const id = frames++;
    this.rig.keeper.material.set(id, template(material));
    const inner = new WireWriter();
    const lengths = template(material).map(({ type, value }) => ({ type, value: encodeUlong(value.length) }));
    writeTemplate(inner, lengths);
    const body = new WireWriter().bytes(inner.done()).raw(this.place().done());
    return new WireReader(await this.send('create', this.#template(body, given), id)).number();
  }

  async generate(given: Given, mechanism: number = CKM.AES_KEY_GEN): Promise<number> {
    const body = this.place().u64(mechanism).bytes(Buffer.alloc(0));
    return new WireReader(await this.send('generate_key', this.#template(body, given))).number();
  }

  async generatePair(
    open: Given,
    hidden: Given,
    mechanism: number = CKM.EC_KEY_PAIR_GEN,
  ): Promise<[number, number]> {
    const body = this.#template(this.place().u64(mechanism).bytes(Buffer.alloc(0)), open);
    const reader = new WireReader(await this.send('generate_key_pair', this.#template(body, hidden)));
    return [reader.number(), reader.number()];
  }

  async find(given: Given, after = 0): Promise<number[]> {
    const reader = new WireReader(await this.send('find', this.#template(this.place().u64(after), given)));
    const more = reader.u8();
    const found = Array.from({ length: reader.u32() }, () => reader.number());
    return more === 1 ? [...found, ...(await this.find(given, found.at(-1)))] : found;
  }

  /** By type: state and value. `cell` is the reveal cell. */
  async read(
    handle: number,
    ...types: number[]
  ): Promise<{ cell: bigint; states: number[]; values: Buffer[] }> {
    const body = this.place().u64(handle).u32(types.length);
    for (const type of types) body.u64(type);
    const reader = new WireReader(await this.send('get_attributes', body));
    const cell = reader.u64();
    const answers = Array.from(
      { length: reader.u32() },
      () => [reader.u64(), reader.u8(), reader.bytes(65536)] as const,
    );
    return { cell, states: answers.map(([, state]) => state), values: answers.map(([, , value]) => value) };
  }

  async set(handle: number, given: Given): Promise<void> {
    await this.send('set_attributes', this.#template(this.place().u64(handle), given));
  }

  async copy(handle: number, given: Given): Promise<number> {
    return new WireReader(await this.send('copy', this.#template(this.place().u64(handle), given))).number();
  }

  async destroy(handle: number): Promise<void> {
    await this.send('destroy', this.place().u64(handle));
  }

  async resolve(handle: number, operation: keyof typeof OPERATIONS, mechanism: number): Promise<void> {
    const asked = this.place().u8(OPERATIONS[operation]).u64(handle).u64(mechanism);
    await this.send('resolve', asked.u8(WHY.use));
  }

  async derive(handle: number, mechanism: number, params: Buffer, given: Given): Promise<number> {
    const body = this.place().u64(mechanism).bytes(params).u64(handle);
    return new WireReader(await this.send('derive_key', this.#template(body, given))).number();
  }

  async wrap(by: number, handle: number, mechanism: number): Promise<Buffer> {
    const body = this.place().u64(mechanism).bytes(Buffer.alloc(0)).u64(by).u64(handle);
    return new WireReader(await this.send('wrap_key', body)).bytes(65536);
  }

  async unwrap(by: number, wrapped: Buffer, given: Given, mechanism: number): Promise<number> {
    const body = this.place().u64(mechanism).bytes(Buffer.alloc(0)).u64(by).bytes(wrapped);
    return new WireReader(await this.send('unwrap_key', this.#template(body, given))).number();
  }
}

export const AES_TOKEN = { [CKA.TOKEN]: true, [CKA.VALUE_LEN]: 32 } as const;
