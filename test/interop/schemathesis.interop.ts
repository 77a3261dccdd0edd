// schemathesis (PyPI) against /openapi.json of a running instance: no 5xx, no answer that its description does not allow.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { startInstance, temporaryDirectory } from '../e2e/instance.ts';
import { installPython } from './python-venv.ts';

const CASES = process.env['SIDEKEY_CASES'] ?? '2';
const SEED = process.env['SIDEKEY_SEED'] ?? '1';
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_schema_conformance',
].join(',');

/** schemathesis speaks TCP alone. */
async function proxy(t: Test, path: string): Promise<string> {
  const server = createServer((client) => {
    const agent = connect(path);
    for (const [from, to] of [
      [client, agent],
      [agent, client],
    ] as const) {
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

t.test('what is generated from the description is answered as it says', async (t) => {
  const bin = installPython('schemathesis==4.32.5');
  const sidekey = await startInstance(t);
  const url = await proxy(t, sidekey.api);
  const args = ['run', `${url}/openapi.json`, '--url', url, '--checks', CHECKS, '--max-examples', CASES];
  const quiet = ['--no-color', '--seed', SEED, '--phases', 'examples,coverage,fuzzing', '--workers', '1'];
  const options = { timeout: 500_000, cwd: temporaryDirectory(t), maxBuffer: 64 * 1024 * 1024 };
  const run = promisify(execFile)(join(bin, 'schemathesis'), [...args, ...quiet], options);
  const outcome = await run.catch((error: { stdout: string; stderr: string }) => error);
  t.match(outcome.stdout, /\d+ generated/, outcome.stdout.slice(-2000));
  t.comment(/\d+ generated.*/.exec(outcome.stdout)?.[0] ?? '');
  t.notOk('code' in outcome, outcome.stdout.slice(-6000));
});
