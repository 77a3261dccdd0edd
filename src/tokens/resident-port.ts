/**
 * Resident keys, as the domain needs them of a key service: keys that never leave it, listed, used, made and destroyed there.
 * The words are neither PKCS#11's nor any service's: an adapter (src/providers/) has one table from them to its own algorithm
 * names, and src/tokens/ has one from them to mechanisms. Nothing here does anything.
 *
 * Every call ends within the provider's `timeout` (at most 9 s). Rejections are SidekeyErrors: provider_unreachable (nobody
 * answered, or only with faults of the service's own), provider_refused (it said no: no right, key disabled, no such key), and
 * where a function says so encrypted_data_invalid. Messages name provider, key and the service's request id, never data.
 */

/** As node:crypto calls them. */
export type HashName =
  'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512' | 'sha3-224' | 'sha3-256' | 'sha3-384' | 'sha3-512';

/** Kind and size of a key. `generic`: a secret for HMAC whose hash is chosen at use; its size stands in sizeBits. */
export type KeySpec =
  | 'rsa-2048'
  | 'rsa-3072'
  | 'rsa-4096'
  | 'ec-p256'
  | 'ec-p384'
  | 'ec-p521'
  | 'ec-secp256k1'
  | 'ed25519'
  | 'ml-dsa-44'
  | 'ml-dsa-65'
  | 'ml-dsa-87'
  | 'aes-128'
  | 'aes-192'
  | 'aes-256'
  | 'generic';

export type SignScheme = 'rsa-pkcs1' | 'rsa-pss' | 'ecdsa' | 'eddsa' | 'ml-dsa' | 'hmac' | 'aes-cmac';

/**
 * One way in which a key signs or makes a code. What the adapter is given as input:
 * rsa-pkcs1, rsa-pss: the digest, of the hash's length; with hash null (rsa-pkcs1 alone) the whole content of the padding, a DigestInfo or
 * other bytes. ecdsa: a digest of the hash's length, or with hash null of any length; the domain cuts and fills a digest
 * so that one of them is enough for a curve. eddsa, ml-dsa (pure, without a context), hmac, aes-cmac: the message.
 */
export interface SignAlgorithm {
  readonly scheme: SignScheme;
  readonly hash: HashName | null;
  /** The service hashes by itself: the input is the message whatever the scheme, so that a digest from elsewhere cannot be signed so. */
  readonly takesMessage?: true;
  /** rsa-pss: whether any salt length will do; absent: that of the digest alone. */
  readonly anySalt?: true;
  /** With anySalt: the service has another meaning for a salt of no bytes. */
  readonly neverUnsalted?: true;
  /** Longest message, for schemes that take one; absent: the domain's own bound of 64 KiB. */
  readonly maxBytes?: number;
}

/** aes-cbc-pad pads as PKCS #7. The ciphertext of aes-gcm has its tag at the end. */
export type CipherScheme = 'rsa-pkcs1' | 'rsa-oaep' | 'aes-gcm' | 'aes-cbc' | 'aes-cbc-pad' | 'aes-ecb';

/** One way in which a private key decrypts, or a secret key encrypts and decrypts. rsa-oaep: MGF1 with the same hash. */
export interface CipherAlgorithm {
  readonly scheme: CipherScheme;
  readonly hash: HashName | null;
  /** rsa-oaep: whether a label may be given; absent: none. */
  readonly takesLabel?: true;
  /** Secret keys: false where the service chooses the IV itself, so that a program that chose one is refused. */
  readonly encrypts: boolean;
  /** Longest input; absent: the domain's own bound of 64 KiB. */
  readonly maxBytes?: number;
}

/** Empty, or 0, where the scheme has none. */
export interface CipherParameters {
  readonly iv: Buffer;
  readonly aad: Buffer;
  readonly tagBits: number;
  /** rsa-oaep. */
  readonly label: Buffer;
}

