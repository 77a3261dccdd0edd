/**
 * A Provider of a remote key service: a data key comes as bytes, goes into a cell of the keeper, and is wiped here, whatever
 * happens on the way; or it comes wrapped, and only the keeper opens it.
 */
import type { CellId, Keeper, NewKey, Provider } from '../tokens/ports.ts';
import type { CarriedKeys, KeyService } from './key-service.ts';
import { SidekeyError } from '../errors.ts';
import { ofProvider } from './provider-error.ts';
import { TransportKey } from './transport-key.ts';
import { CKA, CKK, CKO } from '../tokens/cryptoki.ts';

async function toCell(keeper: Keeper, plaintext: Buffer, leaseMs: number | null): Promise<CellId> {
  const rest = { owner: null, uses: null, note: null, seal: null };
  const key: NewKey = { objectClass: CKO.SECRET_KEY, keyType: CKK.AES, leaseMs, ...rest };
  try {
    return (await keeper.importComponents(key, [{ type: CKA.VALUE, value: plaintext }])).cell;
  } finally {
    plaintext.fill(0);
  }
}

async function createCarried(
  transport: TransportKey,
  carried: CarriedKeys,
  purpose: string,
): Promise<{ cell: CellId; wrapped: Buffer }> {
  let wrapped: Buffer = Buffer.alloc(0);
  const cell = await transport.carry(null, async (info) => {
    const made = await carried.generate(purpose, info);
    wrapped = made.wrapped;
    return made.carried;
  });
  return { cell, wrapped };
}

export function createRemoteProvider(
  name: string,
  kind: string,
  service: KeyService,
  keeper: Keeper,
): Provider {
  const { carried } = service;
  const transport = new TransportKey(keeper, name);
  const rethrow = (error: unknown): never => {
    throw error instanceof SidekeyError ? ofProvider(name, error) : error;
  };
  return {
    name,
    kind,
    resident: service.resident ?? null,
    bare: service.bare ?? null,
    random: service.random ?? null,
    async createDataKey(purpose) {
      if (carried?.makes === true) return createCarried(transport, carried, purpose);
      const { plaintext, wrapped } = await service.generateDataKey(purpose).catch(rethrow);
      return { cell: await toCell(keeper, plaintext, null), wrapped };
    },
    async openDataKey(wrapped, purpose, leaseMs) {
      if (carried?.owns(wrapped) === true)
        return transport.carry(leaseMs, (info) => carried.open(wrapped, purpose, info));
      return toCell(keeper, await service.unwrapDataKey(wrapped, purpose).catch(rethrow), leaseMs);
    },
    async health() {
      const { ok, detail } = await service.health();
      return { ok, detail };
    },
    credentialSecondsLeft: () => service.credentialSecondsLeft?.() ?? null,
    watch: (changed) => service.watch?.(changed),
    close: () => service.close(),
  };
}
