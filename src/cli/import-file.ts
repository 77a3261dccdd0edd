/**
 * Reads a key file: PEM or DER (PKCS #8, PKCS #1, SEC 1), PKCS #12, or the bytes of a secret key. node-forge
 * parses PKCS #12 into strings and numbers that cannot be wiped: this process ends soon, and dumps no core
 * (Command.secret).
 */
import { createPrivateKey, createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import type { asn1 } from 'node-forge';
import { SidekeyError } from '../errors.ts';

export interface KeyFile {
  /** The Transit name of the type. */
  readonly type: string;
  /** PKCS #8, or the secret key itself. The caller wipes it. */
  readonly material: Buffer;
  /** In PEM, the key's own first; empty if there are none. */
  readonly certificates: readonly string[];
}

const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'ecdsa-p256',
  secp384r1: 'ecdsa-p384',
  secp521r1: 'ecdsa-p521',
};

function typeOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  if (asymmetricKeyType === 'rsa') return `rsa-${asymmetricKeyDetails?.modulusLength}`;
  if (asymmetricKeyType === 'ed25519') return 'ed25519';
  const curve = CURVES[asymmetricKeyDetails?.namedCurve ?? ''];
  if (asymmetricKeyType === 'ec' && curve) return curve;
  throw new SidekeyError('file_refused', `keys of this kind cannot be imported: ${asymmetricKeyType}`);
}

function refuse(what: string, cause: unknown): never {
  const reason = cause instanceof Error ? cause.message : String(cause);
  throw new SidekeyError('file_refused', `${what}: ${reason}`, { cause });
}

const PEM = Buffer.from('-----BEGIN');

/** `passphrase` null: the key is not encrypted. */
export function readPrivateKey(bytes: Buffer, passphrase: Buffer | null): KeyFile {
  const form = bytes.includes(PEM)
    ? ({ key: bytes, format: 'pem' } as const)
    : ({ key: bytes, format: 'der', type: 'pkcs8' } as const);
  try {
    const key = createPrivateKey({ ...form, ...(passphrase ? { passphrase } : {}) });
    return { type: typeOf(key), material: key.export({ format: 'der', type: 'pkcs8' }), certificates: [] };
  } catch (cause) {
    if (cause instanceof SidekeyError) throw cause;
    return refuse('no private key can be read', cause);
  }
}

/** The key's own certificate first, as TLS servers expect. */
function sortCertificates(key: KeyObject, ders: readonly Buffer[]): string[] {
  const own = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const all = ders.map((der) => new X509Certificate(der));
  const isOwn = (each: X509Certificate): boolean =>
    each.publicKey.export({ format: 'der', type: 'spki' }).equals(own);
  const [leaf] = all.filter(isOwn);
  if (leaf === undefined) return [];
  return [leaf, ...all.filter((each) => !isOwn(each))].map(String);
}

/** The first key in the file, and the certificates (RFC 7292). */
export async function readPkcs12(bytes: Buffer, passphrase: Buffer | null): Promise<KeyFile> {
  const { default: forge } = await import('node-forge');
  const toDer = (value: asn1.Asn1): Buffer => Buffer.from(forge.asn1.toDer(value).getBytes(), 'latin1');
  try {
    const outer = forge.asn1.fromDer(bytes.toString('latin1'));
    const file = forge.pkcs12.pkcs12FromAsn1(outer, false, (passphrase ?? Buffer.alloc(0)).toString('utf8'));
    const bagsOf = (type: string | undefined) =>
      type === undefined ? [] : (file.getBags({ bagType: type })[type] ?? []);
    const { keyBag, pkcs8ShroudedKeyBag, certBag } = forge.pki.oids;
    const [bag] = [...bagsOf(pkcs8ShroudedKeyBag), ...bagsOf(keyBag)];
    if (!bag) throw new Error('the file contains no key');
    // node-forge leaves keys other than RSA undecoded.
    const material = bag.key
      ? toDer(forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(bag.key)))
      : toDer(bag.asn1);
    const ders = bagsOf(certBag).map((each) =>
      toDer(each.cert ? forge.pki.certificateToAsn1(each.cert) : each.asn1),
    );
    const key = createPrivateKey({ key: material, format: 'der', type: 'pkcs8' });
    return { type: typeOf(key), material, certificates: sortCertificates(key, ders) };
  } catch (cause) {
    if (cause instanceof SidekeyError) throw cause;
    return refuse('this PKCS #12 file cannot be read', cause);
  }
}
