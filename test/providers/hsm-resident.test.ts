// Keys of SoftHSM2 as resident keys: the contract, and faults injected by the module in front of it.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { PKCS11_HSM } from '../../src/providers/hsm/hsm-kind.ts';
import type { KeyService } from '../../src/providers/key-service.ts';
import type { ResidentKeys } from '../../src/tokens/resident-port.ts';
import { testResidentKeys } from './resident-contract.ts';
import { compileFaultModule, SoftHsm } from './softhsm.ts';

const module = compileFaultModule(t);

function open(t: Test, hsm: SoftHsm, more: Record<string, unknown> = {}): KeyService {
  const options = {
    ...{ kind: 'pkcs11-hsm', module, 'token-label': 'kek', 'key-label': 'kek-1' },
    ...{ 'pin-file': hsm.pinFile, environment: hsm.environment, timeout: '8s', 'try-timeout': '4s' },
    ...more,
  };
  const service = PKCS11_HSM.create(PKCS11_HSM.schema.parse(options), {
    ...{ name: 'hsm', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes },
    resolvePath: (path) => path,
  });
  t.teardown(() => service.close());
  return service;
}

function scene(t: Test): { hsm: SoftHsm; keys: ResidentKeys } {
  const hsm = new SoftHsm(t);
  hsm.makeKey('kek-1');
  const service = open(t, hsm);
  if (!service.resident) throw new Error('no resident keys');
  return { hsm, keys: service.resident };
}

// RSA-3072 and RSA-4096 differ only in size, and are slow to generate.
const SPECS = ['rsa-2048', 'ec-p256', 'ec-p384', 'ec-p521', 'aes-256', 'generic'] as const;
testResidentKeys(t, 'SoftHSM', async (t) => ({ keys: scene(t).keys, specs: SPECS }));

t.test('the KEK is no resident key, and of two keys of one name and id none is', async (t) => {
  const { hsm, keys } = scene(t);
  const pair = ['--keypairgen', '--key-type', 'EC:prime256v1'];
  for (const [label, id] of [
    ['one', '02'],
    ['two', '03'],
    ['two', '03'],
  ] as const)
    hsm.tool(...pair, '--label', label, '--id', id);
  t.same(
    (await keys.list('', 100)).map(({ name, ckaId }) => [name, ckaId?.toString('hex')]),
    [['one', '02']],
  );
  await t.rejects(keys.list('', 1), { code: 'provider_refused' }, 'more than may be listed');
});

t.test('a library that crashes or loses its device meanwhile is started again', async (t) => {
  const { hsm, keys } = scene(t);
  const wanted = { name: 'k', spec: 'ec-p256', sizeBits: 256, uses: ['sign'], ckaId: Buffer.of(7) } as const;
  const key = await keys.create(wanted);
  const sign = () => keys.sign(key, key.signs[0]!, randomBytes(32), 0); // it was made to sign
  for (const fault of ['crash-once', 'device-error-once', 'session-invalid-once']) {
    hsm.fail(fault);
    t.equal((await sign()).length, 64, fault);
    t.notOk(existsSync(hsm.faultFile), 'the fault was met');
  }
  hsm.fail('device-error');
  await t.rejects(sign(), { code: 'provider_unreachable' });
  hsm.mend();
  t.equal((await sign()).length, 64);
});

t.test('a token that wraps no key by a mechanism of ours serves its own keys all the same', async (t) => {
  const hsm = new SoftHsm(t);
  hsm.makeKey('kek-1');
  const service = open(t, hsm, { mechanism: 'aes-key-wrap-kwp' }); // SoftHSM2 has none
  const refused = {
    code: 'provider_refused',
    message: /do not both support any of: aes-key-wrap-kwp; a KEK needs/,
  };
  await t.rejects(service.generateDataKey('token 1'), refused);
  t.match(await service.health(), { ok: false, detail: refused.message }, 'and says so');
  const { resident } = service;
  const wanted = { name: 'k', spec: 'ec-p256', sizeBits: 256, uses: ['sign'], ckaId: Buffer.of(7) } as const;
  const key = await resident?.create(wanted);
  t.equal(key && (await resident?.sign(key, key.signs[0]!, randomBytes(32), 0))?.length, 64); // it was made to sign
});
