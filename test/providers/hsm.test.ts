import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { PKCS11_HSM } from '../../src/providers/hsm/hsm-kind.ts';
import type { KeyService } from '../../src/providers/key-service.ts';
import { randomBytes } from 'node:crypto';
import { testContract } from './contract.ts';
import { compileFaultModule, SOFTHSM, SoftHsm } from './softhsm.ts';

/** A process must start within it, on a busy host with few cores. */
const DEADLINE_MS = 3500;
const module = compileFaultModule(t);

function createService(t: Test, hsm: SoftHsm, more: Record<string, unknown> = {}): KeyService {
  const options = {
    kind: 'pkcs11-hsm',
    module,
    'token-label': 'kek',
    'key-label': 'kek-1',
    'pin-file': hsm.pinFile,
    environment: hsm.environment,
    timeout: `${DEADLINE_MS}ms`,
    'try-timeout': '1200ms',
    ...more,
  };
  const parsed: unknown = PKCS11_HSM.schema.parse(options);
  const service = PKCS11_HSM.create(parsed, {
    name: 'hsm',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => path,
  });
  t.teardown(() => service.close());
  return service;
}

function scene(t: Test, more: Record<string, unknown> = {}) {
  const hsm = new SoftHsm(t);
  hsm.writeKey('kek-1');
  return { hsm, service: createService(t, hsm, more) };
}

for (const mechanism of ['aes-gcm', 'aes-key-wrap'])
  testContract(t, `SoftHSM by ${mechanism}`, async (t) => {
    const { hsm, service } = scene(t, { mechanism });
    return {
      service,
      overallMs: DEADLINE_MS,
      deny: () => hsm.deleteKey('kek-1'),
      allow: () => hsm.writeKey('kek-1'),
      stop: () => hsm.fail('absent'),
      start: () => hsm.mend(),
      hang: () => hsm.fail('hang'),
      resume: () => hsm.mend(),
    };
  });

t.test('SoftHSM by aes-key-wrap-pad', async (t) => {
  const { service } = scene(t, { mechanism: 'aes-key-wrap-pad' });
  const { plaintext, wrapped } = await service.generateDataKey('a');
  t.ok((await service.unwrapDataKey(wrapped, 'a')).equals(plaintext));
  await t.rejects(service.unwrapDataKey(wrapped, 'b'), { code: 'provider_refused' });
});

t.test('a library that crashes is started again, and nobody notices a crash that happens once', async (t) => {
  const { hsm, service } = scene(t);
  const { plaintext, wrapped } = await service.generateDataKey('a');
  hsm.fail('crash-once');
  t.ok((await service.unwrapDataKey(wrapped, 'a')).equals(plaintext));
  hsm.fail('crash');
  await t.rejects(service.unwrapDataKey(wrapped, 'a'), {
    code: 'provider_unreachable',
    message: /provider "hsm" \(key label "kek-1"\): its library crashed \(SIGSEGV\)/,
  });
  hsm.mend();
  t.ok((await service.unwrapDataKey(wrapped, 'a')).equals(plaintext));
});

t.test('a library that hangs once is killed, and the call still succeeds', async (t) => {
  const { hsm, service } = scene(t);
  const { plaintext, wrapped } = await service.generateDataKey('a');
  hsm.fail('hang-once');
  const start = performance.now();
  const opened = await Promise.all(Array.from({ length: 8 }, () => service.unwrapDataKey(wrapped, 'a')));
  t.ok(opened.every((each) => each.equals(plaintext)));
  t.ok(performance.now() - start < DEADLINE_MS);
});

for (const fault of ['device-error-once', 'session-invalid-once', 'general-error-once'])
  t.test(`${fault} is recovered from`, async (t) => {
    const { hsm, service } = scene(t);
    const { plaintext, wrapped } = await service.generateDataKey('a');
    hsm.fail(fault);
    t.ok((await service.unwrapDataKey(wrapped, 'a')).equals(plaintext));
  });

t.test('a device that stays in error is unreachable', async (t) => {
  const { hsm, service } = scene(t);
  const { wrapped } = await service.generateDataKey('a');
  hsm.fail('device-error');
  await t.rejects(service.unwrapDataKey(wrapped, 'a'), { code: 'provider_unreachable' });
});

// CKR_GENERAL_ERROR, CKR_DEVICE_ERROR, CKR_FUNCTION_FAILED, a vendor's own
for (const code of ['0x5', '0x30', '0x6', '0x80000123'])
  t.test(`a bad tag is a refusal when the module calls it ${code}`, async (t) => {
    const hsm = new SoftHsm(t);
    hsm.makeKey('kek-1');
    const service = createService(t, hsm, { environment: { ...hsm.environment, FAULT_TAG_CODE: code } });
    const { wrapped } = await service.generateDataKey('a');
    await t.rejects(service.unwrapDataKey(wrapped, 'b'), {
      code: 'provider_refused',
      message: /cannot decrypt this/,
    });
  });

