/**
 * The keys of the strict Vault that are not KEKs: made, read, listed, used and deleted with real cryptography. A field that Transit would not know, or would
 * silently ignore for this type of key, is an error here.
 */
import {
  constants,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  privateEncrypt,
  randomBytes,
  sign,
  type KeyObject,
} from 'node:crypto';
import { signDigest } from './sign-digest.ts';

interface Held {
  readonly type: string;
  readonly material: readonly (KeyObject | Buffer)[];
  deletable: boolean;
}

export type TransitAnswer =
  { readonly status: number; readonly error: string } | { readonly data: object | null };

type Fields = Readonly<Record<string, unknown>>;

const NAME = /^\w(([\w-.]+)?\w)?$/;
const CURVES: Readonly<Record<string, string>> = {
  'ecdsa-p256': 'prime256v1',
  'ecdsa-p384': 'secp384r1',
  'ecdsa-p521': 'secp521r1',
};
const HASHES: Readonly<Record<string, string>> = {
  'sha2-224': 'sha224',
  'sha2-256': 'sha256',
  'sha2-384': 'sha384',
  'sha2-512': 'sha512',
};

function refuse(error: string, status = 400): TransitAnswer {
  return { status, error };
}

function unknownField(fields: Fields, known: readonly string[]): string | undefined {
  return Object.keys(fields).find((name) => !known.includes(name));
}

function makeMaterial(type: string, bytes: number): KeyObject | Buffer | null {
  if (CURVES[type]) return generateKeyPairSync('ec', { namedCurve: CURVES[type] }).privateKey;
  if (type === 'ed25519') return generateKeyPairSync('ed25519').privateKey;
  const bits = /^rsa-(2048|3072|4096)$/.exec(type)?.[1];
  if (bits) return generateKeyPairSync('rsa', { modulusLength: Number(bits) }).privateKey;
  return type === 'hmac' ? randomBytes(bytes) : null;
}

function bytesOf(value: unknown): Buffer | null {
  return typeof value === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(value)
    ? Buffer.from(value, 'base64')
    : null;
}

export class FakeTransitKeys {
  readonly #keys = new Map<string, Held>();

  /** A second version, as `rotate` makes it. */
  rotate(name: string): void {
    const held = this.#keys.get(name);
    const fresh = held && makeMaterial(held.type, 32);
    if (held && fresh) this.#keys.set(name, { ...held, material: [...held.material, fresh] });
  }

