// A token under KEKs of two services, all of it as real processes: the first service is killed while a program works.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pkcs11js from 'pkcs11js';
import t from 'tap';
import { ServiceProcess } from '../fakes/service-process.ts';
import { startUnder } from '../interop/token-under.ts';
import { temporaryDirectory } from './instance.ts';
import { codeOf, loadModule } from './token.ts';

function yamlOf(service: ServiceProcess, token: string): string {
  return `    kind: vault
    address: ${service.url}
    key: kek
    auth: { method: token, token-file: ${token} }
    timeout: 3s
    try-timeout: 1s
`;
}

t.test('the first of two key services is killed, and no operation fails', async (t) => {
  const [first, second] = [new ServiceProcess(t, 'vault'), new ServiceProcess(t, 'vault')];
  await Promise.all([first.start(), second.start()]);
  const token = join(temporaryDirectory(t), 'token');
  writeFileSync(token, 'hvs.operator\n', { mode: 0o600 });
  const instance = await startUnder(t, `${yamlOf(first, token)}  other:\n${yamlOf(second, token)}`);

  const p11 = loadModule(t, instance);
  const slot = p11.C_GetSlotList(true).find((each) => p11.C_GetTokenInfo(each).label.startsWith('remote'));
  if (!slot) throw new Error('no token "remote"');
  const session = p11.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
  const key = p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
    { type: pkcs11js.CKA_TOKEN, value: true },
    { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11js.CKA_ENCRYPT, value: true },
  ]);
  const use = (): number =>
    codeOf(() => {
      const parameter = Buffer.alloc(16);
      p11.C_EncryptInit(session, { mechanism: pkcs11js.CKM_AES_CBC, parameter }, key);
      p11.C_Encrypt(session, Buffer.alloc(32), Buffer.alloc(64));
    });
  /** How many of the uses in so many seconds failed, of how many. */
  const useFor = async (seconds: number): Promise<{ failed: number; all: number }> => {
    const end = performance.now() + seconds * 1000;
    const seen = { failed: 0, all: 0 };
    for (; performance.now() < end; seen.all++) {
      if (use() !== 0) seen.failed++;
      await sleep(20);
    }
    return seen;
  };

  const added = instance.sidekey('token', 'add-kek', 'remote', 'other');
  t.equal(added.status, 0, added.stderr);
  t.match(added.stdout, /service +yes +up\n +other +yes +up/);
  t.match(await useFor(2), { failed: 0 }, 'with both');
  await first.stop();
  const seen = await useFor(5);
  t.equal(seen.failed, 0, `of ${seen.all} operations over five leases without the first`);
  t.match(instance.sidekey('token', 'ls').stdout, /service +yes +(down|asking)\n +other +yes +up/);

  const last = instance.sidekey('token', 'remove-kek', 'remote', 'other');
  t.not(last.status, 0, 'the only one that opens the token stays');
  t.match(last.stderr, /provider_unreachable/);
  const removed = instance.sidekey('token', 'remove-kek', 'remote', 'service');
  t.equal(removed.status, 0, removed.stderr);
  const rotated = instance.sidekey('token', 'rotate', 'remote');
  t.equal(rotated.status, 0, rotated.stderr);
  t.equal(instance.sidekey('token', 'wipe', 'remote').status, 0);
  t.match(await useFor(2), { failed: 0 }, 'by the second alone');
  t.match(instance.sidekey('token', 'remove-kek', 'remote', 'other').stderr, /arguments_bad: .*last KEK/);
  t.match(instance.sidekey('token', 'add-kek', 'nobody', 'other').stderr, /404/);

  await second.stop();
  await sleep(1200);
  t.equal(use(), pkcs11js.CKR_DEVICE_ERROR, 'with none it ends when its lease does');
  await second.start();
  const from = performance.now();
  while (use() !== 0 && performance.now() - from < 10_000) await sleep(20);
  t.ok(performance.now() - from < 5000, `back after ${Math.round(performance.now() - from)} ms`);
  const audit = instance.sidekey('audit', 'tail').stdout;
  for (const event of ['token-kek-added', 'token-kek-removed', 'token-rotated', 'lease-wiped'])
    t.ok(audit.includes(event), event);
});
