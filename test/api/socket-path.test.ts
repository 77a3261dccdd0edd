// The path that the API listens at: its mode, and who may take whose place.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { test, type Test } from 'tap';
import { createApi } from '../../src/api/server.ts';
import { createApiDeps, makeSocketPath, sendBytes, startApi } from './api-under-test.ts';

async function createUnstarted(t: Test) {
  const api = createApi(createApiDeps().deps);
  t.teardown(() => api.close());
  return { api };
}

test('the socket has exactly the mode that was asked for, whatever the mask', async (t) => {
  for (const [mask, mode] of [
    [0o022, 0o666],
    [0o777, 0o660],
    [0o000, 0o600],
  ] as const) {
    const { api } = await createUnstarted(t);
    const path = await makeSocketPath(t);
    const before = process.umask(mask);
    await api.listen(path, mode);
    t.equal(process.umask(before), mask, 'the mask is as it was');
    t.equal((await stat(path)).mode & 0o7777, mode);
  }
});

test('a mode that the socket does not take is an error, and nothing listens', async (t) => {
  const { api } = await createUnstarted(t);
  const path = await makeSocketPath(t);
  await t.rejects(api.listen(path, 0o10600), { code: 'socket_refused' });
  await t.rejects(lstat(path), { code: 'ENOENT' });
});

test('a second server on the same path is refused and the first goes on', async (t) => {
  const first = await startApi(t);
  const { api } = await createUnstarted(t);
  await t.rejects(api.listen(first.path, 0o600), { code: 'already_running' });
  t.equal((await first.request('GET', '/v1/sys/health')).status, 200);
});

test('one that accepts and says nothing is alive too', async (t) => {
  const path = await makeSocketPath(t);
  const other = createServer(() => {}).listen(path);
  await once(other, 'listening');
  const { api } = await createUnstarted(t);
  await t.rejects(api.listen(path, 0o600), { code: 'already_running' });
  other.close();
});

test('the socket of a killed process is taken over', async (t) => {
  const path = await makeSocketPath(t);
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'], env: {} });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'close');
  t.ok((await lstat(path)).isSocket());
  const { api } = await createUnstarted(t);
  await api.listen(path, 0o600);
  t.match(await sendBytes(path, 'GET /v1/sys/health HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 /);
});

test('a file that is no socket is not removed', async (t) => {
  const path = await makeSocketPath(t);
  await writeFile(path, 'precious');
  const link = join(dirname(path), 'link');
  await symlink(path, link);
  for (const taken of [path, link]) {
    const { api } = await createUnstarted(t);
    await t.rejects(api.listen(taken, 0o600), { code: 'socket_refused' });
    t.ok(await lstat(taken));
  }
});

test('a folder that is not there is an error', async (t) => {
  const { api } = await createUnstarted(t);
  const path = await makeSocketPath(t);
  await t.rejects(api.listen(join(dirname(path), 'nowhere', 'api.sock'), 0o600), { code: 'socket_refused' });
});
