import type { TokenSummary } from '../../tokens/service.ts';
import { askAgent, callAgent, type Question } from '../agent-client.ts';
import { API_OPTION, apiSocket, JSON_OPTION, type Command, type Invocation } from '../command.ts';
import { formatTable } from '../table.ts';

const TOKENS = '/v1/sidekey/tokens';
const TOKEN = { name: 'TOKEN', required: true, help: 'label of the token in the configuration' } as const;
const PROVIDER = {
  name: 'PROVIDER',
  required: true,
  help: 'name of the provider in the configuration',
} as const;
const HEADINGS = ['TOKEN', 'SLOT', 'SERIAL', 'OBJECTS', 'KEY', 'KEK', 'WRAPPED', 'SERVICE'];

const SERVICE = { closed: 'up', open: 'down', probing: 'asking' } as const;

/** A row per KEK, in order of preference; the first also shows what the token has once. */
function toRows({ label, slot, serial, objects, tokenKeyOpen, keks }: TokenSummary): string[][] {
  return keks.map(({ provider, wrapped, service }, i) => {
    const token = [label, `${slot}`, serial, `${objects}`, tokenKeyOpen ? 'open' : '-'];
    const state = service === null ? 'not configured' : SERVICE[service];
    return [...(i === 0 ? token : token.map(() => '')), provider, wrapped ? 'yes' : '-', state];
  });
}

function show({ values, say }: Invocation, tokens: readonly TokenSummary[], shown: unknown): number {
  if (values['json']) say(JSON.stringify(shown, null, 2));
  else for (const line of formatTable(HEADINGS, tokens.flatMap(toRows))) say(line);
  return 0;
}

async function change(invocation: Invocation, method: Question['method'], path: string): Promise<number> {
  const token = encodeURIComponent(invocation.positionals[0] ?? '');
  const body = await callAgent(apiSocket(invocation), { method, path: `${TOKENS}/${token}/${path}` });
  const after = JSON.parse(body.toString('utf8')) as TokenSummary;
  return show(invocation, [after], after);
}

function kekPath({ positionals }: Invocation): string {
  return `keks/${encodeURIComponent(positionals[1] ?? '')}`;
}

export const tokenListCommand: Command = {
  name: 'token ls',
  summary: 'list the tokens and the KEKs that wrap their keys',
  help: "KEY: open while the token's key is in the keeper. KEKs are in order of preference; any of them opens the token.\nWRAPPED: - until the first object is created, or if the KEK's service was unavailable then.\nSERVICE: result of the last calls.",
  options: { ...API_OPTION, ...JSON_OPTION },
  positionals: [],
  examples: ['sidekey token ls'],
  async run(invocation) {
    const tokens = await askAgent<TokenSummary[]>(apiSocket(invocation), TOKENS);
    return show(invocation, tokens, tokens);
  },
};

export const tokenAddKekCommand: Command = {
  name: 'token add-kek',
  summary: "wrap a token's key with the KEK of an additional provider",
  help: 'Either KEK then opens the token, so applications survive an outage of one service. Objects are unchanged.\nAnyone who can use one of the KEKs can open the token: it is only as secure as the weakest of them.',
  options: {
    ...API_OPTION,
    ...JSON_OPTION,
    first: { type: 'boolean', help: 'prefer this KEK to the others' },
  },
  positionals: [TOKEN, PROVIDER],
  examples: ['sidekey token add-kek demo google'],
  run: (invocation) =>
    change(invocation, 'PUT', `${kekPath(invocation)}${invocation.values['first'] ? '?first=true' : ''}`),
};

export const tokenRemoveKekCommand: Command = {
  name: 'token remove-kek',
  summary: "remove a provider's KEK from a token",
  help: 'Refused for the last KEK, and if no other KEK can open the token now. Earlier copies of the store can still be opened with the\nremoved KEK: disable it in its service.',
  options: { ...API_OPTION, ...JSON_OPTION },
  positionals: [TOKEN, PROVIDER],
  examples: ['sidekey token remove-kek demo aws'],
  run: (invocation) => change(invocation, 'DELETE', kekPath(invocation)),
};

export const tokenRotateCommand: Command = {
  name: 'token rotate',
  summary: "rewrap a token's key with the latest version of each KEK",
  help: 'Use this after rotating the KEK in its service, so that its previous version is no longer needed. Objects and the token key\nare unchanged. All or nothing: every service must be available.',
  options: { ...API_OPTION, ...JSON_OPTION },
  positionals: [TOKEN],
  examples: ['sidekey token rotate demo'],
  run: (invocation) => change(invocation, 'POST', 'rotate'),
};

export const tokenRotateKeyCommand: Command = {
  name: 'token rotate-key',
  summary: 'create the next version of a resident key',
  help: 'For tokens with `resident` in services that have key versions (Vault, Google Cloud KMS, Azure Key Vault). The new version takes\nover the label; the previous one becomes LABEL:VERSION. To rotate keys in the store, use `sidekey keys rotate`.',
  options: { ...API_OPTION, ...JSON_OPTION },
  positionals: [TOKEN, { name: 'LABEL', required: true, help: 'label of the key, without the version' }],
  examples: ['sidekey token rotate-key remote signer'],
  run: (invocation) =>
    change(invocation, 'POST', `keys/${encodeURIComponent(invocation.positionals[1] ?? '')}/rotate`),
};

export const tokenWipeCommand: Command = {
  name: 'token wipe',
  summary: "wipe a token's key, and all keys opened with it, immediately",
  help: 'Use this after disabling a KEK, to avoid waiting for leases to end: the next use asks the key service.',
  options: { ...API_OPTION, ...JSON_OPTION },
  positionals: [TOKEN],
  examples: ['sidekey token wipe demo'],
  run: (invocation) => change(invocation, 'POST', 'wipe'),
};
