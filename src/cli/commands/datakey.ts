import { jsonAt, parseJson } from '../../providers/http/json-secret.ts';
import { textOption, type Command } from '../command.ts';
import { CONTEXT_OPTION, boundFields, versionField, VERSION_OPTION } from './crypt.ts';
import { OUT_OPTION, writeMessage } from '../message-io.ts';
import { writeNewFile } from '../output-file.ts';
import { callTransit, KEY, takeField, textField, TRANSIT_OPTIONS } from '../transit-client.ts';

export const datakeyCommand: Command = {
  name: 'datakey',
  secret: true,
  summary: 'create a data key, wrapped and optionally in plaintext',
  help: 'Prints the data key wrapped by KEY; `decrypt` unwraps it. With --plaintext, the data key itself is written to a file, which\nmust not exist yet.',
  options: {
    bits: {
      type: 'string',
      choices: ['128', '256', '512'],
      help: 'length of the data key; default: 256',
    },
    plaintext: {
      type: 'string',
      value: 'FILE',
      help: 'output file for the plaintext data key, created with mode 0600',
    },
    ...OUT_OPTION,
    ...CONTEXT_OPTION,
    ...VERSION_OPTION,
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: ['sidekey datakey orders --plaintext data.key --out data.key.wrapped'],
  async run(invocation) {
    const [key = ''] = invocation.positionals;
    const file = textOption(invocation.values, 'plaintext');
    const fields = {
      ...boundFields(invocation),
      ...versionField(invocation),
      bits: Number(textOption(invocation.values, 'bits') ?? 256),
    };
    const what = file === undefined ? 'wrapped' : 'plaintext';
    const body = await callTransit(invocation, 'POST', ['datakey', what, key], fields);
    if (file !== undefined) savePlaintext(file, body);
    const ciphertext = textField(jsonAt(parseJson(body), 'data'), 'ciphertext');
    if (invocation.values['json'])
      invocation.say(JSON.stringify({ ciphertext, plaintext_file: file ?? null }));
    else await writeMessage(invocation, Buffer.from(`${ciphertext}\n`));
    return 0;
  },
};

/**
 * Runs before the wrapped key is shown: nobody should keep a wrapped key whose plaintext could not be saved.
 */
function savePlaintext(file: string, body: Buffer): void {
  const bytes = takeField(body, 'plaintext');
  try {
    writeNewFile(file, bytes);
  } finally {
    bytes.fill(0);
  }
}
