// /v1/sidekey for administrators: every row answers as its schema says, and nobody else is answered.
import { test } from 'tap';
import { ADMIN_ROWS } from '../../../src/api/sidekey/admin-routes.ts';
import { OWN_PEER, startApi } from '../api-under-test.ts';

const STRANGER = { ...OWN_PEER, uid: 54321 };

test('who is no administrator is refused by every row', async (t) => {
  const { request } = await startApi(t, { peerOf: () => STRANGER });
  for (const { method, path } of ADMIN_ROWS)
    t.equal((await request(method, `/v1/sidekey${path}`)).status, 403, `${method} ${path}`);
});

test('every row answers in the form of its schema', async (t) => {
  const { request } = await startApi(t);
  for (const { method, path, answer } of ADMIN_ROWS.toReversed()) {
    const query = path === '/access' ? `?pid=${OWN_PEER.pid}&key=k&operation=sign` : '';
    const { status, body } = await request(
      method,
      `/v1/sidekey${path.replace(':lease', 'object-1').replace(':token', 'main').replace(':provider', 'aws')}${query}`,
    );
    t.equal(status, 200, `${method} ${path}`);
    t.ok(answer?.safeParse(body).success, `${method} ${path}: ${JSON.stringify(body)}`);
  }
});

test('one lease is wiped, or all', async (t) => {
  const { request } = await startApi(t);
  t.strictSame((await request('DELETE', '/v1/sidekey/cache/object-1')).body, { wiped: 1 });
  t.equal((await request('DELETE', '/v1/sidekey/cache/object-1')).status, 404);
  t.strictSame((await request('DELETE', '/v1/sidekey/cache')).body, { wiped: 2 });
  t.strictSame((await request('GET', '/v1/sidekey/cache')).body, []);
});

test('usage is of thirty days unless said, and days are days', async (t) => {
  const { request } = await startApi(t);
  const usual = await request('GET', '/v1/sidekey/usage');
  t.match(usual.body, { from: '2026-03-01', to: '2026-03-31' });
  const asked = await request('GET', '/v1/sidekey/usage?from=2025-01-01&to=2025-12-31');
  t.match(asked.body, { from: '2025-01-01', to: '2025-12-31' });
  for (const query of ['from=yesterday', 'to=2026-02-30', 'from='])
    t.equal((await request('GET', `/v1/sidekey/usage?${query}`)).status, 400, query);
});

test('access is explained for a process that is there, an operation that there is', async (t) => {
  const { request } = await startApi(t);
  const ask = (query: string) => request('GET', `/v1/sidekey/access?${query}`);
  t.match((await ask(`pid=${OWN_PEER.pid}&key=k&operation=sign`)).body, { allowed: true, token: 'main' });
  t.equal((await ask('pid=999999999&key=k&operation=sign')).status, 404);
  for (const query of ['pid=x&key=k&operation=sign', 'pid=1&key=k&operation=dance', 'pid=1&operation=sign'])
    t.equal((await ask(query)).status, 400, query);
});
