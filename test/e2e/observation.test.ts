/** What a running instance tells of itself: after a PKCS#11 program and an HTTP client used it. */
import { request } from 'node:http';
import t, { type Test } from 'tap';
import { PIN, startInstance, type Instance } from './instance.ts';

export interface Reply {
  readonly status: number;
  readonly text: string;
}

function ask(sidekey: Instance, method: string, path: string, body?: unknown): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: sidekey.api, method, path, timeout: 20_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.once('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function useBoth(t: Test, sidekey: Instance): Promise<void> {
  t.equal((await ask(sidekey, 'POST', '/v1/transit/keys/orders', {})).status, 200);
  const encrypted = await ask(sidekey, 'POST', '/v1/transit/encrypt/orders', { plaintext: 'aGVsbG8=' });
  t.equal(encrypted.status, 200, encrypted.text);
  const login = ['--login', '--pin', PIN];
  const made = sidekey.pkcs11Tool(...login, '--keygen', '--key-type', 'AES:32', '--label', 'bills');
  t.equal(made.status, 0, made.stderr);
}

t.test('metrics, of both doors', async (t) => {
  const sidekey = await startInstance(t);
  await useBoth(t, sidekey);
  const { status, text } = await ask(sidekey, 'GET', '/metrics');
  t.equal(status, 200);
  for (const line of [
    'sidekey_operations_total{peer="http",token="test",operation="encrypt",result="ok"} 1',
    'sidekey_logins_total{token="test",role="user"} 1',
    'sidekey_keeper_up 1',
    'sidekey_provider_up{provider="local"} 1',
  ])
    t.match(text, line);
  t.match(text, /sidekey_keeper_locked_bytes\{of="all"\} [1-9]/);
  t.match(text, /sidekey_cache_leases [1-9]/);
});

t.test('leases are listed and wiped, events and usage tell of it', async (t) => {
  const sidekey = await startInstance(t);
  await useBoth(t, sidekey);
  const leases = JSON.parse((await ask(sidekey, 'GET', '/v1/sidekey/cache')).text);
  t.match(
    leases.find(({ kind }: { kind: string }) => kind === 'object'),
    { token: 'test', label: 'orders' },
  );
  t.match(JSON.parse((await ask(sidekey, 'DELETE', '/v1/sidekey/cache')).text), { wiped: leases.length });
  t.same(JSON.parse((await ask(sidekey, 'GET', '/v1/sidekey/cache')).text), []);
  const again = await ask(sidekey, 'POST', '/v1/transit/encrypt/orders', { plaintext: 'aGVsbG8=' });
  t.equal(again.status, 200, 'and opened anew');
  const { events } = JSON.parse((await ask(sidekey, 'GET', '/v1/sidekey/events')).text);
  const types = events.map(({ type }: { type: string }) => type);
  for (const type of ['key-created', 'login', 'lease-revoked']) t.ok(types.includes(type), type);
  const usage = JSON.parse((await ask(sidekey, 'GET', '/v1/sidekey/usage')).text);
  t.match(usage.usage, [{ peer: 'http', token: 'test', key: 'orders', operation: 'encrypt', times: 2 }]);
  t.match(usage.providers, [{ provider: 'local' }]);
  const [provider] = JSON.parse((await ask(sidekey, 'GET', '/v1/sidekey/providers?check=true')).text);
  t.match(provider, { name: 'local', up: true, health: { ok: true } });
  t.match(JSON.parse((await ask(sidekey, 'GET', '/v1/sidekey/tokens')).text), [{ label: 'test' }]);
});
