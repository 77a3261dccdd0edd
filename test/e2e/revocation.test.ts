// How long a key works after its service took it away, and how soon it is back, by the clock and with real processes: pushed by an event, without one,
// with the agent dead, with `offline`, and after an outage.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pkcs11js from 'pkcs11js';
import t, { type Test } from 'tap';
import { ServiceProcess } from '../fakes/service-process.ts';
import { startUnder } from '../interop/token-under.ts';
import { temporaryDirectory } from './instance.ts';
import { codeOf, loadModule } from './token.ts';

/** What a busy machine may add before the clock is read. */
const SLACK_MS = 400;

async function scene(t: Test, cache: string, more = '') {
  const service = new ServiceProcess(t, 'vault');
  await service.start();
  const token = join(temporaryDirectory(t), 'token');
  writeFileSync(token, 'hvs.operator\n', { mode: 0o600 });
  const yaml = `    kind: vault
    address: ${service.url}
    key: kek
    auth: { method: token, token-file: ${token} }
    timeout: 2s
    try-timeout: 500ms
${more}`;
  const instance = await startUnder(t, yaml, '', cache);
  const p11 = loadModule(t, instance);
  const slot = p11.C_GetSlotList(true).find((each) => p11.C_GetTokenInfo(each).label.startsWith('remote'));
  if (!slot) throw new Error('no token "remote"');
  const session = p11.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
  const key = p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
    { type: pkcs11js.CKA_TOKEN, value: true },
    { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11js.CKA_ENCRYPT, value: true },
  ]);
  const copy = p11.C_CopyObject(session, key, [{ type: pkcs11js.CKA_TOKEN, value: false }]);
  const parameter = Buffer.alloc(16);
  const useOf = (handle: pkcs11js.Handle): number =>
    codeOf(() => {
      p11.C_EncryptInit(session, { mechanism: pkcs11js.CKM_AES_CBC, parameter }, handle);
      p11.C_Encrypt(session, Buffer.alloc(32), Buffer.alloc(64));
    });
  const use = (): number => useOf(key);
  const useCopy = (): number => useOf(copy);
  /** How long after `from` the last use was begun that succeeded, trying for so long. */
  const lastGood = async (from: number, forMs: number): Promise<number> => {
    let last = 0;
    while (performance.now() - from < forMs) {
      const begin = performance.now();
      if (use() === 0) last = begin - from;
      await sleep(10);
    }
    return Math.round(last);
  };
  t.equal(use(), 0);
  return { service, instance, use, useCopy, lastGood };
}

t.test('revoked and told by an event: nothing succeeds after a second', async (t) => {
  const events = '    events: { type: kv-v2/data-write }\n';
  const { service, instance, use, useCopy, lastGood } = await scene(t, 'any: 5m', events);
  t.equal(useCopy(), 0);
  for (let i = 0; i < 100 && !instance.log.includes('following events'); i++) await sleep(50);
  service.tell('deny');
  await sleep(100);
  t.equal(use(), 0, 'without an event the lease would last');
  const from = performance.now();
  service.tell('event');
  const last = await lastGood(from, 3000);
  t.ok(last < 1000, `the last one ${last} ms after the event`);
  t.not(useCopy(), 0, 'nor does a copy in a session');
  t.comment(`pushed: the last use ${last} ms after the event`);
  service.tell('allow');
  await sleep(1100);
  t.equal(use(), 0, 'and is back when it is allowed again');
});

t.test('revoked without an event: nothing succeeds after `any`', async (t) => {
  const { service, useCopy, lastGood } = await scene(t, 'any: 2s');
  t.equal(useCopy(), 0);
  const from = performance.now();
  service.tell('deny');
  const last = await lastGood(from, 3500);
  t.ok(last <= 2000 + SLACK_MS, `${last} ms`);
  t.not(useCopy(), 0, 'nor does a copy in a session');
  service.tell('allow');
  await sleep(1100);
  t.equal(useCopy(), 0, 'which is back too');
});

t.test('revoked, and the agent killed: the keeper ends the key by itself within `any`', async (t) => {
  const { service, instance, lastGood } = await scene(t, 'any: 2s');
  service.tell('deny');
  const from = performance.now();
  await instance.stopAgent('SIGKILL');
  const last = await lastGood(from, 3000);
  t.ok(last <= 2000 + SLACK_MS, `${last} ms`);
  t.comment(`with the agent dead: the last use after ${last} ms`);
});

t.test(
  'the service away, then the agent killed: the keeper ends the key within `any` and `offline`',
  async (t) => {
    const { service, instance, lastGood } = await scene(t, 'any: 1s, offline: 2s');
    await service.stop();
    const from = performance.now();
    const before = await lastGood(from, 2500);
    t.ok(before > 1000, `it went on beyond any: ${before} ms`);
    await instance.stopAgent('SIGKILL');
    const last = await lastGood(from, 5000);
    t.ok(last <= 3000 + SLACK_MS, `${last} ms`);
  },
);

t.test('the service comes back: keys work within a second', async (t) => {
  const { service, use } = await scene(t, 'any: 1s');
  await service.stop();
  await sleep(1500);
  t.equal(use(), pkcs11js.CKR_DEVICE_ERROR, 'a clear error meanwhile');
  await sleep(3000);
  await service.start();
  const from = performance.now();
  while (use() !== 0 && performance.now() - from < 10_000) await sleep(10);
  const back = Math.round(performance.now() - from);
  t.ok(back <= 1000 + SLACK_MS, `${back} ms`);
  t.comment(`back ${back} ms after the service`);
});
