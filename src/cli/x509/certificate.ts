/**
 * Certificate signing requests (RFC 2986) and self-signed certificates (RFC 5280), to be signed elsewhere:
 * the private key stays in its token.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import { SidekeyError } from '../../errors.ts';
import * as der from './der.ts';

/** How to ask the agent for a signature, and its identifier in a certificate. */
export interface SignatureAlgorithm {
  readonly identifier: Buffer;
  readonly fields: Readonly<Record<string, string>>;
}

function rsa(): SignatureAlgorithm {
  return {
    identifier: der.sequence(der.oid('1.2.840.113549.1.1.11'), der.nothing()),
    fields: { hash_algorithm: 'sha2-256', signature_algorithm: 'pkcs1v15' },
  };
}

function ecdsa(oid: string, hash: string): SignatureAlgorithm {
  return { identifier: der.sequence(der.oid(oid)), fields: { hash_algorithm: hash } };
}

/** By the Transit type of the key. The hash matches the curve's strength (RFC 5758, 3.2; RFC 8410, 3). */
const ALGORITHMS: readonly (readonly [type: RegExp, algorithm: SignatureAlgorithm])[] = [
  [/^rsa-/, rsa()],
  [/^ecdsa-p256$/, ecdsa('1.2.840.10045.4.3.2', 'sha2-256')],
  [/^ecdsa-p384$/, ecdsa('1.2.840.10045.4.3.3', 'sha2-384')],
  [/^ecdsa-p521$/, ecdsa('1.2.840.10045.4.3.4', 'sha2-512')],
  [/^ed25519$/, { identifier: der.sequence(der.oid('1.3.101.112')), fields: {} }],
];

export function algorithmFor(type: string): SignatureAlgorithm {
  const found = ALGORITHMS.find(([pattern]) => pattern.test(type));
  if (found) return found[1];
  throw new SidekeyError('usage', `a key of type ${type} cannot sign certificates`);
}

const NAME_TYPES: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  SERIALNUMBER: '2.5.4.5',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
};
const NAME_MAX_CHARACTERS = 64;

/** `CN=www.example.org,O=Example`, in this order; `\,` is a comma within a value. */
export function parseName(text: string): Buffer {
  const parts = text.split(/(?<!\\),/).map((part) => {
    const [, name = '', value = ''] = /^\s*([A-Za-z]+)\s*=\s*(.+?)\s*$/.exec(part) ?? [];
    const type = NAME_TYPES[name.toUpperCase()];
    const plain = value.replaceAll('\\,', ',');
    if (type === undefined || plain === '' || plain.length > NAME_MAX_CHARACTERS)
      throw new SidekeyError(
        'usage',
        `a name has the form CN=www.example.org,O=Example with ${Object.keys(NAME_TYPES).join(', ')}; not "${part}"`,
      );
    const string = type === NAME_TYPES['C'] ? der.printable(plain) : der.utf8(plain);
    return der.setOf(der.sequence(der.oid(type), string));
  });
  return der.sequence(...parts);
}

function addressBytes(text: string): Buffer {
  if (isIP(text) === 4) return Buffer.from(text.split('.').map(Number));
  if (isIP(text) !== 6) throw new SidekeyError('usage', `"${text}" is not an IP address`);
  // The URL parser normalises an IPv6 address: hexadecimal groups, at most one "::".
  const [head = '', tail] = new URL(`http://[${text}]/`).hostname.slice(1, -1).split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':'));
  const missing = 8 - groups(head).length - groups(tail ?? '').length;
  const all = [
    ...groups(head),
    ...Array<string>(tail === undefined ? 0 : missing).fill('0'),
    ...groups(tail ?? ''),
  ];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/** GeneralName (RFC 5280, 4.2.1.6), by prefix. */
const ALTERNATIVES: Readonly<Record<string, (value: string) => Buffer>> = {
  EMAIL: (value) => der.tagged(1, Buffer.from(value, 'latin1'), 'primitive'),
  DNS: (value) => der.tagged(2, Buffer.from(value, 'latin1'), 'primitive'),
  URI: (value) => der.tagged(6, Buffer.from(value, 'latin1'), 'primitive'),
  IP: (value) => der.tagged(7, addressBytes(value), 'primitive'),
};

