import { constants, createCipheriv, publicEncrypt, randomBytes } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import { parseJson, textAt } from '../../providers/http/json-secret.ts';
import { readPrivateFile } from '../../providers/private-file.ts';
import { textOption, type Command, type Invocation } from '../command.ts';
import { readPkcs12, readPrivateKey, type KeyFile } from '../import-file.ts';
import { IN_OPTION, readMessage } from '../message-io.ts';
import { askSecret } from '../secret-prompt.ts';
import { callTransit, KEY, TRANSIT_OPTIONS } from '../transit-client.ts';

const FILE_MAX_BYTES = 256 * 1024;
const NEWLINE = 0x0a;
const SECRET_TYPES = ['aes256-gcm96', 'aes128-gcm96', 'chacha20-poly1305', 'hmac'] as const;

/** From a file of mode 0600, or the terminal. null: neither was requested. */
async function readPassphrase({ values, streams }: Invocation): Promise<Buffer | null> {
  const path = textOption(values, 'passphrase-file');
  if (path === undefined)
    return values['pkcs12'] && streams.input.isTTY ? await askSecret('Passphrase of the file') : null;
  const bytes = readPrivateFile(path, process.geteuid?.() ?? 0);
  return bytes.at(-1) === NEWLINE ? bytes.subarray(0, -1) : bytes;
}

async function readKey(invocation: Invocation): Promise<KeyFile> {
  const secret = textOption(invocation.values, 'secret');
  const bytes = await readMessage(invocation, FILE_MAX_BYTES);
  if (secret !== undefined) return { type: secret, material: bytes, certificates: [] };
  const passphrase = await readPassphrase(invocation);
  try {
    return invocation.values['pkcs12']
      ? await readPkcs12(bytes, passphrase)
      : readPrivateKey(bytes, passphrase);
  } finally {
    bytes.fill(0);
    passphrase?.fill(0);
  }
}

/** The initial value of AES key wrap with padding (RFC 5649, 3). */
const PADDED_WRAP = Buffer.from('a65959a6', 'hex');

/** In Vault's format: an AES key under RSA-OAEP, then the key under that AES key (RFC 5649). */
function wrap(publicKey: string, material: Buffer): Buffer {
  const passing = randomBytes(32);
  try {
    const cipher = createCipheriv('id-aes256-wrap-pad', passing, PADDED_WRAP);
    const wrapped = Buffer.concat([cipher.update(material), cipher.final()]);
    const oaep = { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
    return Buffer.concat([publicEncrypt(oaep, passing), wrapped]);
  } finally {
    passing.fill(0);
  }
}

export const keysImportCommand: Command = {
  name: 'keys import',
  secret: true,
  summary: 'import a key from a file into a token',
  help: 'Accepts a private key in PEM or DER, a PKCS #12 file (its certificates are stored with the key), or the raw bytes of a secret\nkey. The key is wrapped locally and unwrapped in the keeper. The input file is not deleted.',
  options: {
    ...IN_OPTION,
    pkcs12: { type: 'boolean', help: 'the file is PKCS #12 (.p12, .pfx)' },
    secret: {
      type: 'string',
      choices: SECRET_TYPES,
      help: 'the file contains the raw bytes of a secret key of this type',
    },
    'passphrase-file': {
      type: 'string',
      value: 'FILE',
      help: 'file of mode 0600 with the passphrase of the input; for PKCS #12, prompted for on a terminal',
    },
    exportable: { type: 'boolean', help: 'allow the key to be exported; cannot be undone' },
    'next-version': { type: 'boolean', help: 'import as the next version of a previously imported key' },
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: [
    'sidekey keys import web --in web.p12 --pkcs12 --passphrase-file web.pass',
    'sidekey keys import backup --secret aes256-gcm96 --in backup.key',
  ],
  async run(invocation) {
    const [key = ''] = invocation.positionals;
    const { values } = invocation;
    if (values['pkcs12'] && values['secret'])
      throw new SidekeyError('usage', 'keys import: either --pkcs12 or --secret');
    const { type, material, certificates } = await readKey(invocation);
    try {
      const wrapping = parseJson(await callTransit(invocation, 'GET', ['wrapping_key']));
      const ciphertext = wrap(textAt(wrapping, 'data', 'public_key'), material).toString('base64');
      const fields = { ciphertext, type, exportable: values['exportable'] === true };
      const action = values['next-version'] ? 'import_version' : 'import';
      await callTransit(
        invocation,
        'POST',
        ['keys', key, action],
        values['next-version'] ? { ciphertext } : fields,
      );
    } finally {
      material.fill(0);
    }
    if (certificates.length > 0)
      await callTransit(invocation, 'POST', ['keys', key, 'set-certificate'], {
        certificate_chain: certificates.join('\n'),
      });
    const made = { name: key, type, certificates: certificates.length };
    if (values['json']) invocation.say(JSON.stringify(made));
    else invocation.say(`${key}: ${type}, ${certificates.length} certificates`);
    return 0;
  },
};
