/**
 * Keys of AWS KMS as resident keys: RSA, elliptic curves, ML-DSA and HMAC, by their aliases in the first region; multi-Region ones are used in the others as well. A
 * symmetric key is none, since KMS hides the nonce in its ciphertext. A key is made without its alias for a moment: one that lost it on the way is described by its name.
 */
import { SidekeyError } from '../../errors.ts';
import type {
  CipherAlgorithm,
  CipherParameters,
  HashName,
  KeySpec,
  NewResidentKey,
  ResidentKey,
  ResidentKeys,
  ResidentUse,
  SignAlgorithm,
} from '../../tokens/resident-port.ts';
import { decodeDer, scalarBytes } from '../../wire/ecdsa-signature.ts';
import { jsonAt, parseJson, takeSecret, textAt } from '../http/json-secret.ts';
import { isNamed } from './aws-client.ts';
import { inRegion, type AwsRegions } from './aws-regions.ts';

interface SpecRow {
  readonly keySpec: string;
  readonly spec: KeySpec;
  readonly sizeBits: number;
}

const SPECS: readonly SpecRow[] = [
  { keySpec: 'RSA_2048', spec: 'rsa-2048', sizeBits: 2048 },
  { keySpec: 'RSA_3072', spec: 'rsa-3072', sizeBits: 3072 },
  { keySpec: 'RSA_4096', spec: 'rsa-4096', sizeBits: 4096 },
  { keySpec: 'ECC_NIST_P256', spec: 'ec-p256', sizeBits: 256 },
  { keySpec: 'ECC_NIST_P384', spec: 'ec-p384', sizeBits: 384 },
  { keySpec: 'ECC_NIST_P521', spec: 'ec-p521', sizeBits: 521 },
  { keySpec: 'ECC_SECG_P256K1', spec: 'ec-secp256k1', sizeBits: 256 },
  { keySpec: 'ECC_NIST_EDWARDS25519', spec: 'ed25519', sizeBits: 255 },
  { keySpec: 'ML_DSA_44', spec: 'ml-dsa-44', sizeBits: 8 * 1312 },
  { keySpec: 'ML_DSA_65', spec: 'ml-dsa-65', sizeBits: 8 * 1952 },
  { keySpec: 'ML_DSA_87', spec: 'ml-dsa-87', sizeBits: 8 * 2592 },
  { keySpec: 'HMAC_224', spec: 'generic', sizeBits: 224 },
  { keySpec: 'HMAC_256', spec: 'generic', sizeBits: 256 },
  { keySpec: 'HMAC_384', spec: 'generic', sizeBits: 384 },
  { keySpec: 'HMAC_512', spec: 'generic', sizeBits: 512 },
];

type Named<T> = readonly (readonly [name: string, algorithm: T])[];

const HASHES: readonly (readonly [name: string, hash: HashName])[] = [
  ['256', 'sha256'],
  ['384', 'sha384'],
  ['512', 'sha512'],
];
const MESSAGE_MAX = 4096;

/** AWS's names: a key tells which of them are its own. */
const SIGNS: Named<SignAlgorithm> = [
  ...HASHES.map(([n, hash]) => [`RSASSA_PKCS1_V1_5_SHA_${n}`, { scheme: 'rsa-pkcs1', hash }] as const),
  ...HASHES.map(([n, hash]) => [`RSASSA_PSS_SHA_${n}`, { scheme: 'rsa-pss', hash }] as const),
  ...HASHES.map(([n, hash]) => [`ECDSA_SHA_${n}`, { scheme: 'ecdsa', hash }] as const),
  // Above its bound the service takes what FIPS 204 calls mu, which a PKCS#11 program does not make.
  ['ML_DSA_SHAKE_256', { scheme: 'ml-dsa', hash: null, maxBytes: MESSAGE_MAX }],
  ['ED25519_SHA_512', { scheme: 'eddsa', hash: null, maxBytes: MESSAGE_MAX }],
  ...([['224', 'sha224'], ...HASHES] as const).map(
    ([n, hash]) => [`HMAC_SHA_${n}`, { scheme: 'hmac', hash, maxBytes: MESSAGE_MAX }] as const,
  ),
];
const CIPHERS: Named<CipherAlgorithm> = [
  ['RSAES_OAEP_SHA_256', { scheme: 'rsa-oaep', hash: 'sha256', encrypts: false }],
  ['RSAES_OAEP_SHA_1', { scheme: 'rsa-oaep', hash: 'sha1', encrypts: false }],
];

const PAGE = 100;
const PAGES_MAX = 50;
const AT_ONCE = 8;
const ALIAS = 'alias/';

function nameOf<T extends { scheme: string; hash: HashName | null }>(rows: Named<T>, wanted: T): string {
  const row = rows.find(([, { scheme, hash }]) => scheme === wanted.scheme && hash === wanted.hash);
  if (row === undefined) throw new TypeError(`AWS KMS has no algorithm for ${wanted.scheme}`);
  return row[0];
}

