/** The HTTP API of a running instance, by curl: the same keys as in PKCS#11. */
import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { PIN, startInstance, type Instance } from './instance.ts';

interface Reply {
  readonly status: number;
  readonly body: {
    data: Record<string, string & boolean>;
    errors?: string[];
    initialized?: boolean;
    sealed?: boolean;
  };
}

function curl(sidekey: Instance, method: string, path: string, body?: unknown): Reply {
  const data = body === undefined ? [] : ['--data-binary', JSON.stringify(body)];
  const args = [
    '-s',
    '-X',
    method,
    '--unix-socket',
    sidekey.api,
    '-w',
    '\n%{http_code}',
    ...data,
    `http://localhost${path}`,
  ];
  const [json = '', status] = spawnSync('curl', args, { encoding: 'utf8' }).stdout.split(/\n(?=\d+$)/);
  return { status: Number(status), body: json === '' ? { data: {} } : JSON.parse(json) };
}

function data(t: Test, sidekey: Instance, path: string, body: unknown): Record<string, string & boolean> {
  const reply = curl(sidekey, 'POST', `/v1/transit/${path}`, body);
  t.equal(reply.status, 200, JSON.stringify(reply.body));
  return reply.body.data;
}

const b64 = (text: string): string => Buffer.from(text).toString('base64');

t.test('health says that it can serve', async (t) => {
  const { status, body } = curl(await startInstance(t), 'GET', '/v1/sys/health');
  t.equal(status, 200);
  t.match(body, { initialized: true, sealed: false });
});

t.test('a key made by HTTP encrypts there and is seen by a PKCS#11 program', async (t) => {
  const sidekey = await startInstance(t);
  t.match(curl(sidekey, 'POST', '/v1/transit/keys/orders', { type: 'aes256-gcm96' }).status, /^20[04]$/);
  const { ciphertext } = data(t, sidekey, 'encrypt/orders', {
    plaintext: b64('hello'),
    associated_data: b64('row 1'),
  });
  t.match(ciphertext, /^vault:v1:/);
  t.match(data(t, sidekey, 'decrypt/orders', { ciphertext, associated_data: b64('row 1') }), {
    plaintext: b64('hello'),
  });
  const moved = curl(sidekey, 'POST', '/v1/transit/decrypt/orders', {
    ciphertext,
    associated_data: b64('row 2'),
  });
  t.equal(moved.status, 400, 'other associated data do not open it');
  const objects = sidekey.pkcs11Tool('--login', '--pin', PIN, '--list-objects').stdout;
  t.match(objects, /label:\s+orders/);
});

t.test('every kind of key signs and verifies, and refuses what was changed', async (t) => {
  const sidekey = await startInstance(t);
  for (const type of ['rsa-2048', 'ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'ed25519']) {
    t.ok(curl(sidekey, 'POST', `/v1/transit/keys/${type}`, { type }).status < 300, type);
    const { signature } = data(t, sidekey, `sign/${type}`, { input: b64('signed') });
    t.match(data(t, sidekey, `verify/${type}`, { input: b64('signed'), signature }), { valid: true });
    t.match(data(t, sidekey, `verify/${type}`, { input: b64('changed'), signature }), { valid: false });
  }
});

t.test('what is not there or not JSON gets an error of the dialect', async (t) => {
  const sidekey = await startInstance(t);
  t.equal(curl(sidekey, 'GET', '/v1/transit/keys/none').status, 404);
  t.equal(curl(sidekey, 'POST', '/v1/transit/encrypt/none', { plaintext: b64('x') }).status, 400);
  t.equal(curl(sidekey, 'GET', '/v1/nothing/here').status, 404);
  t.equal(curl(sidekey, 'POST', '/v1/transit/keys/bad', { type: 'rot13' }).status, 400);
});
