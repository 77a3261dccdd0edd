/** A KMIP server as a key service: its KEK (kmip-kek.ts), data keys that it keeps (carried-keys.ts), resident keys and random bytes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { makeDataKey } from '../data-key.ts';
import { healthOf, type KeyService } from '../key-service.ts';
import { SERVICE_RANDOM_MAX, takeRandom } from '../service-random.ts';
import { KmipCarriedKeys } from './carried-keys.ts';
import type { KmipClient } from './client.ts';
import { KmipKek, type KmipKekOptions } from './kmip-kek.ts';
import { retrieveRandom } from './operations.ts';
import { KmipResidentKeys } from './resident-keys.ts';
import { decodeBlob } from './wrapped-blob.ts';

const CLOSE_MS = 700;

export interface KmipServiceOptions extends KmipKekOptions {
  readonly client: KmipClient;
}

export function createKmipKeyService(options: KmipServiceOptions): KeyService {
  const { provider, client, keyId, macKeyId, random } = options;
  const carried = new KmipCarriedKeys({ provider, client, keyId, makes: options.atServer, random });
  const kek = new KmipKek(options);
  const hidden = macKeyId === null ? [keyId] : [keyId, macKeyId];
  const askRandom = (bytes: number): Promise<Buffer | null> => retrieveRandom(client.begin(), bytes);
  const source = { what: `provider "${provider}"`, pieceMax: SERVICE_RANDOM_MAX, ask: askRandom };
  return {
    carried,
    resident: new KmipResidentKeys({ provider, client, hidden }),
    random: (bytes) => takeRandom(source, bytes),
    generateDataKey: (purpose) =>
      makeDataKey(random, (plaintext) => kek.wrap(client.begin(), plaintext, purpose)),
    unwrapDataKey: async (wrapped, purpose) =>
      kek.open(client.begin(), decodeBlob(wrapped, provider), purpose),
    health: () => healthOf(() => kek.health(client.begin())),
    async close() {
      await Promise.race([carried.close(), sleep(CLOSE_MS, undefined, { ref: false })]);
      client.close();
    },
  };
}
