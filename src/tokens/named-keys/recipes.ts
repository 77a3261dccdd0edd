/** How to make each kind of key that the HTTP API supports. */
import { encodeUlong, type AttributeMap } from '../objects/attribute-value.ts';
import { CKA, CKM } from '../cryptoki.ts';
import { CURVE_OF_BITS, ED25519, ML_DSA_SETS } from './family.ts';
import type { Mechanism } from '../ports.ts';
import type { NamedKey, NewNamedKeyKind } from '../service.ts';

export interface Recipe {
  readonly mechanism: Mechanism;
  /** For the template of the secret key or the public key. */
  readonly parameters: AttributeMap;
}

function recipe(type: number, ...parameters: [number, Buffer][]): Recipe {
  return { mechanism: { type, params: Buffer.alloc(0) }, parameters: new Map(parameters) };
}

function bytesOf(sizeBits: number): [number, Buffer] {
  return [CKA.VALUE_LEN, encodeUlong(Math.ceil(sizeBits / 8))];
}

export function isSecret({ kind }: NewNamedKeyKind): boolean {
  return kind === 'aes' || kind === 'chacha20' || kind === 'generic';
}

/** A derived key is a secret for HKDF, from which AES keys are derived, one per context. */
export function recipeFor(wanted: NewNamedKeyKind, derived: boolean): Recipe {
  switch (wanted.kind) {
    case 'aes':
      return recipe(derived ? CKM.HKDF_KEY_GEN : CKM.AES_KEY_GEN, bytesOf(wanted.sizeBits));
    case 'chacha20':
      return recipe(CKM.CHACHA20_KEY_GEN);
    case 'generic':
      return recipe(CKM.GENERIC_SECRET_KEY_GEN, bytesOf(wanted.sizeBits));
    case 'rsa':
      return recipe(CKM.RSA_PKCS_KEY_PAIR_GEN, [CKA.MODULUS_BITS, encodeUlong(wanted.sizeBits)]);
    case 'ec':
      return recipe(CKM.EC_KEY_PAIR_GEN, [
        CKA.EC_PARAMS,
        CURVE_OF_BITS.get(wanted.sizeBits) ?? Buffer.alloc(0),
      ]);
    case 'ed25519':
      return recipe(CKM.EC_EDWARDS_KEY_PAIR_GEN, [CKA.EC_PARAMS, ED25519]);
    case 'ml-dsa':
      return recipe(CKM.ML_DSA_KEY_PAIR_GEN, [
        CKA.PARAMETER_SET,
        encodeUlong(ML_DSA_SETS.get(wanted.sizeBits) ?? 0),
      ]);
  }
}

/** The kind of a key's next version; null: a size or kind that Sidekey does not make. */
export function kindOfNext({ kind, sizeBits }: NamedKey): NewNamedKeyKind | null {
  switch (kind) {
    case 'aes':
      return sizeBits === 128 || sizeBits === 256 ? { kind, sizeBits } : null;
    case 'chacha20':
      return { kind, sizeBits: 256 };
    case 'generic':
      return { kind, sizeBits };
    case 'rsa':
      return sizeBits === 2048 || sizeBits === 3072 || sizeBits === 4096 ? { kind, sizeBits } : null;
    case 'ec':
      return sizeBits === 256 || sizeBits === 384 || sizeBits === 521 ? { kind, sizeBits } : null;
    case 'ed25519':
      return { kind };
    case 'ml-dsa':
      return sizeBits === 10496 || sizeBits === 15616 || sizeBits === 20736 ? { kind, sizeBits } : null;
    case 'envelope':
    case 'x25519':
      return null;
  }
}
