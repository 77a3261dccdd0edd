/** The public half of a pair, in whichever format a KMIP server gives it, as SubjectPublicKeyInfo. */
import { createPublicKey } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import type { KeySpec, ResidentKey } from '../../tokens/resident-port.ts';
import { scalarBytes } from '../../wire/ecdsa-signature.ts';
import type { KmipCaller } from './client.ts';
import { getPublicKey } from './key-operations.ts';
import { KEY_FORMAT_TYPE } from './tables.ts';

const CURVES: Readonly<Partial<Record<KeySpec, string>>> = {
  ...{ 'ec-p256': 'P-256', 'ec-p384': 'P-384', 'ec-p521': 'P-521', 'ec-secp256k1': 'secp256k1' },
};

/** SubjectPublicKeyInfo of an uncompressed point; null: it is none, or not on the curve. */
function toInfo({ spec, sizeBits }: ResidentKey, point: Buffer): Buffer | null {
  const bytes = scalarBytes(sizeBits);
  if (point.length !== 1 + 2 * bytes) return null;
  const [x, y] = [point.subarray(1, 1 + bytes), point.subarray(1 + bytes)].map((of) =>
    of.toString('base64url'),
  );
  try {
    const key = { kty: 'EC', crv: CURVES[spec] ?? '', x: x ?? '', y: y ?? '' };
    return createPublicKey({ key, format: 'jwk' }).export({ format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}

/** As the server keeps it or, where that is not known here, changed by it. */
export async function readPublicKey(
  by: KmipCaller,
  provider: string,
  id: string,
  key: ResidentKey,
): Promise<Buffer> {
  const refuse = (what: string, cause: unknown): never => {
    throw new SidekeyError('provider_refused', `provider "${provider}" (key ${id}): ${what}`, { cause });
  };
  const { X509, PKCS1, TransparentECPublicKey } = KEY_FORMAT_TYPE;
  let { format, material } = await getPublicKey(by, id, null);
  const point = format === TransparentECPublicKey && material !== null ? toInfo(key, material) : null;
  if (point !== null) return point;
  if (format !== X509 && format !== PKCS1) ({ format, material } = await getPublicKey(by, id, X509));
  if (material === null || (format !== X509 && format !== PKCS1))
    return refuse('the public key has an unsupported format', null);
  try {
    const type = format === X509 ? 'spki' : 'pkcs1';
    const object = createPublicKey({ key: material, format: 'der', type });
    return object.export({ format: 'der', type: 'spki' });
  } catch (cause) {
    return refuse('the public key is malformed', cause);
  }
}
