/** Client side of the Transit dialect: what encrypt, sign and the like share. */
import { decodeBase64, encodeBase64 } from '../providers/http/base64-bytes.ts';
import { jsonAt, jsonWithSecret, parseJson, takeSecret } from '../providers/http/json-secret.ts';
import { API_LIMITS } from '../api/limits.ts';
import { SidekeyError } from '../errors.ts';
import { callAgent, type Question } from './agent-client.ts';
import { API_OPTION, apiSocket, JSON_OPTION, textOption, type Invocation } from './command.ts';

/** Room for everything in a request but the message. */
const REQUEST_REST_BYTES = 64 * 1024;
/** The longest message in one request: base64 turns three bytes into four. */
export const MESSAGE_MAX_BYTES = Math.floor(((API_LIMITS.bodyBytes - REQUEST_REST_BYTES) * 3) / 4);

export const TRANSIT_OPTIONS = {
  token: { type: 'string', value: 'LABEL', help: 'token that contains the key; default: the first' },
  ...JSON_OPTION,
  ...API_OPTION,
} as const;
export const KEY = { name: 'KEY', required: true, help: 'name of the key (its CKA_LABEL)' } as const;

export type Fields = Readonly<Record<string, unknown>>;

/** A secret or long field, sent to the agent as bytes. */
export interface Message {
  readonly field: string;
  readonly bytes: Buffer;
}

function pathOf({ values }: Invocation, rest: readonly string[]): string {
  const mount = textOption(values, 'token') ?? 'transit';
  return ['', 'v1', mount, ...rest].map(encodeURIComponent).join('/');
}

/** The body of the answer, unparsed. The caller wipes it if it may hold a secret. */
export async function callTransit(
  invocation: Invocation,
  method: Question['method'],
  path: readonly string[],
  fields?: Fields,
  message?: Message,
): Promise<Buffer> {
  const text = message ? encodeBase64(message.bytes, 'standard') : null;
  const body =
    message && text
      ? jsonWithSecret(fields ?? {}, message.field, text)
      : Buffer.from(JSON.stringify(fields ?? {}), 'utf8');
  text?.fill(0);
  try {
    const hasBody = method === 'POST' || method === 'PUT';
    const question = { method, path: pathOf(invocation, path), ...(hasBody ? { body } : {}) };
    return await callAgent(apiSocket(invocation), question);
  } finally {
    body.fill(0);
  }
}

/** The `data` of the answer. */
export async function askTransit(
  invocation: Invocation,
  path: readonly string[],
  fields: Fields,
  message?: Message,
): Promise<unknown> {
  return jsonAt(parseJson(await callTransit(invocation, 'POST', path, fields, message)), 'data');
}

/**
 * Decodes a base64 field of `data`; the caller wipes the bytes. The rest of the body can be parsed
 * afterwards.
 */
export function takeField(body: Buffer, field: string): Buffer {
  const bytes = takeSecret(body, ['data', field]);
  if (bytes === null) throw new SidekeyError('internal', `the agent's response has no ${field}`);
  return bytes;
}

export function textField(data: unknown, field: string): string {
  const value = jsonAt(data, field);
  if (typeof value !== 'string') throw new SidekeyError('internal', `the agent's response has no ${field}`);
  return value;
}

/** The bytes in vault:v1:BASE64. */
export function bytesOfVersioned(text: string): Buffer {
  const bytes = decodeBase64(Buffer.from(text.slice(text.lastIndexOf(':') + 1), 'latin1'));
  if (bytes === null) throw new SidekeyError('internal', 'the response of the agent is not base64');
  return bytes;
}

/** The request fields of the options that were given. */
export function givenFields({ values }: Invocation, names: Readonly<Record<string, string>>): Fields {
  const given = Object.entries(names).map(([option, field]) => [field, values[option]] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined && value !== false));
}
