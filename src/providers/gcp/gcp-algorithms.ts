/** Google Cloud KMS's algorithms as resident keys: what a version of that algorithm is, and the one way in which it is used. */
import type {
  CipherAlgorithm,
  HashName,
  KeySpec,
  NewResidentKey,
  ResidentUse,
  SignAlgorithm,
} from '../../tokens/resident-port.ts';

export type Purpose = 'ASYMMETRIC_SIGN' | 'ASYMMETRIC_DECRYPT' | 'MAC' | 'RAW_ENCRYPT_DECRYPT';

export interface AlgorithmRow {
  readonly name: string;
  readonly purpose: Purpose;
  readonly spec: KeySpec;
  readonly sizeBits: number;
  readonly sign: SignAlgorithm | null;
  readonly cipher: CipherAlgorithm | null;
  /** A new key of this spec and use gets the first such row. */
  readonly isMade?: true;
  /** Has no software keys. */
  readonly isHsmOnly?: true;
}

/** Most that a message may have; keys in an HSM take a quarter of it. */
const MESSAGE_MAX = 65536;
const RSA_SIZES = [2048, 3072, 4096] as const;

function rsaRows(bits: (typeof RSA_SIZES)[number]): AlgorithmRow[] {
  const spec: KeySpec = `rsa-${bits}`;
  const signing = (name: string, sign: SignAlgorithm, made: { isMade?: true } = {}): AlgorithmRow => ({
    ...{ name, purpose: 'ASYMMETRIC_SIGN', spec, sizeBits: bits, sign, cipher: null, ...made },
  });
  const opening = (hash: HashName, made: { isMade?: true } = {}): AlgorithmRow => ({
    ...{ name: `RSA_DECRYPT_OAEP_${bits}_${hash.toUpperCase()}`, purpose: 'ASYMMETRIC_DECRYPT', spec },
    ...{ sizeBits: bits, sign: null, cipher: { scheme: 'rsa-oaep', hash, encrypts: false }, ...made },
  });
  const hashes: HashName[] = bits === 4096 ? ['sha256', 'sha512'] : ['sha256'];
  return [
    // Programs bring DigestInfos of whatever hash: this one signs them all.
    signing(`RSA_SIGN_RAW_PKCS1_${bits}`, { scheme: 'rsa-pkcs1', hash: null }, { isMade: true }),
    ...hashes.flatMap((hash) => [
      signing(`RSA_SIGN_PKCS1_${bits}_${hash.toUpperCase()}`, { scheme: 'rsa-pkcs1', hash }),
      signing(`RSA_SIGN_PSS_${bits}_${hash.toUpperCase()}`, { scheme: 'rsa-pss', hash }),
    ]),
    opening('sha256', { isMade: true }),
    opening('sha1'),
    ...(bits === 4096 ? [opening('sha512')] : []),
  ];
}

function ecRow(name: string, spec: KeySpec, sizeBits: number, sign: SignAlgorithm): AlgorithmRow {
  return { name, purpose: 'ASYMMETRIC_SIGN', spec, sizeBits, sign, cipher: null, isMade: true };
}

function hmacRow(hash: HashName, sizeBits: number): AlgorithmRow {
  return {
    ...{ name: `HMAC_${hash.toUpperCase()}`, purpose: 'MAC', spec: 'generic', sizeBits, cipher: null },
    ...{ sign: { scheme: 'hmac', hash, maxBytes: MESSAGE_MAX }, isMade: true },
  };
}

function aesRows(bits: 128 | 256): AlgorithmRow[] {
  const common = { purpose: 'RAW_ENCRYPT_DECRYPT', spec: `aes-${bits}`, sizeBits: bits, sign: null } as const;
  const cipher = (scheme: 'aes-gcm' | 'aes-cbc', encrypts: boolean): CipherAlgorithm => ({
    ...{ scheme, hash: null, encrypts, maxBytes: MESSAGE_MAX },
  });
  return [
    // The service chooses the IV of GCM.
    { ...common, name: `AES_${bits}_GCM`, cipher: cipher('aes-gcm', false) },
    { ...common, name: `AES_${bits}_CBC`, cipher: cipher('aes-cbc', true) },
  ];
}

const ROWS: readonly AlgorithmRow[] = [
  ...RSA_SIZES.flatMap(rsaRows),
  ecRow('EC_SIGN_P256_SHA256', 'ec-p256', 256, { scheme: 'ecdsa', hash: 'sha256' }),
  ecRow('EC_SIGN_P384_SHA384', 'ec-p384', 384, { scheme: 'ecdsa', hash: 'sha384' }),
  {
    ...ecRow('EC_SIGN_SECP256K1_SHA256', 'ec-secp256k1', 256, { scheme: 'ecdsa', hash: 'sha256' }),
    isHsmOnly: true,
  },
  ecRow('EC_SIGN_ED25519', 'ed25519', 255, { scheme: 'eddsa', hash: null, maxBytes: MESSAGE_MAX }),
  hmacRow('sha256', 256),
  hmacRow('sha384', 384),
  hmacRow('sha512', 512),
  hmacRow('sha224', 224),
  hmacRow('sha1', 160),
  ...aesRows(128),
  ...aesRows(256),
];

const BY_NAME = new Map(ROWS.map((row) => [row.name, row]));

/** null: an algorithm that is not among these words. */
export function findAlgorithm(name: string): AlgorithmRow | null {
  return BY_NAME.get(name) ?? null;
}

export function creatableSpecs(protectionLevel: string): KeySpec[] {
  const rows = ROWS.filter((row) => row.isMade && (protectionLevel === 'HSM' || !row.isHsmOnly));
  return [...new Set(rows.map(({ spec }) => spec))];
}

function serves({ sign, cipher }: AlgorithmRow, use: ResidentUse): boolean {
  return use === 'sign' ? sign !== null : cipher !== null;
}

/** A key of this service does one thing: the first use that there is an algorithm for. */
export function chooseAlgorithm({ spec, sizeBits, uses }: NewResidentKey): AlgorithmRow | null {
  const rows = ROWS.filter(
    (row) => row.isMade && row.spec === spec && (spec !== 'generic' || row.sizeBits === sizeBits),
  );
  const [row] = uses.flatMap((use) => rows.filter((each) => serves(each, use)));
  return row ?? null;
}
