/** What transit-differential.interop.ts asks of both servers, in this order. */

/** The `data` of earlier answers, by the name under which a step keeps them. */
export type Captured = Record<string, Readonly<Record<string, unknown>>>;

export interface Step {
  readonly name: string;
  readonly method: string;
  /** Below /v1. */
  readonly path: string;
  readonly body?: object | ((captured: Captured) => object);
  readonly capture?: string;
}

const TEXT = Buffer.from('seventeen camels').toString('base64');
const CONTEXT = Buffer.from('tenant 7').toString('base64');
const DIGEST = Buffer.alloc(32, 7).toString('base64');
const TYPES = [
  'aes128-gcm96',
  'aes256-gcm96',
  'chacha20-poly1305',
  'ed25519',
  'ecdsa-p256',
  'ecdsa-p384',
  'ecdsa-p521',
  'rsa-2048',
  'hmac',
] as const;
const CIPHERS = ['aes128-gcm96', 'aes256-gcm96', 'chacha20-poly1305', 'rsa-2048'] as const;
const SIGNERS = ['ed25519', 'ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'rsa-2048'] as const;

function step(name: string, method: string, path: string, body?: Step['body'], capture?: string): Step {
  return {
    name,
    method,
    path: `transit/${path}`,
    ...(body && { body }),
    ...(capture !== undefined && { capture }),
  };
}

function field(captured: Captured, name: string, of: string): unknown {
  return captured[name]?.[of];
}

/** An encryption, and what becomes of its ciphertext. */
function ciphers(key: string): Step[] {
  const kept = `ciphertext of ${key}`;
  const sealed = (captured: Captured): object => ({ ciphertext: field(captured, kept, 'ciphertext') });
  return [
    step(`encrypt by ${key}`, 'POST', `encrypt/${key}`, { plaintext: TEXT }, kept),
    step(`decrypt by ${key}`, 'POST', `decrypt/${key}`, sealed),
    step(`rewrap by ${key}`, 'POST', `rewrap/${key}`, sealed),
    step(`encrypt nothing by ${key}`, 'POST', `encrypt/${key}`, { plaintext: '' }),
    step(`encrypt what is not base64 by ${key}`, 'POST', `encrypt/${key}`, { plaintext: '!!' }),
    step(`encrypt without plaintext by ${key}`, 'POST', `encrypt/${key}`, {}),
    step(`encrypt by a version of ${key} that is not there`, 'POST', `encrypt/${key}`, {
      plaintext: TEXT,
      key_version: 9,
    }),
    step(`decrypt a version of ${key} that is not there`, 'POST', `decrypt/${key}`, {
      ciphertext: `vault:v9:${TEXT}`,
    }),
    step(`decrypt without a prefix by ${key}`, 'POST', `decrypt/${key}`, { ciphertext: TEXT }),
    step(`decrypt noise by ${key}`, 'POST', `decrypt/${key}`, {
      ciphertext: `vault:v1:${DIGEST}${DIGEST.slice(0, 40)}`,
    }),
    step(`decrypt nothing by ${key}`, 'POST', `decrypt/${key}`, {}),
    step(`a batch of ${key}`, 'POST', `encrypt/${key}`, {
      batch_input: [{ plaintext: TEXT }, { plaintext: TEXT, reference: 'second' }],
    }),
    step(`a batch of ${key} with a bad item`, 'POST', `encrypt/${key}`, {
      batch_input: [{ plaintext: TEXT }, { plaintext: '!!' }],
    }),
    step(`a batch of ${key} that opens nothing`, 'POST', `decrypt/${key}`, {
      batch_input: [{ ciphertext: 'vault:v1:AAAA' }],
    }),
    step(`a batch of ${key} of versions`, 'POST', `encrypt/${key}`, {
      batch_input: [{ plaintext: TEXT, key_version: 9 }, { plaintext: TEXT, key_version: 1 }, {}],
    }),
    step(`a rewrapped batch of ${key}`, 'POST', `rewrap/${key}`, (captured) => ({
      batch_input: [sealed(captured), { ciphertext: 'vault:v1:AAAA', reference: 'r' }],
    })),
    step(`a batch of ${key} with a code`, 'POST', `encrypt/${key}`, {
      batch_input: [{ plaintext: TEXT }, { plaintext: '!!' }],
      partial_failure_response_code: 207,
    }),
    step(`an empty batch of ${key}`, 'POST', `encrypt/${key}`, { batch_input: [] }),
    step(`signing by ${key}`, 'POST', `sign/${key}`, { input: TEXT }),
  ];
}

function signers(key: string): Step[] {
  const kept = `signature of ${key}`;
  const signed = (captured: Captured): object => ({
    input: TEXT,
    signature: field(captured, kept, 'signature'),
  });
  const other = (captured: Captured): object => ({
    input: DIGEST,
    signature: field(captured, kept, 'signature'),
  });
  return [
    step(`sign by ${key}`, 'POST', `sign/${key}`, { input: TEXT }, kept),
    step(`verify by ${key}`, 'POST', `verify/${key}`, signed),
    step(`verify other data by ${key}`, 'POST', `verify/${key}`, other),
    step(`sign by ${key} with sha2-512`, 'POST', `sign/${key}/sha2-512`, { input: TEXT }),
    step(`sign by ${key} with an unknown hash`, 'POST', `sign/${key}`, {
      input: TEXT,
      hash_algorithm: 'sha9',
    }),
    step(`sign a digest by ${key}`, 'POST', `sign/${key}`, { input: DIGEST, prehashed: true }),
    step(`sign by ${key} as jws`, 'POST', `sign/${key}`, { input: TEXT, marshaling_algorithm: 'jws' }),
    step(`sign by ${key} as nonsense`, 'POST', `sign/${key}`, { input: TEXT, marshaling_algorithm: 'x' }),
    step(`sign what is not base64 by ${key}`, 'POST', `sign/${key}`, { input: '!!' }),
    step(`a batch of signatures by ${key}`, 'POST', `sign/${key}`, {
      batch_input: [{ input: TEXT }, { input: '!!' }],
    }),
    step(`a batch of verifications by ${key}`, 'POST', `verify/${key}`, (captured) => ({
      batch_input: [
        { input: TEXT, signature: field(captured, kept, 'signature') },
        { input: DIGEST, signature: field(captured, kept, 'signature'), reference: 'r' },
        { input: '!!', signature: 'vault:v1:AAAA' },
        { input: TEXT },
      ],
    })),
    step(`a batch of verifications by ${key} of which none is right`, 'POST', `verify/${key}`, {
      batch_input: [{ input: '!!', signature: 'vault:v1:AAAA' }],
    }),
    step(`a batch of signatures by ${key} that makes none`, 'POST', `sign/${key}`, {
      batch_input: [{ input: '!!' }],
    }),
    step(`sign by ${key} by a version that is not there`, 'POST', `sign/${key}`, {
      input: TEXT,
      key_version: 9,
    }),
    step(`verify no signature by ${key}`, 'POST', `verify/${key}`, { input: TEXT }),
    step(`verify a signature of ${key} without a prefix`, 'POST', `verify/${key}`, {
      input: TEXT,
      signature: TEXT,
    }),
    step(`verify a signature of ${key} of a version that is not there`, 'POST', `verify/${key}`, {
      input: TEXT,
      signature: `vault:v9:${TEXT}`,
    }),
  ];
}

function macs(key: string): Step[] {
  const kept = `mac of ${key}`;
  return [
    step(`hmac by ${key}`, 'POST', `hmac/${key}`, { input: TEXT }, kept),
    step(`verify the hmac of ${key}`, 'POST', `verify/${key}`, (captured) => ({
      input: TEXT,
      hmac: field(captured, kept, 'hmac'),
    })),
    step(`verify the hmac of ${key} of other data`, 'POST', `verify/${key}`, (captured) => ({
      input: DIGEST,
      hmac: field(captured, kept, 'hmac'),
    })),
    step(`a batch of hmacs by ${key}`, 'POST', `hmac/${key}`, {
      batch_input: [{ input: TEXT }, { input: '!!' }, {}],
    }),
    step(`a batch of hmacs by ${key} that makes none`, 'POST', `hmac/${key}`, {
      batch_input: [{ input: '!!' }],
    }),
    step(`hmac of nothing by ${key}`, 'POST', `hmac/${key}`, {}),
    step(`hmac by ${key} by a version that is not there`, 'POST', `hmac/${key}`, {
      input: TEXT,
      key_version: 9,
    }),
    step(`hmac by ${key} with sha3-256`, 'POST', `hmac/${key}`, { input: TEXT, algorithm: 'sha3-256' }),
    step(`hmac by ${key} with an unknown algorithm`, 'POST', `hmac/${key}/none-such`, { input: TEXT }),
  ];
}

export const STEPS: readonly Step[] = [
  step('list no keys', 'LIST', 'keys'),
  ...TYPES.map((type) =>
    step(`create ${type}`, 'POST', `keys/${type}`, type === 'hmac' ? { type, key_size: 32 } : { type }),
  ),
  step('create an unknown type', 'POST', 'keys/what', { type: 'rot13' }),
  step('create what is there', 'POST', 'keys/aes256-gcm96', { type: 'aes256-gcm96' }),
  step('create with convergent encryption, not derived', 'POST', 'keys/what', {
    convergent_encryption: true,
  }),
  step('create a signing key that derives', 'POST', 'keys/what', { type: 'rsa-2048', derived: true }),
  ...TYPES.map((type) => step(`read ${type}`, 'GET', `keys/${type}`)),
  step('read none', 'GET', 'keys/none'),
  step('list keys', 'LIST', 'keys'),
  ...CIPHERS.flatMap(ciphers),
  ...SIGNERS.flatMap(signers),
  ...TYPES.flatMap(macs),
  step('encrypt by a signing key', 'POST', 'encrypt/ed25519', { plaintext: TEXT }),
  step('encrypt by an hmac key', 'POST', 'encrypt/hmac', { plaintext: TEXT }),
  step('sign by none', 'POST', 'sign/none', { input: TEXT }),
  step('decrypt by none', 'POST', 'decrypt/none', { ciphertext: `vault:v1:${TEXT}` }),
  step('rewrap by none', 'POST', 'rewrap/none', { ciphertext: `vault:v1:${TEXT}` }),
  step('create derived', 'POST', 'keys/tenants', { derived: true }),
  step('encrypt derived', 'POST', 'encrypt/tenants', { plaintext: TEXT, context: CONTEXT }, 'derived'),
  step('decrypt derived', 'POST', 'decrypt/tenants', (captured) => ({
    ciphertext: field(captured, 'derived', 'ciphertext'),
    context: CONTEXT,
  })),
  step('decrypt derived by another context', 'POST', 'decrypt/tenants', (captured) => ({
    ciphertext: field(captured, 'derived', 'ciphertext'),
    context: TEXT,
  })),
  step('encrypt derived without context', 'POST', 'encrypt/tenants', { plaintext: TEXT }),
  step('encrypt derived with a context that is not base64', 'POST', 'encrypt/tenants', {
    plaintext: TEXT,
    context: '!',
  }),
  step(
    'with associated data',
    'POST',
    'encrypt/aes256-gcm96',
    { plaintext: TEXT, associated_data: CONTEXT },
    'bound',
  ),
  step('opened with it', 'POST', 'decrypt/aes256-gcm96', (captured) => ({
    ciphertext: field(captured, 'bound', 'ciphertext'),
    associated_data: CONTEXT,
  })),
  step('opened without it', 'POST', 'decrypt/aes256-gcm96', (captured) => ({
    ciphertext: field(captured, 'bound', 'ciphertext'),
  })),
  step('associated data that are not base64', 'POST', 'encrypt/aes256-gcm96', {
    plaintext: TEXT,
    associated_data: '!',
  }),
  step('rotate', 'POST', 'keys/aes256-gcm96/rotate'),
  step('rotate none', 'POST', 'keys/none/rotate'),
  step('read the rotated', 'GET', 'keys/aes256-gcm96'),
  step('encrypt by the new version', 'POST', 'encrypt/aes256-gcm96', { plaintext: TEXT }),
  step('encrypt by the old version', 'POST', 'encrypt/aes256-gcm96', { plaintext: TEXT, key_version: 1 }),
  step('rewrap to the new version', 'POST', 'rewrap/aes256-gcm96', (captured) => ({
    ciphertext: field(captured, 'ciphertext of aes256-gcm96', 'ciphertext'),
  })),
  step('configure', 'POST', 'keys/aes256-gcm96/config', {
    min_decryption_version: 2,
    deletion_allowed: true,
  }),
  step('read the configured', 'GET', 'keys/aes256-gcm96'),
  step('decrypt what is too old', 'POST', 'decrypt/aes256-gcm96', (captured) => ({
    ciphertext: field(captured, 'ciphertext of aes256-gcm96', 'ciphertext'),
  })),
  step('configure too high', 'POST', 'keys/aes256-gcm96/config', { min_decryption_version: 9 }),
  step('configure below zero', 'POST', 'keys/aes256-gcm96/config', { min_decryption_version: -1 }),
  step('configure encryption below decryption', 'POST', 'keys/aes256-gcm96/config', {
    min_encryption_version: 1,
  }),
  step('configure nothing', 'POST', 'keys/aes256-gcm96/config', {}),
  step('configure none', 'POST', 'keys/none/config', { min_decryption_version: 1 }),
  step('trim', 'POST', 'keys/aes256-gcm96/trim', { min_available_version: 2 }),
  step('trim too far', 'POST', 'keys/aes256-gcm96/trim', { min_available_version: 9 }),
  step('trim to what', 'POST', 'keys/aes256-gcm96/trim', {}),
  step('configure encryption too', 'POST', 'keys/aes256-gcm96/config', { min_encryption_version: 2 }),
  step('trim again', 'POST', 'keys/aes256-gcm96/trim', { min_available_version: 2 }),
  step('read the trimmed', 'GET', 'keys/aes256-gcm96'),
  step('a data key', 'POST', 'datakey/plaintext/aes256-gcm96', {}),
  step('a wrapped data key', 'POST', 'datakey/wrapped/aes256-gcm96', { bits: 512 }),
  step('a data key of odd bits', 'POST', 'datakey/plaintext/aes256-gcm96', { bits: 100 }),
  step('a data key of a word', 'POST', 'datakey/naked/aes256-gcm96', {}),
  step('a data key of none', 'POST', 'datakey/plaintext/none', {}),
  step('a data key of a signing key', 'POST', 'datakey/plaintext/ed25519', {}),
  step('export what may not be', 'GET', 'export/encryption-key/aes256-gcm96'),
  step('export none', 'GET', 'export/encryption-key/none'),
  step('export a word', 'GET', 'export/naked-key/aes256-gcm96'),
  step('create exportable', 'POST', 'keys/open', { exportable: true }),
  step('export', 'GET', 'export/encryption-key/open'),
  step('export a version', 'GET', 'export/encryption-key/open/1'),
  step('export latest', 'GET', 'export/encryption-key/open/latest'),
  step('export a version that is not there', 'GET', 'export/encryption-key/open/7'),
  step('export its hmac key', 'GET', 'export/hmac-key/open'),
  step('export its signing key', 'GET', 'export/signing-key/open'),
  step('random', 'POST', 'random', {}),
  step('random of 8 in hex', 'POST', 'random/8', { format: 'hex' }),
  step('random of none', 'POST', 'random/0', {}),
  step('random of a word', 'POST', 'random/x', {}),
  step('random in a word', 'POST', 'random/8', { format: 'octal' }),
  step('random of too much', 'POST', 'random/99999999', {}),
  step('hash', 'POST', 'hash', { input: TEXT }),
  step('hash by sha2-512 in base64', 'POST', 'hash/sha2-512', { input: TEXT, format: 'base64' }),
  step('hash by sha3-384', 'POST', 'hash', { input: TEXT, algorithm: 'sha3-384' }),
  step('hash by a word', 'POST', 'hash/md6', { input: TEXT }),
  step('hash what is not base64', 'POST', 'hash', { input: '!!' }),
  step('hash nothing', 'POST', 'hash', {}),
  step('the wrapping key', 'GET', 'wrapping_key'),
  step('delete what may not be', 'DELETE', 'keys/ed25519'),
  step('delete', 'DELETE', 'keys/aes256-gcm96'),
  step('read the deleted', 'GET', 'keys/aes256-gcm96'),
  step('delete none', 'DELETE', 'keys/none'),
  step('list what is left', 'LIST', 'keys'),
  step('a route that is not there', 'GET', 'nothing/here'),
  step('a method that is not there', 'DELETE', 'encrypt/aes256-gcm96'),
];
