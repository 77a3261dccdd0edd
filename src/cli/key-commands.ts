import { SidekeyError } from '../errors.ts';
import { jsonAt, parseJson, textAt } from '../providers/http/json-secret.ts';
import type { Command } from './command.ts';
import { countOption, textOption } from './command.ts';
import { OUT_OPTION, writeMessage } from './message-io.ts';
import { fetchPublicKey } from './public-key.ts';
import { callTransit, KEY, TRANSIT_OPTIONS } from './transit-client.ts';

const TYPES = [
  ...(['aes256-gcm96', 'aes128-gcm96', 'chacha20-poly1305', 'hmac', 'ed25519'] as const),
  ...(['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const),
];
const HMAC_BYTES_MAX = 512;

export const keysCreateCommand: Command = {
  name: 'keys create',
  summary: 'make a key',
  help: 'The key is there for PKCS#11 programs too: its CKA_LABEL is KEY. A key that is there already stays as it is, and the answer says so; one of another --type is a failure.',
  options: {
    type: { type: 'string', choices: TYPES, help: 'aes256-gcm96 unless said' },
    bytes: { type: 'string', value: 'N', help: 'of a key of type hmac: 32 to 512, 32 unless said' },
    derived: { type: 'boolean', help: 'an AES key per --context' },
    exportable: { type: 'boolean', help: 'the key may leave later, which cannot be undone' },
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: ['sidekey keys create orders', 'sidekey keys create release --type ecdsa-p256 --token demo'],
  async run(invocation) {
    const [key = ''] = invocation.positionals;
    const { values, say } = invocation;
    const bytes = textOption(values, 'bytes');
    const fields = {
      type: textOption(values, 'type') ?? 'aes256-gcm96',
      exportable: values['exportable'] === true,
      derived: values['derived'] === true,
      ...(bytes === undefined ? {} : { key_size: countOption(values, 'bytes', 32, HMAC_BYTES_MAX) }),
    };
    const answer: unknown = parseJson(await callTransit(invocation, 'POST', ['keys', key], fields));
    const warnings = jsonAt(answer, 'warnings');
    const made = textAt(answer, 'data', 'type');
    if (values['type'] !== undefined && made !== fields.type)
      throw new SidekeyError('request_refused', `key ${key} is there already, of type ${made}`);
    if (values['json']) say(JSON.stringify(jsonAt(answer, 'data')));
    else say(`${key}: ${made}`);
    if (Array.isArray(warnings)) for (const warning of warnings) invocation.warn(`sidekey: ${warning}`);
    return 0;
  },
};

export const keysRotateCommand: Command = {
  name: 'keys rotate',
  summary: 'make the next version of a key',
  help: 'New messages are encrypted with it, and what older versions made can still be read. Each version is an object of its own for\nPKCS#11 programs, under the same CKA_LABEL.',
  options: { ...TRANSIT_OPTIONS },
  positionals: [KEY],
  examples: ['sidekey keys rotate orders'],
  async run(invocation) {
    const [key = ''] = invocation.positionals;
    const answer = parseJson(await callTransit(invocation, 'POST', ['keys', key, 'rotate'], {}));
    if (invocation.values['json']) invocation.say(JSON.stringify(jsonAt(answer, 'data')));
    else invocation.say(`${key}: version ${String(jsonAt(answer, 'data', 'latest_version'))}`);
    return 0;
  },
};

export const keysDestroyCommand: Command = {
  name: 'keys destroy',
  summary: 'destroy a key in all its versions, for good',
  help: 'What was encrypted with it cannot be read by anybody any more. Nothing brings it back but a copy of the store.',
  options: {
    yes: { type: 'boolean', help: 'without it nothing is destroyed' },
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: ['sidekey keys destroy orders --yes'],
  async run(invocation) {
    const [key = ''] = invocation.positionals;
    if (!invocation.values['yes'])
      throw new SidekeyError('usage', `keys destroy: say --yes, and ${key} is gone for good`);
    await callTransit(invocation, 'POST', ['keys', key, 'config'], { deletion_allowed: true });
    await callTransit(invocation, 'DELETE', ['keys', key]);
    if (invocation.values['json']) invocation.say(JSON.stringify({ destroyed: key }));
    else invocation.say(`${key}: destroyed`);
    return 0;
  },
};

export const keysExportPublicCommand: Command = {
  name: 'keys export-public',
  summary: 'the public half of a key, in PEM',
  help: 'SubjectPublicKeyInfo, which openssl and every library read.',
  options: {
    'key-version': { type: 'string', value: 'N', help: 'the latest unless said' },
    der: { type: 'boolean', help: 'DER instead of PEM' },
    ...OUT_OPTION,
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: ['sidekey keys export-public release --out release.pem'],
  async run(invocation) {
    const [name = ''] = invocation.positionals;
    const { values } = invocation;
    const wanted =
      values['key-version'] === undefined ? null : countOption(values, 'key-version', 1, 999_999);
    const { type, version, key } = await fetchPublicKey(invocation, name, wanted);
    const pem = key.export({ format: 'pem', type: 'spki' }).toString();
    if (values['json']) invocation.say(JSON.stringify({ name, type, version, public_key: pem }));
    else
      await writeMessage(
        invocation,
        values['der'] ? key.export({ format: 'der', type: 'spki' }) : Buffer.from(pem),
      );
    return 0;
  },
};
