// sys/mounts and its like: the tokens that a process is admitted to, in the forms that OpenBao 2.7.2 gives.
import { test } from 'tap';
import { OWN_PEER, startApi } from './api-under-test.ts';

const ONE = { type: 'transit', accessor: 'transit_01', description: 'token main', options: null };

test('the mounts are the tokens, and transit the default one', async (t) => {
  const { request } = await startApi(t);
  const all = await request('GET', '/v1/sys/mounts');
  t.equal(all.status, 200);
  const { data } = all.body as { data: Record<string, object> };
  t.same(Object.keys(data).sort(), ['main/', 'other token/', 'transit/']);
  t.match(data['transit/'], ONE);
  t.strictSame(data['transit/'], data['main/']);
  const ui = await request('GET', '/v1/sys/internal/ui/mounts');
  t.match([ui.status, ui.body], [200, { data: { auth: {}, secret: { 'transit/': ONE } } }]);
});

test('one mount is found by its name, and by a path below it', async (t) => {
  const { request } = await startApi(t);
  const one = await request('GET', '/v1/sys/mounts/transit');
  t.match([one.status, one.body], [200, { data: ONE }]);
  t.notMatch(one.body, { data: { path: String } });
  for (const below of ['transit', 'transit/keys', 'transit/keys/k', 'other%20token']) {
    const { status, body } = await request('GET', `/v1/sys/internal/ui/mounts/${below}`);
    const path = below.startsWith('transit') ? 'transit/' : 'other token/';
    t.match([status, body], [200, { data: { type: 'transit', path } }], below);
  }
});

test('what is not there and what is not for this process are answered alike, and recorded nowhere', async (t) => {
  const { request, tokens } = await startApi(t);
  const ask = async (name: string) => {
    const plain = await request('GET', `/v1/sys/mounts/${name}`);
    const preflight = await request('GET', `/v1/sys/internal/ui/mounts/${name}`);
    return [plain.status, plain.errors, preflight.status, preflight.errors];
  };
  const why = "preflight capability check returned 403, please ensure client's policies grant access to path";
  const refused = (name: string) => [
    ...[400, [`No secret engine mount at ${name}/`]],
    ...[403, [`${why} "${name}/"`]],
  ];
  for (const name of ['nothere', '__proto__', 'constructor', 'sys'])
    t.strictSame(await ask(name), refused(name));
  tokens.refusedUids.add(OWN_PEER.uid);
  for (const name of ['transit', 'main']) t.strictSame(await ask(name), refused(name));
  t.match((await request('GET', '/v1/sys/mounts')).body, { data: {} });
  t.same(Object.keys(((await request('GET', '/v1/sys/mounts')).body as { data: object }).data), []);
});

test('nothing is mounted, moved or tuned', async (t) => {
  const { request } = await startApi(t);
  for (const [method, path] of [
    ['POST', 'mounts/x'],
    ['DELETE', 'mounts/transit'],
    ['POST', 'internal/ui/mounts'],
  ] as const)
    t.equal((await request(method, `/v1/sys/${path}`, { type: 'transit' })).status, 405, path);
  t.equal((await request('GET', '/v1/sys/mounts/transit/tune')).status, 404);
});