function listed<T>(metadata: unknown, fields: readonly string[], rows: Named<T>): T[] {
  const names = fields.flatMap((field) => jsonAt(metadata, field)).map(String);
  return rows.filter(([name]) => names.includes(name)).map(([, algorithm]) => algorithm);
}

/** null: a key that is not usable, or of a kind that is not shown. */
function toKey(name: string, metadata: unknown): ResidentKey | null {
  const row = SPECS.find(({ keySpec }) => keySpec === textAt(metadata, 'KeySpec'));
  if (row === undefined || textAt(metadata, 'KeyState') !== 'Enabled') return null;
  const created = jsonAt(metadata, 'CreationDate');
  return {
    ...{ id: textAt(metadata, 'Arn'), name, version: null, isPrimary: true, ckaId: null },
    ...{ spec: row.spec, sizeBits: row.sizeBits },
    signs: listed(metadata, ['SigningAlgorithms', 'MacAlgorithms'], SIGNS),
    ciphers: listed(metadata, ['EncryptionAlgorithms'], CIPHERS),
    ...([jsonAt(metadata, 'KeyAgreementAlgorithms')].flat().includes('ECDH')
      ? { agrees: true as const }
      : {}),
    createdAt: typeof created === 'number' ? Math.round(created * 1000) : null,
  };
}

const USAGES: Readonly<Record<ResidentUse, string>> = {
  ...{ sign: 'SIGN_VERIFY', decrypt: 'ENCRYPT_DECRYPT', agree: 'KEY_AGREEMENT' },
};

/** A key of AWS has one use: the first that is asked for. */
function usageOf(spec: KeySpec, [first]: readonly ResidentUse[]): string {
  if (spec === 'generic') return 'GENERATE_VERIFY_MAC';
  return USAGES[first ?? 'sign'];
}

export class AwsResidentKeys implements ResidentKeys {
  readonly creates: readonly KeySpec[] = [...new Set(SPECS.map(({ spec }) => spec))];
  readonly keepsIds = false;
  readonly #regions: AwsRegions;

  constructor(regions: AwsRegions) {
    this.#regions = regions;
  }

