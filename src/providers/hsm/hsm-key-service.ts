/** A PKCS#11 token as a key service: its KEK (hsm-kek.ts), resident keys and random bytes, all in one process of their own. */
import { DATA_KEY_BYTES } from '../bound-payload.ts';
import { unwell, type KeyService } from '../key-service.ts';
import { SERVICE_RANDOM_MAX, takeRandom } from '../service-random.ts';
import { CODE } from './frame.ts';
import { HsmKek } from './hsm-kek.ts';
import { createHsmResidentKeys } from './resident-keys.ts';
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
    async generateDataKey(purpose) {
      const plaintext = random(DATA_KEY_BYTES);
      try {
        return { plaintext, wrapped: await kek.wrap(plaintext, purpose) };
      } catch (error) {
        plaintext.fill(0);
        throw error;
      }
    },
    unwrapDataKey: async (wrapped, purpose) =>
      kek.unwrap(decodeBlob(wrapped, provider), purpose, hsm.deadline()),
    health: () => kek.health().then((detail) => ({ ok: true, detail }), unwell),
    random: (bytes) => takeRandom(source, bytes),
    resident: createHsmResidentKeys({ provider, hsm, random }),
    close: () => hsm.close(),
  };
}
