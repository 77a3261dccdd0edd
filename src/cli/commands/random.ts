import { SidekeyError } from '../../errors.ts';
import { textOption, type Command, type Invocation } from '../command.ts';
import { OUT_OPTION, writeMessage } from '../message-io.ts';
import { callTransit, takeField, TRANSIT_OPTIONS } from '../transit-client.ts';

const RANDOM_BYTES = 32;
const RANDOM_MAX_BYTES = 131_072;

function countBytes({ positionals }: Invocation): number {
  const [text = String(RANDOM_BYTES)] = positionals;
  const bytes = /^[1-9]\d{0,6}$/.test(text) ? Number(text) : NaN;
  if (!(bytes <= RANDOM_MAX_BYTES))
    throw new SidekeyError(
      'usage',
      `random: BYTES must be a number up to ${RANDOM_MAX_BYTES}, not "${text}"`,
    );
  return bytes;
}

const FORMATS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  base64: (bytes) => Buffer.from(`${bytes.toString('base64')}\n`),
  hex: (bytes) => Buffer.from(`${bytes.toString('hex')}\n`),
  raw: (bytes) => Buffer.from(bytes),
};

export const randomCommand: Command = {
  name: 'random',
  summary: 'generate random bytes',
  help: 'Asks the agent, as a Transit client does. The source is the kernel, the token’s key service, or both, XORed.',
  options: {
    format: { type: 'string', choices: ['base64', 'hex', 'raw'], help: 'output format; default: base64' },
    from: {
      type: 'string',
      choices: ['platform', 'seal', 'all'],
      help: 'source; default: platform. seal is the key service, at most 1024 bytes',
    },
    ...OUT_OPTION,
    ...TRANSIT_OPTIONS,
  },
  positionals: [
    { name: 'BYTES', help: `number of bytes, at most ${RANDOM_MAX_BYTES}; default: ${RANDOM_BYTES}` },
  ],
  examples: ['sidekey random 16 --format hex', 'sidekey random 32 --from all --token demo'],
  async run(invocation) {
    const source = textOption(invocation.values, 'from') ?? 'platform';
    const fields = { bytes: countBytes(invocation), format: 'base64', source };
    const body = await callTransit(invocation, 'POST', ['random'], fields);
    const bytes = takeField(body, 'random_bytes');
    const format = textOption(invocation.values, 'format') ?? 'base64';
    if (invocation.values['json'])
      invocation.say(JSON.stringify({ random_bytes: bytes.toString(format === 'hex' ? 'hex' : 'base64') }));
    else await writeMessage(invocation, FORMATS[format]?.(bytes) ?? bytes);
    bytes.fill(0);
    return 0;
  },
};
