/** The keys of the strict AWS KMS that are not its KEK: pairs and HMAC keys with their aliases, and what the service refuses of them. */
import {
  constants,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  privateDecrypt,
  randomBytes,
  randomUUID,
  sign,
  type KeyObject,
} from 'node:crypto';
import { signDigest } from './sign-digest.ts';

interface Held {
  readonly id: string;
  readonly spec: string;
  readonly usage: string;
  readonly material: KeyObject | Buffer;
  state: 'Enabled' | 'PendingDeletion';
}

type Fields = Readonly<Record<string, unknown>>;
type Answer = object | { readonly refused: string };

const CURVES: Readonly<Record<string, readonly [curve: string, hash: string]>> = {
  ECC_NIST_P256: ['prime256v1', '256'],
  ECC_NIST_P384: ['secp384r1', '384'],
  ECC_NIST_P521: ['secp521r1', '512'],
  ECC_SECG_P256K1: ['secp256k1', '256'],
};
const LATTICES: Readonly<Record<string, string>> = {
  ML_DSA_44: 'ml-dsa-44',
  ML_DSA_65: 'ml-dsa-65',
  ML_DSA_87: 'ml-dsa-87',
};
const EDWARDS = 'ECC_NIST_EDWARDS25519';
const HASHES = ['256', '384', '512'];
const DIGEST_BYTES: Readonly<Record<string, number>> = { 256: 32, 384: 48, 512: 64 };

const FIELDS: Readonly<Record<string, readonly string[]>> = {
  ListAliases: ['Limit', 'Marker'],
  DescribeKey: ['KeyId', 'GrantTokens'],
  CreateKey: ['KeySpec', 'KeyUsage', 'Description'],
  CreateAlias: ['AliasName', 'TargetKeyId'],
  ScheduleKeyDeletion: ['KeyId', 'PendingWindowInDays'],
  GetPublicKey: ['KeyId', 'GrantTokens'],
  Sign: ['KeyId', 'Message', 'MessageType', 'SigningAlgorithm', 'GrantTokens'],
  GenerateMac: ['KeyId', 'Message', 'MacAlgorithm', 'GrantTokens'],
  Decrypt: ['KeyId', 'CiphertextBlob', 'EncryptionAlgorithm', 'GrantTokens'],
  DeriveSharedSecret: ['KeyId', 'KeyAgreementAlgorithm', 'PublicKey', 'GrantTokens'],
};

function makeMaterial(spec: string): KeyObject | Buffer | null {
  if (spec === EDWARDS) return generateKeyPairSync('ed25519').privateKey;
  const lattice = LATTICES[spec];
  if (lattice) return generateKeyPairSync(lattice as 'ml-dsa-44').privateKey;
  const curve = CURVES[spec]?.[0];
  if (curve) return generateKeyPairSync('ec', { namedCurve: curve }).privateKey;
  const bits = /^RSA_(2048|3072|4096)$/.exec(spec)?.[1];
  if (bits) return generateKeyPairSync('rsa', { modulusLength: Number(bits) }).privateKey;
  const mac = /^HMAC_(224|256|384|512)$/.exec(spec)?.[1];
  return mac ? randomBytes(Number(mac) / 8) : null;
}

