/** A PKCS#11 token as a key service: its KEK (hsm-kek.ts), resident keys and random bytes, all in one process of their own. */
import { makeDataKey } from '../data-key.ts';
import { healthOf, type KeyService } from '../key-service.ts';
import { SERVICE_RANDOM_MAX, takeRandom } from '../service-random.ts';
import { CODE } from './frame.ts';
import { HsmKek } from './hsm-kek.ts';
import { HsmResidentKeys } from './resident-keys.ts';
import type { ResidentRequest } from './resident-request.ts';
import { HsmSupervisor, type SupervisorOptions } from './supervisor.ts';
import { describeKey } from './worker-options.ts';
import { decodeBlob } from './wrapped-blob.ts';

function retrieveRandom(hsm: HsmSupervisor, bytes: number): Promise<Buffer> {
  const request: ResidentRequest = { what: 'random', bytes };
  const fields = (): Buffer[] => [Buffer.from(JSON.stringify(request)), Buffer.alloc(0)];
  return hsm.use(hsm.deadline(), ({ worker }, ms) => worker.ask(CODE.resident, fields(), ms));
}

export function createHsmKeyService(options: Omit<SupervisorOptions, 'key'>): KeyService {
  const { provider, random } = options;
  const key = describeKey(options.worker.key);
  const hsm = new HsmSupervisor({ ...options, key });
  const what = `provider "${provider}"`;
  const mechanism = options.worker.mechanism ?? null;
  const kek = new HsmKek({ what: `${what} (${key})`, hsm, mechanism, random });
  const source = {
    ...{ what, pieceMax: SERVICE_RANDOM_MAX },
    ask: (bytes: number) => retrieveRandom(hsm, bytes),
  };
  return {
    generateDataKey: (purpose) => makeDataKey(random, (plaintext) => kek.wrap(plaintext, purpose)),
    unwrapDataKey: async (wrapped, purpose) =>
      kek.unwrap(decodeBlob(wrapped, provider), purpose, hsm.deadline()),
    health: () => healthOf(() => kek.health()),
    random: (bytes) => takeRandom(source, bytes),
    resident: new HsmResidentKeys({ provider, hsm, random }),
    close: () => hsm.close(),
  };
}
