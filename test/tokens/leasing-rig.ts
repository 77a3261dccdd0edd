/**
 * A token service in simulated time over key services that can be stopped, slowed and told to refuse, and a keeper whose cells end
 * with their leases. Programs use keys as the module does: by their binding as long as its cell exists, otherwise by `resolve`.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { CacheEvent } from '../../src/cache/cache-observer.ts';
import { SidekeyError } from '../../src/errors.ts';
import type { KeyService } from '../../src/providers/key-service.ts';
import { createRemoteProvider } from '../../src/providers/remote-provider.ts';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { CKM } from '../../src/tokens/cryptoki.ts';
import type { CellId, CellSeen, MadeKey, NewKey, Template } from '../../src/tokens/ports.ts';
import type { TokenOptions } from '../../src/tokens/token-catalogue.ts';
import { createTokenService, type TokenServiceDeps } from '../../src/tokens/token-service.ts';
import { SimulatedTime } from '../cache/simulated-time.ts';
import { FakeKeeper } from './fake-keeper.ts';
import { AES_TOKEN, peerOf, Program, type Rig } from './rig.ts';

class LeasingKeeper extends FakeKeeper {
  readonly #time: SimulatedTime;
  readonly #ends = new Map<CellId, number>();
  ended: (cell: CellId) => void = () => undefined;

  constructor(time: SimulatedTime) {
    super();
    this.#time = time;
  }

  #lease({ leaseMs }: NewKey, made: MadeKey): MadeKey {
    const end = (): void => void (this.held.delete(made.cell) && this.ended(made.cell));
    if (leaseMs === null) return made;
    this.#ends.set(made.cell, this.#time.monotonic() + leaseMs);
    this.#time.timer(leaseMs, end);
    return made;
  }

  override async cells(): Promise<CellSeen[]> {
    const now = this.#time.monotonic();
    const left = (cell: CellId): number | null => {
      const end = this.#ends.get(cell);
      return end === undefined ? null : end - now;
    };
    return (await super.cells()).map((seen) => ({ ...seen, leftMs: left(seen.cell) }));
  }

  override async importComponents(key: NewKey, components: Template): Promise<MadeKey> {
    return this.#lease(key, await super.importComponents(key, components));
  }

  override async open(key: NewKey, by: CellId, aad: Buffer, blob: Buffer): Promise<MadeKey> {
    return this.#lease(key, await super.open(key, by, aad, blob));
  }
}

/** A key service with one KEK, which really wraps and binds the purpose. */
export class SimulatedService implements KeyService {
  is: 'up' | 'down' | 'silent' | 'refusing' = 'up';
  latencyMs = 0;
  /** Number of envelope keys requested. */
  wraps = 0;
  /** Times of the unwrap requests. */
  readonly unwraps: number[] = [];
  readonly #kek = randomBytes(32);
  readonly #time: SimulatedTime;

  constructor(time: SimulatedTime) {
    this.#time = time;
  }

