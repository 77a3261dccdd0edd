/**
 * The material of an exportable key, for the HTTP API. The keeper only exports wrapped keys: it gets a
 * wrapping key for this one answer, and the result is unwrapped here. The caller wipes the bytes.
 */
import { createDecipheriv } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import { CKA, CKK, CKM, CKO } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import type { TokenRow } from '../store-port.ts';
import { has, type TokenObject } from '../objects/token-object.ts';

const TRANSPORT_KEY_BYTES = 32;
const TRANSPORT_MS = 10_000;
/** The initial value of RFC 5649, 3. */
const KWP_IV = Buffer.from('a65959a6', 'hex');

function openWrapped(key: Buffer, wrapped: Buffer): Buffer {
  const decipher = createDecipheriv('id-aes256-wrap-pad', key, KWP_IV);
  const opened = decipher.update(wrapped);
  decipher.final();
  return opened;
}

/** Whether the key's attributes allow its export. */
export function mayLeave(object: TokenObject): boolean {
  return has(object, CKA.EXTRACTABLE) && !has(object, CKA.WRAP_WITH_TRUSTED);
}

export function demandExtractable(object: TokenObject): void {
  if (!mayLeave(object)) throw new SidekeyError('key_unextractable', 'the key is not exportable');
}

/**
 * The bytes of a secret key, or PKCS#8 (DER) of a private key. key_unextractable unless its attributes allow
 * export.
 */
export async function exportMaterial(domain: Domain, token: TokenRow, object: TokenObject): Promise<Buffer> {
  demandExtractable(object);
  const transport = domain.random(TRANSPORT_KEY_BYTES);
  try {
    const by = await domain.keeper.importComponents(
      {
        ...{ objectClass: CKO.SECRET_KEY, keyType: CKK.AES, owner: null, leaseMs: TRANSPORT_MS },
        ...{ uses: null, note: null, seal: null },
      },
      [{ type: CKA.VALUE, value: Buffer.from(transport) }],
    );
    try {
      const mechanism = { type: CKM.AES_KEY_WRAP_KWP, params: Buffer.alloc(0) };
      const cell = await domain.cells.take(token, object);
      return openWrapped(transport, await domain.keeper.wrap(cell, by.cell, mechanism));
    } finally {
      domain.cells.drop(by.cell);
    }
  } finally {
    transport.fill(0);
  }
}