  get #what(): string {
    return this.#regions.what;
  }

  async #ask(operation: string, parameters: object): Promise<unknown> {
    return parseJson((await this.#regions.atHome(operation, parameters)).body);
  }

  /** What the regions of the key can all do. */
  async #use(operation: string, { id }: ResidentKey, parameters: object): Promise<Buffer> {
    const { body } = await this.#regions.anywhere(operation, ({ name }) => inRegion(id, name), parameters);
    return body;
  }

  #refuse(why: string): never {
    throw new SidekeyError('provider_refused', `${this.#what}: ${why}`);
  }

  async list(prefix: string, max: number): Promise<ResidentKey[]> {
    const aliases = await this.#aliases(prefix);
    if (aliases.length > max) this.#refuse(`more than ${max} keys: a narrower prefix is needed`);
    const keys: ResidentKey[] = [];
    for (let at = 0; at < aliases.length; at += AT_ONCE) {
      const some = await Promise.all(aliases.slice(at, at + AT_ONCE).map((name) => this.#describe(name)));
      keys.push(...some.filter((key) => key !== null));
    }
    return keys;
  }

  /** Names of aliases that point to a key, without "alias/". */
  async #aliases(prefix: string): Promise<string[]> {
    const names: string[] = [];
    let marker: string | null = null;
    for (let page = 0; page < PAGES_MAX; page++) {
      const reply = await this.#ask('ListAliases', {
        Limit: PAGE,
        ...(marker === null ? {} : { Marker: marker }),
      });
      const aliases = jsonAt(reply, 'Aliases');
      for (const alias of Array.isArray(aliases) ? aliases : []) {
        const name = textAt(alias, 'AliasName').slice(ALIAS.length);
        const isOurs = name.startsWith(prefix) && !name.startsWith('aws/');
        if (isOurs && textAt(alias, 'TargetKeyId') !== '') names.push(name);
      }
      if (jsonAt(reply, 'Truncated') !== true) return names;
      marker = textAt(reply, 'NextMarker');
    }
    return this.#refuse('the account has too many aliases to be listed');
  }

  /** null: no such alias, or a key that is not shown. */
  async #describe(name: string): Promise<ResidentKey | null> {
    try {
      const reply = await this.#ask('DescribeKey', { KeyId: ALIAS + name, ...this.#regions.grants });
      return toKey(name, jsonAt(reply, 'KeyMetadata'));
    } catch (error) {
      if (isNamed(error, 'NotFoundException')) return null;
      throw error;
    }
  }

  async publicKey(key: ResidentKey): Promise<Buffer> {
    return this.#bytes(await this.#use('GetPublicKey', key, {}), 'PublicKey');
  }

  async create({ name, spec, sizeBits, uses }: NewResidentKey): Promise<ResidentKey> {
    const row = SPECS.find(
      (each) => each.spec === spec && (spec !== 'generic' || each.sizeBits === sizeBits),
    );
    if (row === undefined) this.#refuse(`AWS KMS has no ${spec} keys of ${sizeBits} bits`);
    if (name.includes('.')) this.#refuse(`"${name}" cannot be an alias: it contains "."`);
    if (await this.#isTaken(name)) this.#refuse(`alias/${name} exists already`);
    const reply = await this.#ask('CreateKey', {
      ...{ KeySpec: row.keySpec, KeyUsage: usageOf(spec, uses), Description: `Sidekey: ${name}` },
    });
    const metadata = jsonAt(reply, 'KeyMetadata');
    const id = textAt(metadata, 'KeyId');
    try {
      await this.#ask('CreateAlias', { AliasName: ALIAS + name, TargetKeyId: id });
    } catch (error) {
      // Without a name nobody would find it, and it would be paid for.
      await this.#ask('ScheduleKeyDeletion', { KeyId: id, PendingWindowInDays: 7 }).catch(() => undefined);
      throw error;
    }
    return toKey(name, metadata) ?? this.#refuse(`the key "${name}" was created, but is not enabled`);
  }

  async #isTaken(name: string): Promise<boolean> {
    try {
      await this.#ask('DescribeKey', { KeyId: ALIAS + name, ...this.#regions.grants });
      return true;
    } catch (error) {
      if (isNamed(error, 'NotFoundException')) return false;
      throw error;
    }
  }

  /** The alias stays with it: whoever cancels the deletion finds the key as it was. */
  async destroy({ id }: ResidentKey): Promise<string> {
    const KeyId = id.slice(id.lastIndexOf('/') + 1);
    const reply = await this.#ask('ScheduleKeyDeletion', { KeyId, PendingWindowInDays: 30 });
    const at = jsonAt(reply, 'DeletionDate');
    return `destroyed after ${typeof at === 'number' ? new Date(at * 1000).toISOString() : '30 days'}`;
  }

  async sign(key: ResidentKey, algorithm: SignAlgorithm, input: Buffer): Promise<Buffer> {
    const name = nameOf(SIGNS, algorithm);
    const Message = input.toString('base64');
    if (algorithm.scheme === 'hmac')
      return this.#bytes(await this.#use('GenerateMac', key, { Message, MacAlgorithm: name }), 'Mac');
    const MessageType = ['eddsa', 'ml-dsa'].includes(algorithm.scheme) ? 'RAW' : 'DIGEST';
    const request = { Message, MessageType, SigningAlgorithm: name };
    const signature = this.#bytes(await this.#use('Sign', key, request), 'Signature');
    const raw = algorithm.scheme === 'ecdsa' ? decodeDer(signature, key.sizeBits) : signature;
    if (raw !== null) return raw;
    throw new SidekeyError('provider_unreachable', `${this.#what}: the signature is malformed`);
  }

  #bytes(body: Buffer, field: string): Buffer {
    const bytes = Buffer.from(textAt(parseJson(body), field), 'base64');
    if (bytes.length > 0) return bytes;
    throw new SidekeyError('provider_unreachable', `${this.#what}: the response has no ${field}`);
  }

  async agree(key: ResidentKey, other: Buffer): Promise<Buffer> {
    const request = { KeyAgreementAlgorithm: 'ECDH', PublicKey: other.toString('base64') };
    const body = await this.#use('DeriveSharedSecret', key, request);
    const secret = takeSecret(body, ['SharedSecret']);
    body.fill(0);
    if (secret?.length === scalarBytes(key.sizeBits)) return secret;
    secret?.fill(0);
    throw new SidekeyError('provider_unreachable', `${this.#what}: the response has no shared secret`);
  }

  encrypt(): Promise<Buffer> {
    return this.#refuse('AWS KMS does not encrypt with an IV chosen by the caller');
  }

  async decrypt(
    key: ResidentKey,
    algorithm: CipherAlgorithm,
    _parameters: CipherParameters,
    ciphertext: Buffer,
  ): Promise<Buffer> {
    const name = nameOf(CIPHERS, algorithm);
    const request = { CiphertextBlob: ciphertext.toString('base64'), EncryptionAlgorithm: name };
    try {
      const body = await this.#use('Decrypt', key, request);
      const plaintext = takeSecret(body, ['Plaintext']);
      body.fill(0);
      if (plaintext !== null) return plaintext;
    } catch (error) {
      if (isNamed(error, 'InvalidCiphertextException'))
        throw new SidekeyError(
          'encrypted_data_invalid',
          `${this.#what}: the key "${key.name}" cannot decrypt this`,
          { cause: error },
        );
      throw error;
    }
    throw new SidekeyError('provider_unreachable', `${this.#what}: the response has no plaintext`);
  }
}
