/**
 * Checks of `sidekey doctor` on connected processes: how they are connected, and what is known about them.
 */
import { existsSync } from 'node:fs';
import type { AccessRule } from '../../access/rules.ts';
import type { Config } from '../../config/config.ts';
import type { AgentStatus } from '../../api/sidekey/agent-status.ts';
import { fetchStatus } from './agent-checks.ts';
import type { Finding } from './checks.ts';

export async function checkRings(config: Config): Promise<Finding[]> {
  const name = 'shared memory';
  const status = await fetchStatus(config);
  if (!status?.keeper) return [];
  const cure = 'sidekey explain ring_absent; restart the process once the cause is gone';
  const without = status.withoutRing.map(({ pid, program, why }): Finding => {
    const detail = `pid ${pid} (${program}) goes by its socket, more slowly: ${why}`;
    return { name, verdict: 'warn', detail, cure };
  });
  const detail = 'every connected process has its ring';
  return without.length > 0 ? without : [{ name, verdict: 'ok', detail }];
}

/** Processes that loaded the module before Sidekey was upgraded. */
export async function checkModuleVersions(config: Config): Promise<Finding[]> {
  const name = 'module versions';
  const status = await fetchStatus(config);
  if (!status?.keeper) return [];
  const say =
    (verdict: Finding['verdict'], what: string) =>
    ({ pid, program, wire }: AgentStatus['refused'][number]): Finding => {
      const cure = `restart process ${pid}, so that it loads the installed module`;
      const detail = `pid ${pid} (${program}) ${what} version ${wire} of the frame`;
      return { name, verdict, detail, cure };
    };
  const found = [
    ...status.refused
      .filter(({ pid }) => existsSync(`/proc/${pid}`))
      .map(say('bad', 'was refused: it speaks')),
    ...status.outdated.map(say('warn', 'works until the next upgrade: it speaks')),
  ];
  return found.length > 0
    ? found
    : [{ name, verdict: 'ok', detail: 'every connected process is up to date' }];
}

/** Conditions that the kernel cannot check for a process without a pid in our namespace. */
const NEEDS_PID = ['executable', 'unit', 'cgroup'] as const satisfies readonly (keyof AccessRule)[];

function countPidRules({ tokens, access }: Config): number {
  const rules = [...tokens.flatMap(({ allow }) => allow), ...access.administrators, ...access.metrics];
  return rules.filter((rule) => NEEDS_PID.some((condition) => rule[condition] !== undefined)).length;
}

function describeHidden(hidden: AgentStatus['processes'], pidRules: number): string {
  const programs = [...new Set(hidden.map(({ program, uid }) => `${program}, uid ${uid}`))];
  const never = pidRules === 0 ? '' : ` (${pidRules} of the rules here)`;
  return (
    `${hidden.length} connected (${programs.slice(0, 4).join('; ')}${programs.length > 4 ? '; ...' : ''}) appear as pid 0: ` +
    `they are in a pid namespace that this service does not see. Rules by uid and gid hold for them, those by ` +
    `executable, unit or cgroup${never} never match, and their logins end with the keeper or the agent`
  );
}

/** For a sidecar next to containers that do not share its pid namespace. */
export async function checkPidNamespaces(config: Config): Promise<Finding[]> {
  const name = 'pid namespaces';
  const status = await fetchStatus(config);
  if (!status?.keeper) return [];
  const hidden = status.processes.filter(({ pid }) => pid === 0);
  if (hidden.length === 0)
    return [{ name, verdict: 'ok', detail: 'every connected process is visible to the service' }];
  const cure =
    'share the pid namespace (shareProcessNamespace: true in a pod, --pid container:NAME, hostPID: true or pid: host), ' +
    'or write rules by uid and gid and give the token `login: none`: docs/install.md, "In a container"';
  return [{ name, verdict: 'warn', detail: describeHidden(hidden, countPidRules(config)), cure }];
}
