import { jsonAt, parseJson } from '../../providers/http/json-secret.ts';
import type { Command, Invocation } from '../command.ts';
import { countOption, textOption } from '../command.ts';
import { IN_OPTION, OUT_OPTION, readMessage, writeMessage } from '../message-io.ts';
import { STREAM_OPTION, streamMessage } from '../stream-message.ts';
import {
  askTransit,
  callTransit,
  KEY,
  MESSAGE_MAX_BYTES,
  takeField,
  textField,
  TRANSIT_OPTIONS,
  type Fields,
} from '../transit-client.ts';

const BINDING_OPTIONS = {
  'associated-data': {
    type: 'string',
    value: 'TEXT',
    help: 'data that is authenticated but not encrypted; decryption needs the same',
  },
  context: { type: 'string', value: 'TEXT', help: 'context, for derived keys' },
} as const;

/** Text arguments are sent as base64. */
export function boundFields({ values }: Invocation): Fields {
  const named = { 'associated-data': 'associated_data', context: 'context' };
  const given = Object.entries(named).map(([option, field]) => [field, textOption(values, option)] as const);
  return Object.fromEntries(
    given.flatMap(([field, text]) =>
      text === undefined ? [] : [[field, Buffer.from(text).toString('base64')]],
    ),
  );
}

export const CONTEXT_OPTION = { context: BINDING_OPTIONS.context };

const VERSION_MAX = 999_999_999;
export const VERSION_OPTION = {
  'key-version': { type: 'string', value: 'N', help: 'version of the key; default: latest' },
} as const;

export function versionField({ values }: Invocation): Fields {
  if (values['key-version'] === undefined) return {};
  return { key_version: countOption(values, 'key-version', 1, VERSION_MAX) };
}

export const encryptCommand: Command = {
  name: 'encrypt',
  summary: 'encrypt a message with a key in a token',
  help: 'The ciphertext is one line of text, `vault:vN:` and base64, as in Vault and OpenBao, so any client of theirs can decrypt it\nhere. AES keys encrypt with AES-GCM, RSA keys with OAEP. A message over 24 MB needs --stream, and an AES key.',
  options: {
    ...{ ...IN_OPTION, ...OUT_OPTION, ...STREAM_OPTION },
    ...{ ...BINDING_OPTIONS, ...VERSION_OPTION, ...TRANSIT_OPTIONS },
  },
  positionals: [KEY],
  examples: [
    'sidekey encrypt orders --in dump.sql --out dump.sql.sealed',
    'pg_dump db | sidekey encrypt orders --stream > dump.sealed',
  ],
  async run(invocation) {
    if (invocation.values['stream']) return streamMessage(invocation, 'encrypt');
    const [key = ''] = invocation.positionals;
    const bytes = await readMessage(invocation, MESSAGE_MAX_BYTES, ': use --stream');
    const fields = { ...boundFields(invocation), ...versionField(invocation) };
    const message = { field: 'plaintext', bytes };
    const data = await askTransit(invocation, ['encrypt', key], fields, message).finally(() => bytes.fill(0));
    if (invocation.values['json']) invocation.say(JSON.stringify(data));
    else await writeMessage(invocation, Buffer.from(`${textField(data, 'ciphertext')}\n`));
    return 0;
  },
};

/** The longest message, with base64 and prefix. */
const CIPHERTEXT_MAX_BYTES = Math.ceil((MESSAGE_MAX_BYTES * 4) / 3) + 1024;

export const decryptCommand: Command = {
  name: 'decrypt',
  summary: 'decrypt the output of `encrypt`',
  help: 'Writes the whole message or nothing: if the ciphertext was modified or the associated data differs, there is no output. With --stream\nthis holds for --out; to stdout, what was verified is written, and the exit code is 1 if the rest is not valid.',
  options: { ...IN_OPTION, ...OUT_OPTION, ...STREAM_OPTION, ...BINDING_OPTIONS, ...TRANSIT_OPTIONS },
  positionals: [KEY],
  examples: ['sidekey decrypt orders --in dump.sql.sealed --out dump.sql'],
  async run(invocation) {
    if (invocation.values['stream']) return streamMessage(invocation, 'decrypt');
    const [key = ''] = invocation.positionals;
    const sealed = await readMessage(invocation, CIPHERTEXT_MAX_BYTES, ': use --stream');
    const fields = { ...boundFields(invocation), ciphertext: sealed.toString('latin1').trim() };
    const body = await callTransit(invocation, 'POST', ['decrypt', key], fields);
    if (invocation.values['json']) {
      invocation.say(JSON.stringify(jsonAt(parseJson(body), 'data')));
      return 0;
    }
    const plaintext = takeField(body, 'plaintext');
    await writeMessage(invocation, plaintext).finally(() => plaintext.fill(0));
    return 0;
  },
};
