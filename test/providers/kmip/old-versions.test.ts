// Servers of KMIP 1.0 and 1.1, which lack Encrypt and Sign: data keys are their objects (data-keys: at-server).
import t from 'tap';
import { scene, PURPOSE, testVersion } from './carried-scene.ts';

testVersion(t, { major: 1, minor: 0 });
testVersion(t, { major: 1, minor: 1 });
t.test(
  'KMIP 1.0 and 1.1 have no Encrypt: said by health and by each use, and the way out with it',
  async (t) => {
    for (const minor of [0, 1]) {
      const { connect } = await scene(t, { major: 1, minor });
      const service = connect({});
      t.teardown(() => service.close());
      const message = new RegExp(`data-keys: at-server.*needs KMIP 1\\.4.*speaks 1\\.${minor}`);
      await t.rejects(service.generateDataKey(PURPOSE), { code: 'provider_refused', message });
      t.match(await service.health(), {
        ok: false,
        detail: /is Active, by KMIP 1\.\d.*data-keys: at-server/,
      });
      t.strictSame(await service.resident?.list('', 10), []);
      const wanted = { spec: 'rsa-2048', sizeBits: 2048, uses: ['sign'], ckaId: Buffer.alloc(0) } as const;
      const made = await service.resident?.create({ ...wanted, name: 'pair' });
      t.strictSame([made?.name, made?.signs, made?.ciphers], ['pair', [], []], 'it has no use here');
      await t.rejects(async () => service.random?.(16), {
        code: 'provider_refused',
        message: /needs KMIP 1\.2/,
      });
    }
  },
);

t.test('an older version may be demanded of a newer server, and only with what it can do', async (t) => {
  const { connect } = await scene(t, { major: 1, minor: 1 });
  t.throws(() => connect({ 'newest-version': '1.1' }), /have no Encrypt: data-keys: at-server/);
  const service = connect({ 'newest-version': '1.1', 'data-keys': 'at-server' });
  t.teardown(() => service.close());
  t.match(await service.health(), { ok: true, detail: /by KMIP 1\.1$/ });
});
