/** What the agent says of itself, asked once for all checks of `sidekey doctor`; and why, when it says nothing. */
import { readFileSync, statSync } from 'node:fs';
import type { Config } from '../../config/config.ts';
import { SidekeyError } from '../../errors.ts';
import type { AgentStatus } from '../../api/sidekey/agent-status.ts';
import { askAgent } from '../agent-client.ts';
import type { Finding } from './checks.ts';

/** The agent itself waits ten seconds for a keeper that does not answer. */
const ANSWER_MS = 15_000;

type Answer = { readonly status: AgentStatus } | { readonly error: unknown };

const answers = new WeakMap<Config, Promise<Answer>>();

function ask(config: Config): Promise<Answer> {
  const answer = askAgent<AgentStatus>(config.sockets.api, '/v1/sidekey/status', undefined, ANSWER_MS).then(
    (status) => ({ status }),
    (error: unknown) => ({ error }),
  );
  answers.set(config, answer);
  return answer;
}

function answerOf(config: Config): Promise<Answer> {
  return answers.get(config) ?? ask(config);
}

export async function fetchStatus(config: Config): Promise<AgentStatus | null> {
  const answer = await answerOf(config);
  return 'status' in answer ? answer.status : null;
}

/** By the kernel's word for it. */
const ABSENT: Readonly<Record<string, string>> = {
  ENOENT: 'no agent runs: its socket does not exist',
  ECONNREFUSED: 'no agent runs: its socket is left over, and the next one takes it away',
};

/** The agent that has this store, by its lock; null: none has. Reads only: a lock taken here could refuse an agent that starts. */
function holderOf({ store }: Config): number | null {
  const found = statSync(`${store.path}.lock`, { throwIfNoEntry: false });
  const locks = readFileSync('/proc/locks', 'utf8').matchAll(/ FLOCK +\S+ +WRITE +(\d+) \S+:(\d+) /g);
  const holder = [...locks].find(([, , inode]) => Number(inode) === found?.ino);
  return holder === undefined ? null : Number(holder[1]);
}

/** Who is there, and says nothing, or nothing to us. */
function describeSilence(config: Config, error: unknown): Finding {
  const name = 'agent';
  const at = `at ${config.sockets.api}`;
  const cause: unknown = error instanceof SidekeyError ? error.cause : null;
  const code = String(Reflect.get(Object(cause), 'code'));
  const absent = ABSENT[code];
  const holder = absent === undefined ? null : holderOf(config);
  if (holder !== null) {
    const removed = `pid ${holder} is an agent of this store, but its socket is gone (${config.sockets.api})`;
    const cure = `end it and start it again: ${startOf(config).replace(' start ', ' restart ')}`;
    return { name, verdict: 'bad', detail: removed, cure };
  }
  if (absent !== undefined)
    return { name, verdict: 'warn', detail: `${absent} (${config.sockets.api})`, cure: startOf(config) };
  if (code === 'EACCES' || code === 'EPERM')
    return { name, verdict: 'warn', detail: `this user may not connect ${at}`, cure: 'run this as root' };
  if (!(cause instanceof Error)) {
    const detail = error instanceof Error ? error.message : String(error);
    return { name, verdict: 'warn', detail, cure: "run this as the agent's user, or as root" };
  }
  const detail = `somebody listens ${at} and does not answer within ${ANSWER_MS / 1000} s: it stands still, or has too much to do`;
  const cure =
    'look at its log and its state (ps); systemctl restart sidekey-agent, or end it and start it again';
  return { name, verdict: 'bad', detail, cure };
}

function startOf({ file, keeper }: Config): string {
  return keeper.start ? `sidekey agent --config ${file}` : 'systemctl start sidekey.target';
}

export async function checkAgent(config: Config): Promise<Finding[]> {
  const answer = await answerOf(config);
  if ('error' in answer) return [describeSilence(config, answer.error)];
  const detail = `pid ${answer.status.agent.pid} answers at ${config.sockets.api}`;
  return [{ name: 'agent', verdict: 'ok', detail }];
}
