/**
 * Properties of a version of a named key: where it is used, which half of a pair applies, what accompanies
 * it.
 */
import { SidekeyError } from '../../errors.ts';
import { CKA, CKO } from '../cryptoki.ts';
import type { KeyFamily, KeyVersion } from './family.ts';
import { isUsedInService } from '../resident/named.ts';
import type { NamedKeyUse } from '../service.ts';
import { classOf, type TokenObject } from '../objects/token-object.ts';

const EMPTY = Buffer.alloc(0);

/** A key whose type has no HMAC mechanism is accompanied by a generic secret for HMACs, made on first use. */
export function hmacNameOf(name: string): string {
  return `${name}/hmac`;
}

export function isInService({ latest }: KeyFamily): boolean {
  return isUsedInService(latest.main);
}

export function publicKeyInfoOf({ main }: KeyVersion): Buffer | null {
  const info = main.attributes.get(CKA.PUBLIC_KEY_INFO) ?? EMPTY;
  return info.length === 0 ? null : info;
}

/** Encryption and verification use the public half, if there is one. */
export function objectFor({ main, shown }: KeyVersion, operation: NamedKeyUse['operation']): TokenObject {
  const isPublic = operation === 'encrypt' || operation === 'verify';
  const object = isPublic && classOf(main) === CKO.PRIVATE_KEY ? shown : main;
  if (object === null) throw new SidekeyError('key_handle_invalid', 'the public key no longer exists');
  return object;
}