/** One key, or one version of a key where each version is an object of its own (asymmetric keys). */
export interface ResidentKey {
  /** The service's lasting name, with the version if that matters: what an adapter finds the key by, and what CKA_ID is made of. */
  readonly id: string;
  /** Alias or name, as people know it, the configured prefix included. */
  readonly name: string;
  /** Of a key that has several: this one. null: there is one only, or the service chooses. */
  readonly version: string | null;
  /** The version that is meant when none is named; true where there is one only. */
  readonly isPrimary: boolean;
  readonly spec: KeySpec;
  readonly sizeBits: number;
  /** In the order of preference: the domain takes the first that serves. Empty: it does not sign. */
  readonly signs: readonly SignAlgorithm[];
  readonly ciphers: readonly CipherAlgorithm[];
  /** Of a curve: whether the service makes the shared secret of ECDH with it. Absent: no. */
  readonly agrees?: true;
  /** The service's own CKA_ID (an HSM's); null: one is made of `id`. */
  readonly ckaId: Buffer | null;
  readonly createdAt: number | null;
}

/** What the caller's template asks a new key to do: one at least. A service that permits one alone takes the first that it can. */
export type ResidentUse = 'sign' | 'decrypt' | 'agree';

export interface NewResidentKey {
  /** The configured prefix included; 1 to 255 bytes, of letters, digits, `-`, `_`, `.` and `/`: what a service cannot have it refuses. */
  readonly name: string;
  readonly spec: KeySpec;
  /** Of a `generic` key. */
  readonly sizeBits: number;
  readonly uses: readonly ResidentUse[];
  /** Empty unless the service keepsIds. */
  readonly ckaId: Buffer;
}

export interface ResidentKeys {
  /** What create can make. Empty: nothing. Constant: asked before any call. */
  readonly creates: readonly KeySpec[];
  /** Whether a new key may bring its CKA_ID. */
  readonly keepsIds: boolean;
  /**
   * Enabled keys whose name begins with `prefix`, at most `max` (then provider_refused: a narrower prefix is needed). Keys and algorithms
   * that these words cannot say are left out, and so is the provider's own KEK.
   */
  list(prefix: string, max: number): Promise<ResidentKey[]>;
  /** SubjectPublicKeyInfo, DER, of an asymmetric key. Never changes for an id: the domain keeps it. */
  publicKey(key: ResidentKey): Promise<Buffer>;
  /** Ready for use when it resolves. provider_refused when the name is taken. */
  create(wanted: NewResidentKey): Promise<ResidentKey>;
  /** A further version of a key, ready for use, of the same kind; `key` stays what it was. Absent: keys of this service have no versions. */
  rotate?(key: ResidentKey): Promise<ResidentKey>;
  /**
   * Destroys, or schedules it where the service does only that; says which, for the audit log ("destroyed", "is destroyed after 30
   * days"). The key is in no later list.
   */
  destroy(key: ResidentKey): Promise<string>;
  /** `algorithm` is one of key.signs. ecdsa gives r and s side by side, each of the curve's length. `saltBytes`: rsa-pss. */
  sign(key: ResidentKey, algorithm: SignAlgorithm, input: Buffer, saltBytes: number): Promise<Buffer>;
  /** After publicKey was refused: whether the service checks the signatures of such a pair itself (`verify`). Absent: it does not. */
  verifies?(key: ResidentKey): Promise<boolean>;
  /** Whether it is a signature of the same input. Asked where there is no public key to do it with. */
  verify?(
    key: ResidentKey,
    algorithm: SignAlgorithm,
    input: Buffer,
    signature: Buffer,
    saltBytes: number,
  ): Promise<boolean>;
  /** `algorithm` is one of key.ciphers with `encrypts`. */
  encrypt(
    key: ResidentKey,
    algorithm: CipherAlgorithm,
    parameters: CipherParameters,
    plaintext: Buffer,
  ): Promise<Buffer>;
  /** encrypted_data_invalid when it does not open. The caller wipes what comes out. */
  decrypt(
    key: ResidentKey,
    algorithm: CipherAlgorithm,
    parameters: CipherParameters,
    ciphertext: Buffer,
  ): Promise<Buffer>;
  /**
   * ECDH with a key that `agrees` and another's public key (SubjectPublicKeyInfo, DER, a point on the key's own curve): the x-coordinate,
   * of the curve's length. The caller wipes it. Absent: no key of this service agrees.
   */
  agree?(key: ResidentKey, other: Buffer): Promise<Buffer>;
}