function algorithmsOf({ spec, usage }: Held): object {
  if (spec.startsWith('HMAC')) return { MacAlgorithms: [`HMAC_SHA_${spec.slice(5)}`] };
  if (usage === 'ENCRYPT_DECRYPT')
    return { EncryptionAlgorithms: ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256'] };
  if (usage === 'KEY_AGREEMENT') return { KeyAgreementAlgorithms: ['ECDH'] };
  if (spec in LATTICES) return { SigningAlgorithms: ['ML_DSA_SHAKE_256'] };
  if (spec === EDWARDS) return { SigningAlgorithms: ['ED25519_SHA_512', 'ED25519_PH_SHA_512'] };
  const curve = CURVES[spec];
  if (curve) return { SigningAlgorithms: [`ECDSA_SHA_${curve[1]}`] };
  const all = ['RSASSA_PKCS1_V1_5', 'RSASSA_PSS'].flatMap((name) => HASHES.map((n) => `${name}_SHA_${n}`));
  return { SigningAlgorithms: all };
}

function usages(spec: string): readonly string[] {
  if (spec.startsWith('HMAC')) return ['GENERATE_VERIFY_MAC'];
  if (spec in CURVES) return ['SIGN_VERIFY', 'KEY_AGREEMENT'];
  return spec.startsWith('RSA') ? ['SIGN_VERIFY', 'ENCRYPT_DECRYPT'] : ['SIGN_VERIFY'];
}

function signWhole({ id }: Held, material: KeyObject, fields: Fields): Answer {
  const message = Buffer.from(String(fields['Message']), 'base64');
  if (fields['MessageType'] !== 'RAW' || message.length < 1 || message.length > 4096)
    return { refused: 'ValidationException' };
  const Signature = sign(null, message, material).toString('base64');
  return { KeyId: id, Signature, SigningAlgorithm: fields['SigningAlgorithm'] };
}

export class FakeAwsKeys {
  readonly #region: () => string;
  readonly #keys = new Map<string, Held>();
  readonly #aliases = new Map<string, string>();
  /** Entries of one page of ListAliases, so that a test sees a second one. */
  pageSize = 2;

  constructor(region: () => string) {
    this.#region = region;
  }

  /** A multi-Region key that signs, here and in the other regions under one id; the alias is this region's alone. */
  addMultiRegion(name: string, ...others: readonly FakeAwsKeys[]): void {
    const material = makeMaterial('ECC_NIST_P256');
    if (material === null) throw new Error('no material');
    const id = `mrk-${randomUUID().replaceAll('-', '')}`;
    for (const keys of [this, ...others])
      keys.#keys.set(id, { id, spec: 'ECC_NIST_P256', usage: 'SIGN_VERIFY', material, state: 'Enabled' });
    this.#aliases.set(`alias/${name}`, id);
  }

  /** null: it is about another key, or another operation. */
  answer(operation: string, fields: Fields): Answer | null {
    const known = FIELDS[operation];
    const key = this.#find(fields['KeyId'] ?? fields['TargetKeyId']);
    const isForeign = ['DescribeKey', 'Decrypt'].includes(operation) && key === null;
    if (!known || (isForeign && !this.#isUnknownAlias(fields['KeyId']))) return null;
    if (Object.keys(fields).some((name) => !known.includes(name))) return { refused: 'ValidationException' };
    if (operation === 'ListAliases') return this.#list(fields);
    if (operation === 'CreateKey') return this.#create(fields);
    if (key === null) return { refused: 'NotFoundException' };
    if (operation === 'DescribeKey') return { KeyMetadata: this.#metadata(key) };
    if (operation === 'CreateAlias') return this.#alias(key, String(fields['AliasName']));
    if (key.state !== 'Enabled') return { refused: 'KMSInvalidStateException' };
    return this.#use(operation, key, fields);
  }

  #isUnknownAlias(id: unknown): boolean {
    return String(id).startsWith('alias/') && id !== 'alias/sidekey';
  }

  #find(id: unknown): Held | null {
    const text = String(id);
    const target = this.#aliases.get(text) ?? text.replace(/^.*:key\//, '');
    return this.#keys.get(target) ?? null;
  }

  #metadata(key: Held): object {
    return {
      ...{ Arn: `arn:aws:kms:${this.#region()}:111122223333:key/${key.id}`, KeyId: key.id },
      ...{ KeySpec: key.spec, KeyUsage: key.usage, KeyState: key.state, CreationDate: 1700000000.5 },
      ...algorithmsOf(key),
    };
  }

  #list(fields: Fields): Answer {
    const all = [...this.#aliases, ['alias/aws/s3', 'of-aws'], ['alias/empty', '']] as const;
    const from = Number(fields['Marker'] ?? 0);
    const page = all.slice(from, from + this.pageSize).map(([AliasName, TargetKeyId]) => ({
      AliasName,
      ...(TargetKeyId === '' ? {} : { TargetKeyId }),
    }));
    const next = from + this.pageSize;
    const more = next < all.length;
    return { Aliases: page, Truncated: more, ...(more ? { NextMarker: String(next) } : {}) };
  }

  #create(fields: Fields): Answer {
    const [spec, usage] = [String(fields['KeySpec']), String(fields['KeyUsage'])];
    const material = makeMaterial(spec);
    if (!material || !usages(spec).includes(usage)) return { refused: 'ValidationException' };
    const key: Held = { id: randomUUID(), spec, usage, material, state: 'Enabled' };
    this.#keys.set(key.id, key);
    return { KeyMetadata: this.#metadata(key) };
  }

  #alias(key: Held, name: string): Answer {
    if (!/^alias\/[a-zA-Z0-9/_-]{1,250}$/.test(name)) return { refused: 'InvalidAliasNameException' };
    if (this.#aliases.has(name)) return { refused: 'AlreadyExistsException' };
    this.#aliases.set(name, key.id);
    return {};
  }

  #use(operation: string, key: Held, fields: Fields): Answer {
    if (operation === 'ScheduleKeyDeletion') {
      const days = Number(fields['PendingWindowInDays']);
      if (!(days >= 7 && days <= 30)) return { refused: 'ValidationException' };
      key.state = 'PendingDeletion';
      return { KeyId: key.id, DeletionDate: Date.now() / 1000 + days * 86_400, KeyState: key.state };
    }
    if (operation === 'GenerateMac') return this.#mac(key, fields);
    if (Buffer.isBuffer(key.material)) return { refused: 'UnsupportedOperationException' };
    if (operation === 'GetPublicKey') {
      const der = createPublicKey(key.material).export({ format: 'der', type: 'spki' });
      return { KeyId: key.id, PublicKey: der.toString('base64') };
    }
    if (operation === 'DeriveSharedSecret') return this.#agree(key, key.material, fields);
    return operation === 'Sign'
      ? this.#sign(key, key.material, fields)
      : this.#decrypt(key, key.material, fields);
  }

  #mac({ material, spec }: Held, fields: Fields): Answer {
    const message = Buffer.from(String(fields['Message']), 'base64');
    if (!Buffer.isBuffer(material) || fields['MacAlgorithm'] !== `HMAC_SHA_${spec.slice(5)}`)
      return { refused: 'InvalidKeyUsageException' };
    if (message.length < 1 || message.length > 4096) return { refused: 'ValidationException' };
    const mac = createHmac(`sha${spec.slice(5)}`, material)
      .update(message)
      .digest('base64');
    return { Mac: mac };
  }

  #sign(key: Held, material: KeyObject, fields: Fields): Answer {
    const name = String(fields['SigningAlgorithm']);
    const digest = Buffer.from(String(fields['Message']), 'base64');
    const bits = name.slice(-3);
    const offered = (algorithmsOf(key) as { SigningAlgorithms?: string[] }).SigningAlgorithms ?? [];
    if (!offered.includes(name)) return { refused: 'InvalidKeyUsageException' };
    if (name === 'ED25519_SHA_512' || name === 'ML_DSA_SHAKE_256') return signWhole(key, material, fields);
    if (fields['MessageType'] !== 'DIGEST' || digest.length !== DIGEST_BYTES[bits])
      return { refused: 'ValidationException' };
    const scheme = name.startsWith('ECDSA')
      ? 'ecdsa'
      : name.startsWith('RSASSA_PSS')
        ? 'rsa-pss'
        : 'rsa-pkcs1';
    const signature = signDigest(material, { scheme, hash: `sha${bits}` }, digest);
    return { KeyId: key.id, Signature: signature.toString('base64'), SigningAlgorithm: name };
  }

  #agree({ id, usage }: Held, privateKey: KeyObject, fields: Fields): Answer {
    if (usage !== 'KEY_AGREEMENT') return { refused: 'InvalidKeyUsageException' };
    if (fields['KeyAgreementAlgorithm'] !== 'ECDH') return { refused: 'ValidationException' };
    try {
      const key = Buffer.from(String(fields['PublicKey']), 'base64');
      const publicKey = createPublicKey({ key, format: 'der', type: 'spki' });
      const SharedSecret = diffieHellman({ privateKey, publicKey }).toString('base64');
      return { KeyId: id, SharedSecret, KeyAgreementAlgorithm: 'ECDH', KeyOrigin: 'AWS_KMS' };
    } catch {
      return { refused: 'ValidationException' };
    }
  }

  #decrypt({ usage }: Held, material: KeyObject, fields: Fields): Answer {
    const name = String(fields['EncryptionAlgorithm']);
    const oaepHash = name === 'RSAES_OAEP_SHA_1' ? 'sha1' : 'sha256';
    if (usage !== 'ENCRYPT_DECRYPT' || !name.startsWith('RSAES_OAEP_SHA_'))
      return { refused: 'InvalidKeyUsageException' };
    try {
      const how = { key: material, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash };
      const plaintext = privateDecrypt(how, Buffer.from(String(fields['CiphertextBlob']), 'base64'));
      return { Plaintext: plaintext.toString('base64'), EncryptionAlgorithm: name };
    } catch {
      return { refused: 'InvalidCiphertextException' };
    }
  }
}
