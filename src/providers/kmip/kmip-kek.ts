/**
 * A KMIP server as holder of a KEK. By AES-GCM with associated data, which servers have from KMIP 1.4 on; before that by AES-CBC and an HMAC with a
 * second key of the server over IV and ciphertext, checked before anything is decrypted. CBC alone is no wrap: it can be changed unseen. Or data keys stay
 * objects of the server: carried-keys.ts.
 */
import { timingSafeEqual } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import { bindKey, hashContext, takeBoundKey } from '../data-key.ts';
import type { KmipCaller } from './client.ts';
import { KmipResultError, mayRetry } from './fault.ts';
import { formatVersion } from './message.ts';
import {
  decryptCbc,
  decryptGcm,
  encryptCbc,
  encryptGcm,
  getState,
  hmacSha256,
  lackOf,
} from './operations.ts';
import { nameOf, STATE } from './tables.ts';
import { contextOf, encodeBlob, MODES, type KmipBlob } from './wrapped-blob.ts';

export interface KmipKekOptions {
  readonly provider: string;
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

export class KmipKek {
  readonly #options: KmipKekOptions;

  constructor(options: KmipKekOptions) {
    this.#options = options;
  }

  #refuse(key: string, what: string): never {
    throw new SidekeyError('provider_refused', `provider "${this.#options.provider}" (key ${key}): ${what}`);
  }

  async #wrapGcm(by: KmipCaller, payload: Buffer, context: Buffer): Promise<KmipBlob> {
    const { keyId, random } = this.#options;
    const iv = random(MODES.gcm.ivBytes);
    const { body, tag } = await encryptGcm(by, { keyId, iv, aad: context }, payload);
    if (tag.length !== MODES.gcm.tagBytes)
      this.#refuse(
        keyId,
        `the server returned a tag of ${tag.length} bytes instead of ${MODES.gcm.tagBytes}`,
      );
    return { mode: MODES.gcm, keyId, iv, tag, body };
  }

  async #wrapCbc(by: KmipCaller, payload: Buffer, context: Buffer, macKey: string): Promise<KmipBlob> {
    const { keyId, random } = this.#options;
    const iv = random(MODES.cbcHmac.ivBytes);
    const body = await encryptCbc(by, keyId, iv, payload);
    const tag = await hmacSha256(by, macKey, macInput(context, iv, body));
    if (tag.length !== MODES.cbcHmac.tagBytes)
      this.#refuse(
        macKey,
        `the server returned a MAC of ${tag.length} bytes instead of ${MODES.cbcHmac.tagBytes}`,
      );
    return { mode: MODES.cbcHmac, keyId, iv, tag, body };
  }

  async #openCbc(by: KmipCaller, blob: KmipBlob, context: Buffer): Promise<Buffer> {
    const { macKeyId } = this.#options;
    if (macKeyId === null)
      return this.#refuse(
        blob.keyId,
        'the data key was wrapped with a MAC: mac-key-id must name the key of that MAC',
      );
    const mac = await hmacSha256(by, macKeyId, macInput(context, blob.iv, blob.body));
    if (mac.length !== blob.tag.length || !timingSafeEqual(mac, blob.tag))
      return this.#refuse(blob.keyId, 'the wrapped data key was changed, or belongs to another token');
    return decryptCbc(by, blob.keyId, blob.iv, blob.body);
  }

  #decrypt(by: KmipCaller, blob: KmipBlob, context: Buffer): Promise<Buffer> {
    const { mode, keyId: key, iv, body, tag } = blob;
    if (mode.id === MODES.atServer.id)
      return this.#refuse(key, 'the data key is kept at the server, which returns it only wrapped');
    if (mode.id !== MODES.gcm.id) return this.#openCbc(by, blob, context);
    return decryptGcm(by, { keyId: key, iv, aad: context }, body, tag);
  }

  /** Servers say of a bad tag that they are in trouble. One that really is cannot say either in which state the key is. */
  async #tellTrouble(by: KmipCaller, key: string, error: unknown): Promise<never> {
    const cause: unknown = error instanceof SidekeyError ? error.cause : null;
    if (cause instanceof KmipResultError && mayRetry(cause.reason, false)) await getState(by, key);
    throw error;
  }

  async open(by: KmipCaller, blob: KmipBlob, purpose: string): Promise<Buffer> {
    const context = contextOf(blob.mode, blob.keyId, purpose);
    const payload = await this.#decrypt(by, blob, context).catch((error: unknown) =>
      this.#tellTrouble(by, blob.keyId, error),
    );
    return (
      takeBoundKey(payload, context) ??
      this.#refuse(blob.keyId, 'the wrapped data key belongs to another token')
    );
  }

  async wrap(by: KmipCaller, plaintext: Buffer, purpose: string): Promise<Buffer> {
    const { keyId, macKeyId } = this.#options;
    const mode = macKeyId === null ? MODES.gcm : MODES.cbcHmac;
    const context = contextOf(mode, keyId, purpose);
    const payload = bindKey(plaintext, context);
    try {
      const blob =
        macKeyId === null
          ? await this.#wrapGcm(by, payload, context)
          : await this.#wrapCbc(by, payload, context, macKeyId);
      await this.#check(by, plaintext, blob, purpose);
      return encodeBlob(blob);
    } finally {
      payload.fill(0);
    }
  }

  /** A server that ignored our IV or associated data would be noticed at the next start: better now. */
  async #check(by: KmipCaller, plaintext: Buffer, blob: KmipBlob, purpose: string): Promise<void> {
    const again = await this.open(by, blob, purpose);
    const same = timingSafeEqual(again, plaintext);
    again.fill(0);
    if (!same) this.#refuse(this.#options.keyId, 'the server cannot decrypt what it encrypted');
  }

  /** Rejects if the server cannot be asked, or the key cannot be used. */
  async health(by: KmipCaller): Promise<string> {
    const { keyId, macKeyId, atServer } = this.#options;
    const { state, version } = await getState(by, keyId);
    const detail = `key ${keyId} is ${nameOf(STATE, state)}, by KMIP ${formatVersion(version)}`;
    const lack = atServer ? null : lackOf(version, macKeyId !== null);
    if (lack !== null) throw new SidekeyError('provider_refused', `${detail}: ${lack}`);
    if (state !== STATE.Active) throw new SidekeyError('provider_refused', detail);
    return detail;
  }
}
