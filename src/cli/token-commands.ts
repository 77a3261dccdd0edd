import type { TokenSummary } from '../tokens/service.ts';
import { askAgent, callAgent, type Question } from './agent-client.ts';
import { API_OPTION, apiSocket, JSON_OPTION, type Command, type Invocation } from './command.ts';
import { formatTable } from './table.ts';

const TOKENS = '/v1/sidekey/tokens';
const TOKEN = { name: 'TOKEN', required: true, help: 'the label of the token in the configuration' } as const;
const PROVIDER = { name: 'PROVIDER', required: true, help: 'a name below `providers`' } as const;
const HEADINGS = ['TOKEN', 'SLOT', 'SERIAL', 'OBJECTS', 'KEY', 'KEK', 'WRAPPED', 'SERVICE'];

const SERVICE = { closed: 'up', open: 'down', probing: 'asking' } as const;

/** A row for each KEK, in order of preference; what the token has once stands in the first. */
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
  summary: 'the tokens and the KEKs that their keys lie under',
  help: "KEY: open while the token's key stands in the keeper. KEKs stand in order of preference; any one of them opens the token.\nWRAPPED: - until the first object needs a key, or while that KEK's service was not there to wrap it.\nSERVICE: what the last calls found.",
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
  summary: "wrap a token's key by the KEK of one more provider",
  help: 'Then either opens the token: an outage of one service is none of the applications. No object is touched.\nWhoever may use any of the KEKs may open the token: the weakest one decides.',
  options: {
    ...API_OPTION,
    ...JSON_OPTION,
    first: { type: 'boolean', help: 'prefer it to the others' },
  },
  positionals: [TOKEN, PROVIDER],
  examples: ['sidekey token add-kek demo google'],
  run: (invocation) =>
    change(invocation, 'PUT', `${kekPath(invocation)}${invocation.values['first'] ? '?first=true' : ''}`),
};

export const tokenRemoveKekCommand: Command = {
  name: 'token remove-kek',
  summary: "forget a token's key as one provider's KEK wrapped it",
  help: 'Refused for the last KEK, and unless another one opens the token now. A copy of the store from before still opens by the\nremoved KEK: disable that at its service.',
  options: { ...API_OPTION, ...JSON_OPTION },
  positionals: [TOKEN, PROVIDER],
  examples: ['sidekey token remove-kek demo aws'],
  run: (invocation) => change(invocation, 'DELETE', kekPath(invocation)),
};

export const tokenRotateCommand: Command = {
  name: 'token rotate',
  summary: "wrap a token's key anew by the newest version of every KEK",
  help: 'After the service rotated its key, so that the former version is not needed any more. No object is touched, and the token\nkey stays the same. All KEKs or none: every service must be there.',
  options: { ...API_OPTION, ...JSON_OPTION },
  positionals: [TOKEN],
  examples: ['sidekey token rotate demo'],
  run: (invocation) => change(invocation, 'POST', 'rotate'),
};

export const tokenRotateKeyCommand: Command = {
  name: 'token rotate-key',
  summary: 'make a further version of a key that stays in its key service',
  help: 'For tokens with `resident`, where keys have versions (Vault, Google Cloud KMS, Azure Key Vault). The new version takes the label, the\nformer one is shown as LABEL:VERSION. Keys in the store are rotated by `sidekey keys rotate`.',
  options: { ...API_OPTION, ...JSON_OPTION },
  positionals: [TOKEN, { name: 'LABEL', required: true, help: "the key's label, without its version" }],
  examples: ['sidekey token rotate-key remote signer'],
  run: (invocation) =>
    change(invocation, 'POST', `keys/${encodeURIComponent(invocation.positionals[1] ?? '')}/rotate`),
};

export const tokenWipeCommand: Command = {
  name: 'token wipe',
  summary: "wipe a token's key and all that it opened, now",
  help: 'For when the KEK was disabled and nobody shall wait for leases to end: what is used next asks the key service.',
  options: { ...API_OPTION, ...JSON_OPTION },
  positionals: [TOKEN],
  examples: ['sidekey token wipe demo'],
  run: (invocation) => change(invocation, 'POST', 'wipe'),
};
