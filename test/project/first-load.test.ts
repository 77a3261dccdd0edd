/** What an agent loads before it attaches to its keeper is paid for in every pause of the programs (ARCHITECTURE.md, "How the agent starts"). */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { ROOT } from '../e2e/instance.ts';

const LOADED = `
for (const file of ['cli/commands/agent.ts', 'agent.ts']) await import('${ROOT}/src/' + file);
console.log(process.moduleLoadList.join('\\n'));
`;

t.test('an agent that starts loads no HTTP before it serves programs', async (t) => {
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', LOADED];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: {} });
  const loaded = new Set(stdout.split('\n'));
  t.ok(loaded.has('NativeModule sqlite'), 'the domain is loaded');
  for (const late of ['http', 'https', '_http_client', '_http_server'])
    t.notOk(loaded.has(`NativeModule ${late}`), `${late} is not`);
});
