/** The parts of an X.509 certificate (RFC 5280, 4.1) that are attributes of its PKCS#11 object. */
import { X509Certificate } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';

export interface Certificate {
  readonly der: Buffer;
  /** CKA_SUBJECT, CKA_ISSUER and CKA_SERIAL_NUMBER: DER, exactly as in the certificate. */
  readonly subject: Buffer;
  readonly issuer: Buffer;
  readonly serial: Buffer;
  /** SubjectPublicKeyInfo. */
  readonly publicKeyInfo: Buffer;
}

interface Element {
  readonly tag: number;
  readonly whole: Buffer;
  readonly content: Buffer;
  readonly rest: Buffer;
}

const VERSION_TAG = 0xa0;
const LENGTH_BYTES_MAX = 3;

function readElement(der: Buffer): Element {
  const [tag = 0, first = 0] = der;
  const more = first & 0x80 ? first & 0x7f : 0;
  const length = more === 0 ? first : more <= LENGTH_BYTES_MAX ? der.readUIntBE(2, more) : Infinity;
  const end = 2 + more + length;
  if (end > der.length) throw new RangeError('a DER element ends beyond its bytes');
  return { tag, whole: der.subarray(0, end), content: der.subarray(2 + more, end), rest: der.subarray(end) };
}

/** The first `count` elements of a sequence. */
function readElements(content: Buffer, count: number): Element[] {
  const elements: Element[] = [];
  for (let rest = content; rest.length > 0 && elements.length < count; rest = elements.at(-1)?.rest ?? rest)
    elements.push(readElement(rest));
  return elements;
}

/** TBSCertificate: version (absent if 1), serial, signature, issuer, validity, subject. */
function readNames(der: Buffer): Pick<Certificate, 'subject' | 'issuer' | 'serial'> {
  const parts = readElements(readElement(readElement(der).content).content, 6);
  const [serial, , issuer, , subject] = parts[0]?.tag === VERSION_TAG ? parts.slice(1) : parts;
  if (!serial || !issuer || !subject) throw new RangeError('a certificate without names');
  return { serial: serial.whole, issuer: issuer.whole, subject: subject.whole };
}

/** Throws attribute_value_invalid if it is not a certificate. OpenSSL checks it first. */
export function readCertificate(bytes: Buffer | string): Certificate {
  try {
    const { raw, publicKey } = new X509Certificate(bytes);
    return { der: raw, ...readNames(raw), publicKeyInfo: publicKey.export({ format: 'der', type: 'spki' }) };
  } catch (cause) {
    throw new SidekeyError('attribute_value_invalid', 'this is not an X.509 certificate', { cause });
  }
}
