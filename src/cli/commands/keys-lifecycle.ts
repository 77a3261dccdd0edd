import { SidekeyError } from '../../errors.ts';
import { jsonAt, parseJson, textAt } from '../../providers/http/json-secret.ts';
import type { Command } from '../command.ts';
import { countOption, textOption } from '../command.ts';
import { OUT_OPTION, writeMessage } from '../message-io.ts';
import { fetchPublicKey } from '../public-key.ts';
import { callTransit, KEY, TRANSIT_OPTIONS } from '../transit-client.ts';

const TYPES = [
  ...(['aes256-gcm96', 'aes128-gcm96', 'chacha20-poly1305', 'hmac', 'ed25519'] as const),
  ...(['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const),
];
const HMAC_BYTES_MAX = 512;

export const keysCreateCommand: Command = {
  name: 'keys create',
  summary: 'create a key',
  help: 'PKCS#11 programs see the key with the CKA_LABEL KEY. If the key exists already it is left unchanged; if it has another --type,\nthe command fails.',
  options: {
    type: { type: 'string', choices: TYPES, help: 'type of the key; default: aes256-gcm96' },
    bytes: { type: 'string', value: 'N', help: 'length of a key of type hmac: 32 to 512; default: 32' },
    derived: { type: 'boolean', help: 'derive a separate AES key for each --context' },
    exportable: { type: 'boolean', help: 'allow the key to be exported; cannot be undone' },
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
      throw new SidekeyError('request_refused', `key ${key} already exists, with type ${made}`);
    if (values['json']) say(JSON.stringify(jsonAt(answer, 'data')));
    else say(`${key}: ${made}`);
    if (Array.isArray(warnings)) for (const warning of warnings) invocation.warn(`sidekey: ${warning}`);
    return 0;
  },
};

export const keysRotateCommand: Command = {
  name: 'keys rotate',
  summary: 'create the next version of a key',
  help: 'New messages use the new version; older versions still decrypt. PKCS#11 programs see each version as a separate object with\nthe same CKA_LABEL.',
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
  summary: 'permanently destroy a key with all its versions',
  help: 'Data encrypted with the key can no longer be decrypted. The key can only be recovered from a backup of the store.',
  options: {
    yes: { type: 'boolean', help: 'confirm; nothing is destroyed without it' },
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: ['sidekey keys destroy orders --yes'],
  async run(invocation) {
    const [key = ''] = invocation.positionals;
    if (!invocation.values['yes'])
      throw new SidekeyError('usage', `keys destroy: this permanently destroys ${key}: confirm with --yes`);
    await callTransit(invocation, 'POST', ['keys', key, 'config'], { deletion_allowed: true });
    await callTransit(invocation, 'DELETE', ['keys', key]);
    if (invocation.values['json']) invocation.say(JSON.stringify({ destroyed: key }));
    else invocation.say(`${key}: destroyed`);
    return 0;
  },
};

export const keysExportPublicCommand: Command = {
  name: 'keys export-public',
  summary: 'export the public key of a key pair',
  help: 'Writes a SubjectPublicKeyInfo in PEM.',
  options: {
    'key-version': { type: 'string', value: 'N', help: 'version of the key; default: latest' },
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