function parseAlternative(text: string): Buffer {
  const [, kind = '', value = ''] = /^(\w+):([\x21-\x7e]+)$/.exec(text) ?? [];
  const write = ALTERNATIVES[kind.toUpperCase()];
  if (write) return write(value);
  throw new SidekeyError('usage', `--san takes DNS:, IP:, EMAIL: or URI: and a value, not "${text}"`);
}

export interface Subject {
  readonly name: Buffer;
  /** DNS:www.example.org, IP:10.0.0.1, ... */
  readonly alternatives: readonly string[];
  readonly isAuthority: boolean;
  readonly publicKey: KeyObject;
}

const CRITICAL = der.yes();

function extension(oid: string, value: Buffer, isCritical: boolean): Buffer {
  return der.sequence(der.oid(oid), ...(isCritical ? [CRITICAL] : []), der.octets(value));
}

/** keyUsage: digitalSignature; for an authority, keyCertSign and cRLSign. */
function keyUsage(isAuthority: boolean): Buffer {
  return isAuthority ? der.bits(Buffer.from([0x06]), 1) : der.bits(Buffer.from([0x80]), 7);
}

function extensionsOf({ alternatives, isAuthority }: Subject): Buffer[] {
  const names = alternatives.map(parseAlternative);
  return [
    extension('2.5.29.19', isAuthority ? der.sequence(der.yes()) : der.sequence(), true),
    extension('2.5.29.15', keyUsage(isAuthority), true),
    ...(names.length > 0 ? [extension('2.5.29.17', der.sequence(...names), false)] : []),
  ];
}

function publicKeyInfo({ publicKey }: Subject): Buffer {
  return publicKey.export({ format: 'der', type: 'spki' });
}

/**
 * SHA-1 over the public key, as in RFC 5280, 4.2.1.2 (1): an identifier, not a proof. Hashing the whole
 * SubjectPublicKeyInfo is allowed too.
 */
function keyIdentifier(subject: Subject): Buffer {
  return extension(
    '2.5.29.14',
    der.octets(createHash('sha1').update(publicKeyInfo(subject)).digest()),
    false,
  );
}

/** CertificationRequestInfo: the part that is signed. */
export function requestToSign(subject: Subject): Buffer {
  const wanted = der.sequence(
    der.oid('1.2.840.113549.1.9.14'),
    der.setOf(der.sequence(...extensionsOf(subject))),
  );
  return der.sequence(
    der.smallInteger(0),
    subject.name,
    publicKeyInfo(subject),
    der.tagged(0, wanted, 'constructed'),
  );
}

export interface Validity {
  readonly from: Date;
  readonly until: Date;
  /** 16 random bytes. */
  readonly serial: Buffer;
}

/** TBSCertificate of a self-signed certificate. */
export function certificateToSign(
  subject: Subject,
  { identifier }: SignatureAlgorithm,
  { from, until, serial }: Validity,
): Buffer {
  const extensions = der.sequence(...extensionsOf(subject), keyIdentifier(subject));
  return der.sequence(
    der.tagged(0, der.smallInteger(2), 'constructed'),
    der.integer(serial),
    identifier,
    subject.name,
    der.sequence(der.time(from), der.time(until)),
    subject.name,
    publicKeyInfo(subject),
    der.tagged(3, extensions, 'constructed'),
  );
}

/** The signed part with its signature; requests and certificates share this form. */
export function assemble(signed: Buffer, { identifier }: SignatureAlgorithm, signature: Buffer): Buffer {
  return der.sequence(signed, identifier, der.bits(signature));
}

const PEM_COLUMNS = /.{1,64}/g;

export function toPem(bytes: Buffer, what: 'CERTIFICATE' | 'CERTIFICATE REQUEST'): string {
  const lines = bytes.toString('base64').match(PEM_COLUMNS) ?? [];
  return [`-----BEGIN ${what}-----`, ...lines, `-----END ${what}-----`, ''].join('\n');
}
