import { ACCESS_OPERATIONS } from '../../access/operations.ts';
import type { AccessExplained } from '../../api/sidekey/admin-routes.ts';
import { askAgent } from '../agent-client.ts';
import { API_OPTION, apiSocket, JSON_OPTION, requiredOption, textOption, type Command } from '../command.ts';
import { formatTable } from '../table.ts';

function sayDecision(
  { allowed, rule, considered, peer }: AccessExplained,
  say: (line: string) => void,
): void {
  const { pid, uid, gid, executable, unit, cgroup } = peer;
  say(`${allowed ? 'allowed' : 'refused'}   ${rule ?? 'no rule permits it'}`);
  say(`process   ${pid}: uid ${uid}, gid ${gid}, ${executable ?? 'executable not known'}`);
  say(`unit      ${unit ?? 'none'}, cgroup ${cgroup ?? 'not known'}`);
  say('');
  const rows = considered.map((each) => [
    each.rule,
    each.because === null ? 'permits' : `not its ${each.because}`,
  ]);
  for (const line of formatTable(['RULE', 'OUTCOME'], rows)) say(line);
}

export const accessExplainCommand: Command = {
  name: 'access explain',
  summary: 'show which access rule lets a process use a key, if any',
  help: 'Applies the current rules to a running process. Exits with 0 if the operation is allowed, otherwise with 1.',
  options: {
    ...API_OPTION,
    ...JSON_OPTION,
    pid: { type: 'string', value: 'PID', required: true, help: 'process ID' },
    key: { type: 'string', value: 'LABEL', required: true, help: 'label of the key' },
    op: { type: 'string', choices: ACCESS_OPERATIONS, required: true, help: 'operation' },
    token: { type: 'string', value: 'LABEL', help: 'token; default: the first' },
  },
  positionals: [],
  examples: ['sidekey access explain --pid 4711 --key orders --op sign'],
  async run(invocation) {
    const { values } = invocation;
    const asked = ['pid', 'key', 'op'].map((name) => [name, requiredOption(values, name)] as const);
    const query = new URLSearchParams(
      asked.map(([name, text]) => [name === 'op' ? 'operation' : name, text]),
    );
    const token = textOption(values, 'token');
    if (token !== undefined) query.set('token', token);
    const decision = await askAgent<AccessExplained>(
      apiSocket(invocation),
      `/v1/sidekey/access?${query}`,
      `there is no process ${query.get('pid')}, or no token of that name`,
    );
    if (values['json']) invocation.say(JSON.stringify(decision, null, 2));
    else sayDecision(decision, invocation.say);
    return decision.allowed ? 0 : 1;
  },
};
