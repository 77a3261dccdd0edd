/** A PKCS#11 token as holder of a KEK. */
import { timingSafeEqual } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import { DATA_KEY_BYTES } from '../bound-payload.ts';
import { unwell, type KeyService } from '../key-service.ts';
import { SERVICE_RANDOM_MAX, takeRandom } from '../service-random.ts';
import { CODE } from './frame.ts';
import { IV_BYTES, MECHANISM_NAMES } from './mechanism.ts';
import { createHsmResidentKeys } from './resident-keys.ts';
import type { ResidentRequest } from './resident-request.ts';
import { HsmSupervisor, type SupervisorOptions } from './supervisor.ts';
import { describeKey } from './worker-options.ts';
import {
  contextOf,
  decodeBlob,
  encodeBlob,
  fromPayload,
  toPayload,
  type WrappedBlob,
} from './wrapped-blob.ts';

export function createHsmKeyService(options: Omit<SupervisorOptions, 'key'>): KeyService {
  const { provider, random } = options;
  const key = describeKey(options.worker.key);
  const hsm = new HsmSupervisor({ ...options, key });

  const refuse = (what: string): never => {
    throw new SidekeyError('provider_refused', `provider "${provider}" (${key}): ${what}`);
  };

  const wanted = options.worker.mechanism ?? MECHANISM_NAMES.join(', ');
  const noMechanism = `module and key do not both offer any of: ${wanted}; without it no token is kept under this key`;

  async function unwrap({ mechanism, iv, body }: WrappedBlob, purpose: string, end: number): Promise<Buffer> {
    const context = contextOf(mechanism, purpose);
    const fields = [Buffer.from([mechanism.id]), iv, context, body];
    const payload = await hsm.use(end, ({ worker }, ms) => worker.ask(CODE.decrypt, fields, ms));
    return fromPayload(mechanism, payload, context) ?? refuse('this was wrapped for something else');
  }

  function wrap(plaintext: Buffer, purpose: string, end: number): Promise<WrappedBlob> {
    return hsm.use(end, async ({ worker, mechanism }, ms) => {
      if (mechanism === null) return refuse(noMechanism);
      const context = contextOf(mechanism, purpose);
      const iv = random(mechanism.how === 'encrypt' ? IV_BYTES : 0);
      const payload = toPayload(mechanism, plaintext, context);
      try {
        const fields = [Buffer.from([mechanism.id]), iv, context, payload];
        return { mechanism, iv, body: await worker.ask(CODE.encrypt, fields, ms) };
      } finally {
        payload.fill(0);
      }
    });
  }

  /** Some modules put an IV of their own in the place of ours: what they wrapped would be lost. */
  async function check(plaintext: Buffer, wrapped: WrappedBlob, purpose: string, end: number): Promise<void> {
    const again = await unwrap(wrapped, purpose, end);
    const same = timingSafeEqual(again, plaintext);
    again.fill(0);
    if (!same) refuse('the module does not open what it wrapped');
  }

  function retrieve(bytes: number): Promise<Buffer> {
    const request: ResidentRequest = { what: 'random', bytes };
    const fields = (): Buffer[] => [Buffer.from(JSON.stringify(request)), Buffer.alloc(0)];
    return hsm.use(hsm.deadline(), ({ worker }, ms) => worker.ask(CODE.resident, fields(), ms));
  }

  return {
    async generateDataKey(purpose) {
      const [plaintext, end] = [random(DATA_KEY_BYTES), hsm.deadline()];
      try {
        const wrapped = await wrap(plaintext, purpose, end);
        await check(plaintext, wrapped, purpose, end);
        return { plaintext, wrapped: encodeBlob(wrapped) };
      } catch (error) {
        plaintext.fill(0);
        throw error;
      }
    },
    unwrapDataKey: async (wrapped, purpose) => unwrap(decodeBlob(wrapped, provider), purpose, hsm.deadline()),
    async health() {
      try {
        const detail = await hsm.use(hsm.deadline(), async ({ worker, mechanism }, ms) => {
          const found = await worker.ask(CODE.health, [], ms);
          return mechanism === null ? refuse(noMechanism) : found;
        });
        return { ok: true, detail: detail.toString('utf8') };
      } catch (error) {
        return unwell(error);
      }
    },
    random: (bytes) =>
      takeRandom({ what: `provider "${provider}"`, pieceMax: SERVICE_RANDOM_MAX, ask: retrieve }, bytes),
    resident: createHsmResidentKeys({ provider, hsm, random }),
    close: () => hsm.close(),
  };
}
