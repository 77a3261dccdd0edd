import { createHash, type Hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DEFAULT_HASH, findHash, HASH_NAMES } from '../../api/transit/hash-algorithm.ts';
import { SidekeyError } from '../../errors.ts';
import { jsonAt } from '../../providers/http/json-secret.ts';
import { textOption, type Command, type Invocation } from '../command.ts';
import { versionField, VERSION_OPTION } from './crypt.ts';
import { IN_OPTION, OUT_OPTION, readMessage, readPieces, writeMessage } from '../message-io.ts';
import {
  askTransit,
  bytesOfVersioned,
  givenFields,
  KEY,
  MESSAGE_MAX_BYTES,
  textField,
  TRANSIT_OPTIONS,
  type Fields,
} from '../transit-client.ts';

const HASH_OPTION = {
  hash: { type: 'string', choices: HASH_NAMES, help: `hash algorithm; default: ${DEFAULT_HASH}` },
} as const;
const SCHEME_OPTIONS = {
  ...HASH_OPTION,
  padding: {
    type: 'string',
    choices: ['pss', 'pkcs1v15'],
    help: 'padding of RSA signatures; default: pss',
  },
  prehashed: { type: 'boolean', help: 'the input is already a digest' },
} as const;

function schemeFields(invocation: Invocation): Fields {
  return givenFields(invocation, {
    hash: 'hash_algorithm',
    padding: 'signature_algorithm',
    prehashed: 'prehashed',
  });
}

/** The message, or only its digest if it is too long for one request: the signature is the same. */
interface Input {
  readonly bytes: Buffer;
  readonly fields: Fields;
}

async function readInput(invocation: Invocation): Promise<Input> {
  const name = textOption(invocation.values, 'hash') ?? DEFAULT_HASH;
  const hash: Hash = createHash(findHash(name).digest);
  let pieces: Buffer[] | null = [];
  let length = 0;
  await readPieces(invocation, (piece) => {
    hash.update(piece);
    length += piece.length;
    if (length > MESSAGE_MAX_BYTES) pieces = null;
    pieces?.push(Buffer.from(piece));
  });
  const fields = schemeFields(invocation);
  if (pieces !== null) return { bytes: Buffer.concat(pieces), fields };
  if (fields['prehashed'])
    throw new SidekeyError('file_refused', '--prehashed data must be no longer than a digest');
  return { bytes: hash.digest(), fields: { ...fields, prehashed: true } };
}

async function writeVersioned(invocation: Invocation, data: unknown, field: string): Promise<void> {
  const text = textField(data, field);
  if (invocation.values['json']) invocation.say(JSON.stringify(data));
  else if (invocation.values['raw']) await writeMessage(invocation, bytesOfVersioned(text));
  else await writeMessage(invocation, Buffer.from(`${text}\n`));
}

const RAW_OPTION = {
  raw: {
    type: 'boolean',
    help: 'raw bytes, as openssl uses them, instead of `vault:vN:` and base64',
  },
} as const;

export const signCommand: Command = {
  name: 'sign',
  summary: 'sign a message with a key in a token',
  help: 'Signs with RSA (PSS or PKCS #1), ECDSA (in DER) or Ed25519, depending on the key. A long message is hashed locally,\nwhich Ed25519 does not allow.',
  options: {
    ...IN_OPTION,
    ...OUT_OPTION,
    ...SCHEME_OPTIONS,
    ...RAW_OPTION,
    ...VERSION_OPTION,
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: ['sidekey sign release --in app.tar --out app.tar.sig --raw', 'sidekey sign release < app.tar'],
  async run(invocation) {
    const [key = ''] = invocation.positionals;
    const { bytes, fields } = await readInput(invocation);
    const all = { ...fields, ...versionField(invocation) };
    const data = await askTransit(invocation, ['sign', key], all, { field: 'input', bytes });
    await writeVersioned(invocation, data, 'signature');
    return 0;
  },
};

export const macCommand: Command = {
  name: 'mac',
  summary: 'compute the HMAC of a message',
  help: 'Needs a key of type hmac. `sidekey verify KEY --mac` checks the result.',
  options: {
    ...IN_OPTION,
    ...OUT_OPTION,
    ...HASH_OPTION,
    ...RAW_OPTION,
    ...VERSION_OPTION,
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: ['sidekey mac webhooks --in body.json'],
  async run(invocation) {
    const [key = ''] = invocation.positionals;
    const bytes = await readMessage(invocation, MESSAGE_MAX_BYTES);
    const fields = { ...givenFields(invocation, { hash: 'algorithm' }), ...versionField(invocation) };
    const message = { field: 'input', bytes };
    const data = await askTransit(invocation, ['hmac', key], fields, message).finally(() => bytes.fill(0));
    await writeVersioned(invocation, data, 'hmac');
    return 0;
  },
};

const VERSIONED = /^vault:v\d+:/;

/**
 * The output of `sign` or `mac`: text, or with --raw bytes, which get the prefix of the requested version.
 */
function readSignature(invocation: Invocation, option: 'signature' | 'mac'): string | undefined {
  const path = textOption(invocation.values, option);
  if (path === undefined) return undefined;
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new SidekeyError('file_refused', cause instanceof Error ? cause.message : String(cause), { cause });
  }
  const text = bytes.toString('latin1').trim();
  const version = textOption(invocation.values, 'key-version') ?? '1';
  return VERSIONED.test(text) ? text : `vault:v${version}:${bytes.toString('base64')}`;
}

export const verifyCommand: Command = {
  name: 'verify',
  summary: 'verify a signature or an HMAC',
  help: 'Prints valid and exits with 0, or invalid and 1. The file is the output of `sign` or `mac`, as text or with --raw.',
  options: {
    signature: { type: 'string', value: 'FILE', help: 'file with the signature' },
    mac: { type: 'string', value: 'FILE', help: 'file with an HMAC, instead of a signature' },
    ...IN_OPTION,
    ...SCHEME_OPTIONS,
    'key-version': { type: 'string', value: 'N', help: 'key version that made a raw signature; default: 1' },
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: ['sidekey verify release --signature app.tar.sig --in app.tar'],
  async run(invocation) {
    const [key = ''] = invocation.positionals;
    const [signature, hmac] = [readSignature(invocation, 'signature'), readSignature(invocation, 'mac')];
    if ((signature === undefined) === (hmac === undefined))
      throw new SidekeyError('usage', 'verify: give either --signature or --mac');
    const { bytes, fields } = await readInput(invocation);
    const proof = signature === undefined ? { hmac } : { signature };
    const data = await askTransit(
      invocation,
      ['verify', key],
      { ...fields, ...proof },
      { field: 'input', bytes },
    );
    const isValid = jsonAt(data, 'valid') === true;
    if (invocation.values['json']) invocation.say(JSON.stringify({ valid: isValid }));
    else invocation.say(isValid ? 'valid' : 'invalid');
    return isValid ? 0 : 1;
  },
};