  /** `path` below the mount, its query included. */
  answer(method: string, path: string, fields: Fields): TransitAnswer {
    if (method === 'GET' && path === 'keys?list=true') {
      if (this.#keys.size === 0) return refuse('', 404);
      return { data: { keys: ['kek', ...this.#keys.keys()] } };
    }
    const [verb = '', name = '', rest] = path.split('/');
    if (!NAME.test(name)) return refuse('unsupported path', 404);
    if (verb === 'keys' && rest === undefined) return this.#manage(method, name, fields);
    if (verb === 'keys' && rest === 'rotate' && method === 'POST') {
      if (!this.#keys.has(name)) return refuse('encryption key not found');
      if (Object.keys(fields).length > 0) return refuse('unknown field');
      this.rotate(name);
      return { data: null };
    }
    if (verb === 'keys' && rest === 'config' && method === 'POST') return this.#configure(name, fields);
    const held = this.#keys.get(name);
    if (method !== 'POST' || rest !== undefined) return refuse('unsupported operation', 405);
    if (!held) return refuse('encryption key not found');
    if (verb === 'sign') return this.#sign(held, fields);
    if (verb === 'hmac') return this.#hmac(held, fields);
    return verb === 'decrypt' ? this.#decrypt(held, fields) : refuse('unsupported path', 404);
  }

  #manage(method: string, name: string, fields: Fields): TransitAnswer {
    const held = this.#keys.get(name);
    if (method === 'GET') return held ? { data: this.#facts(name, held) } : refuse('', 404);
    if (method === 'DELETE') {
      if (!held) return refuse('could not delete key; not found');
      if (!held.deletable) return refuse('deletion is not allowed for this key');
      this.#keys.delete(name);
      return { data: null };
    }
    const wrong = unknownField(fields, ['type', 'key_size']);
    if (wrong) return refuse(`unknown ${wrong}`);
    const type = String(fields['type']);
    const isHmac = type === 'hmac';
    const bytes = isHmac ? Number(fields['key_size'] ?? 32) : 0;
    if (!isHmac && 'key_size' in fields) return refuse('key_size is for hmac');
    if (isHmac && (bytes < 32 || bytes > 512)) return refuse('invalid key_size');
    const material = makeMaterial(type, bytes);
    if (!material) return refuse(`unknown key type ${type}`);
    if (!held) this.#keys.set(name, { type, material: [material], deletable: false });
    return { data: null };
  }

  #facts(name: string, { type, material, deletable }: Held): object {
    const version = (key: KeyObject | Buffer): unknown => {
      if (Buffer.isBuffer(key)) return 1700000000;
      const der = createPublicKey(key).export({ format: 'der', type: 'spki' });
      const pem = createPublicKey(key).export({ format: 'pem', type: 'spki' });
      return { public_key: type === 'ed25519' ? der.subarray(-32).toString('base64') : pem, name: type };
    };
    const keys = Object.fromEntries(material.map((key, i) => [String(i + 1), version(key)]));
    const size = Buffer.isBuffer(material[0]) ? { key_size: material[0].length } : {};
    return {
      ...{ name, type, derived: false, latest_version: material.length, min_available_version: 0 },
      ...{ min_decryption_version: 1, min_encryption_version: 0, deletion_allowed: deletable, keys, ...size },
    };
  }

  #configure(name: string, fields: Fields): TransitAnswer {
    const held = this.#keys.get(name);
    if (!held) return refuse('no existing key named that');
    if (unknownField(fields, ['deletion_allowed'])) return refuse('unknown field');
    held.deletable = fields['deletion_allowed'] === true;
    return { data: null };
  }

  #sign({ type, material }: Held, fields: Fields): TransitAnswer {
    const known = ['input', 'key_version'];
    if (type !== 'ed25519') known.push('prehashed', 'hash_algorithm');
    if (type.startsWith('rsa')) known.push('signature_algorithm', 'salt_length');
    if (type.startsWith('ecdsa')) known.push('marshaling_algorithm');
    const wrong = unknownField(fields, known);
    const input = bytesOf(fields['input']);
    const key = material[Number(fields['key_version']) - 1];
    if (wrong || !input || !key) return refuse(wrong ? `unknown ${wrong}` : 'no input or no such version');
    if (Buffer.isBuffer(key)) return refuse('key type does not support signing');
    if (type !== 'ed25519' && fields['prehashed'] !== true) return refuse('only digests are expected');
    try {
      const signature = signAs(key, type, fields, input).toString('base64');
      return { data: { signature: `vault:v${Number(fields['key_version'])}:${signature}` } };
    } catch (error) {
      return refuse(String(error));
    }
  }

  #hmac({ type, material }: Held, fields: Fields): TransitAnswer {
    const hash = HASHES[String(fields['algorithm'])];
    const input = bytesOf(fields['input']);
    const key = material.at(-1);
    if (type !== 'hmac' || !hash || !input || !Buffer.isBuffer(key)) return refuse('unsupported');
    if (unknownField(fields, ['input', 'algorithm'])) return refuse('unknown field');
    const code = createHmac(hash, key).update(input).digest('base64');
    return { data: { hmac: `vault:v${material.length}:${code}` } };
  }

  #decrypt({ type, material }: Held, fields: Fields): TransitAnswer {
    const [, version, base64] = /^vault:v(\d+):(.*)$/.exec(String(fields['ciphertext'])) ?? [];
    const key = material[Number(version) - 1];
    if (!type.startsWith('rsa') || !key || Buffer.isBuffer(key))
      return refuse('invalid ciphertext: no prefix');
    if (unknownField(fields, ['ciphertext'])) return refuse('unknown field');
    try {
      const how = { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
      const plaintext = privateDecrypt(how, Buffer.from(base64 ?? '', 'base64'));
      return { data: { plaintext: plaintext.toString('base64') } };
    } catch {
      return refuse('crypto/rsa: decryption error', 500);
    }
  }
}

function signAs(key: KeyObject, type: string, fields: Fields, input: Buffer): Buffer {
  if (type === 'ed25519') return sign(null, input, key);
  const name = String(fields['hash_algorithm']);
  const hash = HASHES[name];
  if (type.startsWith('ecdsa')) {
    if (fields['marshaling_algorithm'] !== 'asn1' || !hash) throw new Error('another marshaling or hash');
    return signDigest(key, { scheme: 'ecdsa', hash }, input);
  }
  if (fields['signature_algorithm'] === 'pss' && hash) {
    // As the real one does.
    const saltBytes = Number(fields['salt_length']) || 'max';
    return signDigest(key, { scheme: 'rsa-pss', hash, saltBytes }, input);
  }
  if (fields['signature_algorithm'] !== 'pkcs1v15' || 'salt_length' in fields)
    throw new Error('another padding');
  if (name === 'none') return privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, input);
  if (!hash) throw new Error(`unknown hash ${name}`);
  return signDigest(key, { scheme: 'rsa-pkcs1', hash }, input);
}