  async #answer(): Promise<void> {
    if (this.latencyMs > 0) await this.#time.sleep(this.latencyMs);
    if (this.is === 'silent') await this.#time.sleep(8000);
    if (this.is === 'refusing') throw new SidekeyError('provider_refused', 'the key is disabled');
    if (this.is !== 'up') throw new SidekeyError('provider_unreachable', 'connection refused');
  }

  async generateDataKey(purpose: string): Promise<{ plaintext: Buffer; wrapped: Buffer }> {
    await this.#answer();
    const [plaintext, nonce] = [randomBytes(32), randomBytes(12)];
    const cipher = createCipheriv('aes-256-gcm', this.#kek, nonce).setAAD(Buffer.from(purpose));
    const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    return { plaintext, wrapped: Buffer.concat([nonce, cipher.getAuthTag(), body]) };
  }

  async unwrapDataKey(wrapped: Buffer, purpose: string): Promise<Buffer> {
    this.unwraps.push(this.#time.monotonic());
    await this.#answer();
    const decipher = createDecipheriv('aes-256-gcm', this.#kek, wrapped.subarray(0, 12));
    try {
      decipher.setAAD(Buffer.from(purpose)).setAuthTag(wrapped.subarray(12, 28));
      return Buffer.concat([decipher.update(wrapped.subarray(28)), decipher.final()]);
    } catch (cause) {
      throw new SidekeyError('provider_refused', 'the KEK does not open it', { cause });
    }
  }

  readonly bare = {
    encrypt: async (plaintext: Buffer): Promise<Buffer> => {
      this.wraps += 1;
      await this.#answer();
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', this.#kek, nonce);
      return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    },
    decrypt: async (ciphertext: Buffer): Promise<Buffer> => {
      this.unwraps.push(this.#time.monotonic());
      await this.#answer();
      const decipher = createDecipheriv('aes-256-gcm', this.#kek, ciphertext.subarray(0, 12));
      try {
        decipher.setAuthTag(ciphertext.subarray(-16));
        return Buffer.concat([decipher.update(ciphertext.subarray(12, -16)), decipher.final()]);
      } catch (cause) {
        throw new SidekeyError('encrypted_data_invalid', 'the KEK does not open it', { cause });
      }
    },
  };

  async health(): Promise<{ ok: boolean; detail: string }> {
    return { ok: this.is === 'up', detail: this.is };
  }

  async close(): Promise<void> {}
}

export interface LeasingRig {
  readonly time: SimulatedTime;
  readonly keeper: LeasingKeeper;
  readonly first: SimulatedService;
  readonly second: SimulatedService;
  readonly store: SqliteStore;
  readonly events: CacheEvent[];
  readonly records: Rig['records'];
  service: ReturnType<typeof createTokenService>;
  readonly app: Program;
  readonly key: number;
  /** One use of the key, as the keeper serves it. */
  use(): Promise<void>;
  /** The code it fails with; null: it succeeds. */
  outcome(): Promise<string | null>;
  /** A new agent with the same store and keeper. */
  restart(): Promise<void>;
}

const MINUTE = 60_000;
export const ENVELOPE = { key: 'outside', messages: 100 } as const;
export const ADMIN = peerOf(1, 0);

/** A token "alpha" under the provider "first", with one key; the provider "second" exists too. */
export async function makeLeasingRig(
  cache: Partial<TokenOptions['cache']> = {},
  prewarm = false,
  cacheOfKeys: NonNullable<TokenOptions['cacheOfKeys']> = [],
): Promise<LeasingRig> {
  const time = new SimulatedTime();
  const keeper = new LeasingKeeper(time);
  const [first, second] = [new SimulatedService(time), new SimulatedService(time)];
  const store = new SqliteStore(':memory:');
  const [records, events]: [Rig['records'], CacheEvent[]] = [[], []];
  const limits = { anyMs: 5 * MINUTE, unusedMs: 10 * MINUTE, uses: null, offlineMs: 0, ...cache };
  const deps: TokenServiceDeps = {
    ...{ store, keeper, random: randomBytes, boot: 'boot', createTokens: false },
    providers: new Map([
      ['first', createRemoteProvider('first', 'simulated', first, keeper)],
      ['second', createRemoteProvider('second', 'simulated', second, keeper)],
    ]),
    access: {
      ...{ admits: () => true, mayCreateTokens: () => false },
      ...{ sees: () => true, permits: () => true, permitsSome: () => true },
    },
    audit: {
      record: (event, fields) => void records.push({ event, fields }),
      durable: () => Promise.resolve(),
    },
    clock: time,
    timer: time.timer,
    observeCache: (event) => void events.push(event),
    readPeer: (pid, uid) => peerOf(pid, uid),
    tokens: [
      {
        label: 'alpha',
        provider: 'first',
        login: 'none',
        cache: limits,
        cacheOfKeys,
        prewarm,
        resident: null,
        envelope: ENVELOPE,
      },
    ],
    pinCost: { memoryKiB: 8, passes: 1, parallelism: 1 },
  };
  const start = async (): Promise<ReturnType<typeof createTokenService>> => {
    const service = createTokenService(deps);
    keeper.ended = (cell) => service.cellEnded(cell);
    await service.keeperAttached(1n);
    return service;
  };
  const rig = { time, keeper, first, second, store, events, records, service: createTokenService(deps) };
  await rig.service.createToken({ label: 'alpha', provider: 'first', soPin: null, userPin: null });
  rig.service = await start();
  const app = await Program.start(rig as unknown as Rig, 1n);
  const key = await app.generate(AES_TOKEN);
  const use = async (): Promise<void> => {
    const bound = keeper.bindings.get(`1/0/${key}`);
    if (bound === undefined || !keeper.held.has(bound.cell)) await app.resolve(key, 'encrypt', CKM.AES_GCM);
  };
  return Object.assign(rig, {
    ...{ app, key, use },
    outcome: () =>
      use().then(
        () => null,
        (error: unknown) => (error instanceof SidekeyError ? error.code : String(error)),
      ),
    restart: async () => void (rig.service = await start()),
  });
}
