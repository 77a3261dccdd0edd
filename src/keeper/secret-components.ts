/** Which components of an object are secret: imported ones are wiped here. */
import type { Attribute, Template } from '../tokens/ports.ts';

/** CKO_ of the objects with secret components, and CKA_ of these components. */
const CKO_PRIVATE_KEY = 3;
const CKO_SECRET_KEY = 4;
const CKA_VALUE = 0x11;
const CKA_SEED = 0x637;
const CKA_PRIVATE_EXPONENT = 0x123;
const CKA_COEFFICIENT = 0x128;
function isSecret(objectClass: number, { type }: Attribute): boolean {
  if (objectClass === CKO_SECRET_KEY) return type === CKA_VALUE;
  if (objectClass !== CKO_PRIVATE_KEY) return false;
  return type === CKA_VALUE || type === CKA_SEED || (type >= CKA_PRIVATE_EXPONENT && type <= CKA_COEFFICIENT);
}

export function wipeSecret(objectClass: number, components: Template): void {
  for (const component of components) if (isSecret(objectClass, component)) component.value.fill(0);
}
