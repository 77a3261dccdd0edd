import { SidekeyError } from '../../errors.ts';
import type { KeySummary } from '../../tokens/service.ts';
import { askAgent } from '../agent-client.ts';
import { attributeName, attributeText } from '../attribute-text.ts';
import { API_OPTION, apiSocket, JSON_OPTION, textOption, type Command, type Invocation } from '../command.ts';
import { formatTable } from '../table.ts';

const KEYS = '/v1/sidekey/keys';

function fetchKeys(invocation: Invocation): Promise<KeySummary[]> {
  const token = textOption(invocation.values, 'token');
  const query = token === undefined ? '' : `?token=${encodeURIComponent(token)}`;
  return askAgent<KeySummary[]>(apiSocket(invocation), KEYS + query);
}

function describeLease({ lease }: KeySummary): string {
  if (!lease) return '-';
  return lease.leftMs === null ? 'open' : `${Math.ceil(lease.leftMs / 1000)}s`;
}

function toRow(key: KeySummary): string[] {
  const size = key.sizeBits === null ? '-' : String(key.sizeBits);
  const what = [key.token, String(key.handle), key.label, key.id, key.objectClass, key.kind, size];
  return [...what, key.lives, key.createdAt ?? '-', describeLease(key), key.audit];
}

const HEADINGS = [
  'TOKEN',
  'HANDLE',
  'LABEL',
  'ID',
  'CLASS',
  'KIND',
  'BITS',
  'LIVES',
  'CREATED',
  'LEASE',
  'AUDIT',
];

export const keysListCommand: Command = {
  name: 'keys ls',
  summary: 'list the objects in all tokens',
  help: 'LIVES: enveloped (sealed in the store), session (in the keeper only) or resident (at the key service).\nLEASE: how long the key remains open in the keeper.\nAUDIT: each (every use is a line of the audit log, by `audit.each` of the configuration) or total (uses are counted there).',
  options: {
    ...API_OPTION,
    ...JSON_OPTION,
    token: { type: 'string', value: 'LABEL', help: 'list only this token' },
  },
  positionals: [],
  examples: ['sidekey keys ls --token demo'],
  async run(invocation) {
    const keys = await fetchKeys(invocation);
    if (invocation.values['json']) invocation.say(JSON.stringify(keys, null, 2));
    else for (const line of formatTable(HEADINGS, keys.map(toRow))) invocation.say(line);
    return 0;
  },
};

interface AttributeText {
  readonly type: number;
  readonly value: string;
}

export const keysShowCommand: Command = {
  name: 'keys show',
  summary: 'show an object and its attributes',
  help: 'Shows attributes by their PKCS#11 names, with bytes in hex. With --json, attributes are numbers (CKA_) and values hex.\nSecret values are not available.',
  options: { ...API_OPTION, ...JSON_OPTION },
  positionals: [
    { name: 'TOKEN', required: true, help: 'label of the token' },
    { name: 'HANDLE', required: true, help: 'object handle, as shown by `keys ls`' },
  ],
  examples: ['sidekey keys show demo 3'],
  async run(invocation) {
    const [token = '', handle = ''] = invocation.positionals;
    if (!/^\d{1,15}$/.test(handle))
      throw new SidekeyError('usage', `HANDLE must be a number, not "${handle}"`);
    const socket = apiSocket(invocation);
    const path = `${KEYS}/${encodeURIComponent(token)}/${handle}`;
    const attributes = await askAgent<AttributeText[]>(
      socket,
      path,
      `there is no object ${handle} in token ${token}`,
    );
    const keys = await askAgent<KeySummary[]>(socket, `${KEYS}?token=${encodeURIComponent(token)}`);
    const key = keys.find((each) => each.handle === Number(handle)) ?? null;
    if (invocation.values['json']) invocation.say(JSON.stringify({ key, attributes }, null, 2));
    else sayKey(key, attributes, invocation.say);
    return 0;
  },
};

function sayKey(
  key: KeySummary | null,
  attributes: readonly AttributeText[],
  say: (line: string) => void,
): void {
  if (key) for (const line of formatTable(HEADINGS, [toRow(key)])) say(line);
  say('');
  const rows = attributes.map(({ type, value }) => [attributeName(type), attributeText(type, value)]);
  for (const line of formatTable(['ATTRIBUTE', 'VALUE'], rows)) say(line);
}