t.test('a module that replaces the IV makes no data key, which nobody could open', async (t) => {
  const { hsm, service } = scene(t);
  hsm.fail('own-iv');
  await t.rejects(service.generateDataKey('a'), {
    code: 'provider_refused',
    message: /cannot decrypt what it has just encrypted/,
  });
  hsm.mend();
  const { plaintext, wrapped } = await service.generateDataKey('a');
  t.ok((await service.unwrapDataKey(wrapped, 'a')).equals(plaintext));
});

t.test('two keys of one label are refused, and the id tells them apart', async (t) => {
  const { hsm, service } = scene(t);
  hsm.makeKey('kek-1', '02');
  await t.rejects(service.generateDataKey('a'), { code: 'provider_refused', message: /more than one/ });
  const second = createService(t, hsm, { 'key-id': '02' });
  const { plaintext, wrapped } = await second.generateDataKey('a');
  t.ok((await second.unwrapDataKey(wrapped, 'a')).equals(plaintext));
  const first = createService(t, hsm, { 'key-id': '01' });
  await t.rejects(first.unwrapDataKey(wrapped, 'a'), { code: 'provider_refused' }, 'the other key');
});

t.test('a wrong PIN is tried once, until its file changes', async (t) => {
  const { hsm, service } = scene(t);
  writeFileSync(hsm.pinFile, '111111');
  for (let i = 0; i < 5; i++) await t.rejects(service.generateDataKey('a'), { code: 'provider_refused' });
  t.equal(readFileSync(hsm.loginLog, 'utf8'), 'login\n');
  writeFileSync(hsm.pinFile, '987654');
  t.equal((await service.generateDataKey('a')).plaintext.length, 32);
});

t.test('it starts without token, PIN or library, and heals', async (t) => {
  const { hsm, service } = scene(t);
  hsm.fail('absent');
  t.match(await service.health(), { ok: false, detail: /no token kek/ });
  hsm.mend();
  t.match(await service.health(), { ok: true, detail: /on token "kek"/ });
  const missing = createService(t, hsm, { module: '/nowhere.so' });
  await t.rejects(missing.generateDataKey('a'), { code: 'provider_unreachable' });
});

t.test('a mechanism that the module has not is refused', async (t) => {
  const { service } = scene(t, { mechanism: 'aes-key-wrap-kwp' });
  await t.rejects(service.generateDataKey('a'), { code: 'provider_refused', message: /do not both support/ });
});

t.test('no process is left behind', async (t) => {
  const { hsm, service } = scene(t, { module: SOFTHSM });
  await service.generateDataKey('a');
  const marker = hsm.environment['SOFTHSM2_CONF'] ?? '';
  const seen = () =>
    spawnSync('sh', ['-c', `grep -lzF '${marker}' /proc/[0-9]*/environ 2>/dev/null`], { encoding: 'utf8' })
      .stdout;
  const worker = seen().match(/\d+/)?.[0];
  t.ok(worker);
  t.match(
    readFileSync(`/proc/${worker}/limits`, 'utf8'),
    /Max core file size\s+0 /,
    'and it would dump no core',
  );
  await service.close();
  t.notOk(existsSync(`/proc/${worker}`));
  await t.rejects(service.generateDataKey('a'), { code: 'provider_unreachable' });
});

t.test('the process around a library is not dumpable', async (t) => {
  const program = fileURLToPath(new URL('../../src/providers/hsm/worker.ts', import.meta.url));
  const nobody = { uid: 65_534, gid: 65_534 };
  const child = spawn(process.execPath, [program], {
    ...nobody,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const ownerOf = () => statSync(`/proc/${child.pid}/mem`).uid;
  for (let tries = 0; tries < 100 && ownerOf() !== 0; tries++) await setTimeout(50);
  t.equal(ownerOf(), 0, 'the kernel gives its files to root');
});

t.test('a key that is gone costs no sessions', async (t) => {
  const { hsm, service } = scene(t, { sessions: 2 });
  const { wrapped, plaintext } = await service.generateDataKey('token 1');
  plaintext.fill(0);
  hsm.deleteKey('kek-1');
  for (let i = 0; i < 10; i++)
    await t.rejects(service.unwrapDataKey(wrapped, 'token 1'), { code: 'provider_refused' });
  t.equal(Number(readFileSync(hsm.sessionCount, 'utf8')), 0, 'the session that saw it go was closed as well');
  hsm.writeKey('kek-1');
  (await service.unwrapDataKey(wrapped, 'token 1')).fill(0);
  t.ok(Number(readFileSync(hsm.sessionCount, 'utf8')) <= 2);
});
