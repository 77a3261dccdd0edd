/** A key of a PKCS#11 token as KEK: wraps by the first mechanism that module and key both have, and proves each wrapping at once. */
import { timingSafeEqual } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import { CODE } from './frame.ts';
import { IV_BYTES, MECHANISM_NAMES } from './mechanism.ts';
import type { HsmSupervisor } from './supervisor.ts';
import { contextOf, encodeBlob, fromPayload, toPayload, type WrappedBlob } from './wrapped-blob.ts';

export interface HsmKekOptions {
  /** For messages: the provider and the key. */
  readonly what: string;
  readonly hsm: HsmSupervisor;
  /** The configured mechanism; null: whichever module and key have. */
  readonly mechanism: string | null;
  readonly random: (bytes: number) => Buffer;
}

export class HsmKek {
  readonly #options: HsmKekOptions;

  constructor(options: HsmKekOptions) {
    this.#options = options;
  }

  #refuse(what: string): never {
    throw new SidekeyError('provider_refused', `${this.#options.what}: ${what}`);
  }

  #refuseMechanism(): never {
    const wanted = this.#options.mechanism ?? MECHANISM_NAMES.join(', ');
    return this.#refuse(`module and key do not both support any of: ${wanted}; a KEK needs one of them`);
  }

  async wrap(plaintext: Buffer, purpose: string): Promise<Buffer> {
    const end = this.#options.hsm.deadline();
    const wrapped = await this.#wrap(plaintext, purpose, end);
    await this.#check(plaintext, wrapped, purpose, end);
    return encodeBlob(wrapped);
  }

  #wrap(plaintext: Buffer, purpose: string, end: number): Promise<WrappedBlob> {
    const { hsm, random } = this.#options;
    return hsm.use(end, async ({ worker, mechanism }, ms) => {
      if (mechanism === null) return this.#refuseMechanism();
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
  async #check(plaintext: Buffer, wrapped: WrappedBlob, purpose: string, end: number): Promise<void> {
    const again = await this.unwrap(wrapped, purpose, end);
    const same = timingSafeEqual(again, plaintext);
    again.fill(0);
    if (!same)
      this.#refuse(
        'the module cannot unwrap what it wrapped: modules that replace the IV need a key wrap as mechanism',
      );
  }

  async unwrap({ mechanism, iv, body }: WrappedBlob, purpose: string, end: number): Promise<Buffer> {
    const context = contextOf(mechanism, purpose);
    const fields = [Buffer.from([mechanism.id]), iv, context, body];
    const { hsm } = this.#options;
    const payload = await hsm.use(end, ({ worker }, ms) => worker.ask(CODE.decrypt, fields, ms));
    return (
      fromPayload(mechanism, payload, context) ??
      this.#refuse('the wrapped data key belongs to another token')
    );
  }

  async health(): Promise<string> {
    const { hsm } = this.#options;
    const detail = await hsm.use(hsm.deadline(), async ({ worker, mechanism }, ms) => {
      const found = await worker.ask(CODE.health, [], ms);
      return mechanism === null ? this.#refuseMechanism() : found;
    });
    return detail.toString('utf8');
  }
}
