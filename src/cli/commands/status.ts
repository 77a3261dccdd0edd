import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../config/read-config.ts';
import { parseDuration } from '../../config/units.ts';
import { SidekeyError } from '../../errors.ts';
import type { AgentStatus } from '../../api/sidekey/agent-status.ts';
import { askAgent } from '../agent-client.ts';
import {
  CONFIG_OPTION,
  configFile,
  JSON_OPTION,
  textOption,
  type Command,
  type Invocation,
} from '../command.ts';
import { formatTable, printable } from '../table.ts';

const POLL_MS = 50;

function waitMs({ values }: Invocation): number {
  const text = textOption(values, 'wait');
  if (text === undefined) return 0;
  const ms = parseDuration(text);
  if (ms === null) throw new SidekeyError('usage', `--wait takes a duration such as 10s, not "${text}"`);
  return ms;
}

/** The first answer that is ready, or the last one before the timeout. */
async function awaitStatus(socket: string, ms: number): Promise<AgentStatus> {
  const end = performance.now() + ms;
  for (;;) {
    const status = await askAgent<AgentStatus>(socket, '/v1/sidekey/status').catch((error: unknown) => {
      if (performance.now() >= end || !(error instanceof SidekeyError && error.code === 'not_running'))
        throw error;
      return null;
    });
    if (status?.ready || (status && performance.now() >= end)) return status;
    await sleep(POLL_MS);
  }
}

function describeKeeper({ keeper, keeperFault }: AgentStatus): string {
  if (!keeper) return `none is attached${keeperFault === null ? '' : `: ${keeperFault}`}`;
  if (keeperFault !== null) return `pid ${keeper.pid}: ${keeperFault}`;
  const { lockedBytes = 0, usedBytes = 0, kind = '?', clients = 0 } = keeper;
  return `pid ${keeper.pid}, ${usedBytes} of ${lockedBytes} locked bytes in use (${kind}), ${clients} clients`;
}

function describePin(token: AgentStatus['tokens'][number]): string {
  if (!token.userPinSet) return 'not set';
  return token.userPinLocked ? 'LOCKED' : 'set';
}

function describeModule(what: string, { pid, uid, program, wire }: AgentStatus['refused'][number]): string {
  return `${what} pid ${pid} (uid ${uid}, ${program}): its module speaks version ${wire} of the frame; restart it`;
}

function sayStatus(status: AgentStatus, say: (line: string) => void): void {
  say(`agent    pid ${status.agent.pid}, version ${status.version}, since ${status.agent.startedAt}`);
  say(printable(`keeper   ${describeKeeper(status)}`));
  say(`pkcs11   ${status.sockets.pkcs11}`);
  say(`api      ${status.sockets.api}`);
  say(`leases   ${status.leases}`);
  for (const { provider, secondsLeft } of status.credentials)
    say(`credentials of ${provider}: ${secondsLeft} s left (renewed automatically, except certificates)`);
  for (const { pid, uid, program, why } of status.withoutRing)
    say(printable(`no ring  pid ${pid} (uid ${uid}, ${program}): ${why}`));
  for (const each of status.outdated) say(printable(describeModule('outdated', each)));
  for (const each of status.refused) say(printable(describeModule('refused ', each)));
  if (status.tokens.length === 0) return;
  say('');
  const rows = status.tokens.map((token) => [
    token.label,
    String(token.slot),
    token.provider,
    String(token.objects),
    describePin(token),
    token.tokenKeyOpen ? 'open' : 'closed',
  ]);
  for (const line of formatTable(['TOKEN', 'SLOT', 'PROVIDER', 'OBJECTS', 'PIN', 'KEY'], rows)) say(line);
}

export const statusCommand: Command = {
  name: 'status',
  summary: 'show the state of the instance',
  help: 'Exits with 0 if the instance is ready, 1 if the agent has no keeper, 3 if the agent is not running.\nWith --wait 10s, waits up to ten seconds for it to become ready.',
  options: {
    ...CONFIG_OPTION,
    ...JSON_OPTION,
    wait: {
      type: 'string',
      value: 'DURATION',
      help: 'how long to wait until the instance is ready: 10s, 1m',
    },
  },
  positionals: [],
  examples: ['sidekey status', 'sidekey status --wait 10s && systemctl start my-service'],
  async run(invocation) {
    const config = loadConfig(configFile(invocation));
    const status = await awaitStatus(config.sockets.api, waitMs(invocation));
    if (invocation.values['json']) invocation.say(JSON.stringify(status, null, 2));
    else sayStatus(status, invocation.say);
    return status.ready ? 0 : 1;
  },
};
