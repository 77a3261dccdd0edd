/**
 * A KMIP server as holder of a KEK. By AES-GCM with associated data, which servers have from KMIP 1.4 on; before that by AES-CBC and an HMAC with a
 * second key of the server over IV and ciphertext, checked before anything is decrypted. CBC alone is no wrap: it can be changed unseen. Or data keys stay
 * objects of the server: carried-keys.ts.
 */
import { timingSafeEqual } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { SidekeyError } from '../../errors.ts';
import { bindKey, DATA_KEY_BYTES, hashContext, takeBoundKey } from '../bound-payload.ts';
import { unwell, type KeyService } from '../key-service.ts';
import { SERVICE_RANDOM_MAX, takeRandom } from '../service-random.ts';
import { KmipCarriedKeys } from './carried-keys.ts';
import type { KmipCaller, KmipClient } from './client.ts';
import { KmipNo, mayRetry } from './fault.ts';
import { formatVersion } from './message.ts';
import {
  decryptCbc,
  decryptGcm,
  encryptCbc,
  encryptGcm,
  getState,
  hmacSha256,
  lackOf,
  retrieveRandom,
} from './operations.ts';
import { KmipResidentKeys } from './resident-keys.ts';
import { nameOf, STATE } from './tables.ts';
import { contextOf, decodeBlob, encodeBlob, MODES, type KmipBlob } from './wrapped-blob.ts';

const CLOSE_MS = 700;

export interface KmipServiceOptions {
  readonly provider: string;
  readonly client: KmipClient;
  readonly keyId: string;
  /** An HMAC-SHA256 key; with it, AES-CBC is used instead of GCM. */
  readonly macKeyId: string | null;
  /** Whether new data keys are objects of the server, which it gives out wrapped. */
  readonly atServer: boolean;
  readonly random: (bytes: number) => Buffer;
}

function macInput(context: Buffer, iv: Buffer, body: Buffer): Buffer {
  return Buffer.concat([hashContext(context), iv, body]);
}

export function createKmipKeyService(options: KmipServiceOptions): KeyService {
  const { provider, client, keyId, macKeyId, random } = options;
  const carried = new KmipCarriedKeys({ provider, client, keyId, makes: options.atServer, random });

  const refuse = (key: string, what: string): never => {
    throw new SidekeyError('provider_refused', `provider "${provider}" (key ${key}): ${what}`);
  };

  async function wrapGcm(by: KmipCaller, payload: Buffer, context: Buffer): Promise<KmipBlob> {
    const iv = random(MODES.gcm.ivBytes);
    const { body, tag } = await encryptGcm(by, { keyId, iv, aad: context }, payload);
    if (tag.length !== MODES.gcm.tagBytes) refuse(keyId, `a tag of ${tag.length} bytes`);
    return { mode: MODES.gcm, keyId, iv, tag, body };
  }

  async function wrapCbc(
    by: KmipCaller,
    payload: Buffer,
    context: Buffer,
    macKey: string,
  ): Promise<KmipBlob> {
    const iv = random(MODES.cbcHmac.ivBytes);
    const body = await encryptCbc(by, keyId, iv, payload);
    const tag = await hmacSha256(by, macKey, macInput(context, iv, body));
    if (tag.length !== MODES.cbcHmac.tagBytes) refuse(macKey, `a MAC of ${tag.length} bytes`);
    return { mode: MODES.cbcHmac, keyId, iv, tag, body };
  }

  async function openCbc(by: KmipCaller, blob: KmipBlob, context: Buffer): Promise<Buffer> {
    if (macKeyId === null) return refuse(blob.keyId, 'this was wrapped with a MAC: mac-key-id is missing');
    const mac = await hmacSha256(by, macKeyId, macInput(context, blob.iv, blob.body));
    if (mac.length !== blob.tag.length || !timingSafeEqual(mac, blob.tag))
      return refuse(blob.keyId, 'this was wrapped for something else, or changed');
    return decryptCbc(by, blob.keyId, blob.iv, blob.body);
  }

  function decrypt(by: KmipCaller, blob: KmipBlob, context: Buffer): Promise<Buffer> {
    const { mode, keyId: key, iv, body, tag } = blob;
    if (mode.id === MODES.atServer.id) return refuse(key, 'this data key is given out wrapped alone');
    if (mode.id !== MODES.gcm.id) return openCbc(by, blob, context);
    return decryptGcm(by, { keyId: key, iv, aad: context }, body, tag);
  }

  /** Servers say of a bad tag that they are in trouble. One that really is cannot say either in which state the key is. */
  async function tellTrouble(by: KmipCaller, key: string, error: unknown): Promise<never> {
    const cause: unknown = error instanceof SidekeyError ? error.cause : null;
    if (cause instanceof KmipNo && mayRetry(cause.reason, false)) await getState(by, key);
    throw error;
  }

  async function open(by: KmipCaller, blob: KmipBlob, purpose: string): Promise<Buffer> {
    const context = contextOf(blob.mode, blob.keyId, purpose);
    const payload = await decrypt(by, blob, context).catch((error: unknown) =>
      tellTrouble(by, blob.keyId, error),
    );
    return takeBoundKey(payload, context) ?? refuse(blob.keyId, 'this was wrapped for something else');
  }

  async function wrap(by: KmipCaller, plaintext: Buffer, purpose: string): Promise<Buffer> {
    const mode = macKeyId === null ? MODES.gcm : MODES.cbcHmac;
    const context = contextOf(mode, keyId, purpose);
    const payload = bindKey(plaintext, context);
    try {
      const blob =
        macKeyId === null
          ? await wrapGcm(by, payload, context)
          : await wrapCbc(by, payload, context, macKeyId);
      await check(by, plaintext, blob, purpose);
      return encodeBlob(blob);
    } finally {
      payload.fill(0);
    }
  }

  /** A server that ignored our IV or associated data would be noticed at the next start: better now. */
  async function check(by: KmipCaller, plaintext: Buffer, blob: KmipBlob, purpose: string): Promise<void> {
    const again = await open(by, blob, purpose);
    const same = timingSafeEqual(again, plaintext);
    again.fill(0);
    if (!same) refuse(keyId, 'the server does not open what it wrapped');
  }

  return {
    carried,
    resident: new KmipResidentKeys({
      provider,
      client,
      hidden: macKeyId === null ? [keyId] : [keyId, macKeyId],
    }),
    random: (bytes) =>
      takeRandom(
        {
          what: `provider "${provider}"`,
          pieceMax: SERVICE_RANDOM_MAX,
          ask: (piece) => retrieveRandom(client.begin(), piece),
        },
        bytes,
      ),
    async generateDataKey(purpose) {
      const plaintext = random(DATA_KEY_BYTES);
      try {
        return { plaintext, wrapped: await wrap(client.begin(), plaintext, purpose) };
      } catch (error) {
        plaintext.fill(0);
        throw error;
      }
    },
    unwrapDataKey: async (wrapped, purpose) => open(client.begin(), decodeBlob(wrapped, provider), purpose),
    async health() {
      try {
        const { state, version } = await getState(client.begin(), keyId);
        const detail = `key ${keyId} is ${nameOf(STATE, state)}, by KMIP ${formatVersion(version)}`;
        const lack = options.atServer ? null : lackOf(version, macKeyId !== null);
        return {
          ok: state === STATE.Active && lack === null,
          detail: detail + (lack === null ? '' : `: ${lack}`),
        };
      } catch (error) {
        return unwell(error);
      }
    },
    async close() {
      await Promise.race([carried.close(), sleep(CLOSE_MS, undefined, { ref: false })]);
      client.close();
    },
  };
}
