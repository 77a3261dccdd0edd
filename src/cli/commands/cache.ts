import type { LeaseSummary } from '../../tokens/service.ts';
import { SidekeyError } from '../../errors.ts';
import { jsonAt, parseJson } from '../../providers/http/json-secret.ts';
import { askAgent, callAgent } from '../agent-client.ts';
import { API_OPTION, apiSocket, JSON_OPTION, type Command } from '../command.ts';
import { formatTable } from '../table.ts';

const CACHE = '/v1/sidekey/cache';

function toRow({ id, kind, token, label, handle, leftMs }: LeaseSummary): string[] {
  const left = leftMs === null ? 'no end' : `${Math.ceil(leftMs / 1000)}s`;
  return [id, kind, token, label ?? '-', handle === null ? '-' : String(handle), left];
}

export const cacheListCommand: Command = {
  name: 'cache ls',
  summary: 'list the keys that are open in the keeper',
  help: 'LEFT: remaining time of the lease. When a lease ends, the next use opens the key again.',
  options: { ...JSON_OPTION, ...API_OPTION },
  positionals: [],
  examples: ['sidekey cache ls'],
  async run(invocation) {
    const leases = await askAgent<LeaseSummary[]>(apiSocket(invocation), CACHE);
    if (invocation.values['json']) invocation.say(JSON.stringify(leases, null, 2));
    else
      for (const line of formatTable(
        ['LEASE', 'KIND', 'TOKEN', 'LABEL', 'HANDLE', 'LEFT'],
        leases.map(toRow),
      ))
        invocation.say(line);
    return 0;
  },
};

export const cacheWipeCommand: Command = {
  name: 'cache wipe',
  summary: 'wipe one open key, or all, from the keeper',
  help: 'The next use of a wiped key asks the key service again; if the service refuses, the key cannot be used.',
  options: { all: { type: 'boolean', help: 'wipe all leases' }, ...JSON_OPTION, ...API_OPTION },
  positionals: [{ name: 'LEASE', help: 'lease to wipe, as shown by `cache ls`' }],
  examples: ['sidekey cache wipe --all'],
  async run(invocation) {
    const [lease] = invocation.positionals;
    if ((lease === undefined) === (invocation.values['all'] !== true))
      throw new SidekeyError('usage', 'cache wipe: either LEASE or --all');
    const path = lease === undefined ? CACHE : `${CACHE}/${encodeURIComponent(lease)}`;
    const absent = `there is no lease ${lease}: see sidekey cache ls`;
    const answer = await callAgent(apiSocket(invocation), { method: 'DELETE', path }, absent);
    const wiped = Number(jsonAt(parseJson(answer), 'wiped'));
    invocation.say(invocation.values['json'] ? JSON.stringify({ wiped }) : `${wiped} wiped`);
    return 0;
  },
};
