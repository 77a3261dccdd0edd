// Six tokens under the six key services, by the clock and with real processes: a KEK that its service took away, by its own means, opens nothing after
// `any`; and works again when it was given back, without a restart.
import { setTimeout as sleep } from 'node:timers/promises';
import pkcs11js from 'pkcs11js';
import t from 'tap';
import { SERVICES, startRevocable } from '../interop/services.ts';
import { initInstance } from './instance.ts';
import { codeOf, loadModule } from './token.ts';

const ANY_MS = 2000;
/** What a busy machine may add before the clock is read. */
const SLACK_MS = 400;

t.test('a KEK that is taken away opens nothing after `any`', async (t) => {
  const services = await Promise.all(SERVICES.map((kind) => startRevocable(t, kind)));
  const tokens = SERVICES.map(
    (kind) => `label: "${kind}"\n    provider: ${kind}\n    login: none\n    cache: { any: ${ANY_MS}ms }\n`,
  );
  const instance = initInstance(t, {
    edit: (text) =>
      text
        .replace(/label: "test"\n    provider: local\n/, tokens.join('  - '))
        .replace(/^providers:\n/m, `providers:\n${services.map(({ yaml }) => yaml).join('')}`),
  });
  await instance.start();
  const p11 = loadModule(t, instance);
  const slots = p11.C_GetSlotList(true);
  const parameter = Buffer.alloc(16);
  const makeUse = (kind: string): (() => number) => {
    const slot = slots.find((each) => p11.C_GetTokenInfo(each).label.trimEnd() === kind);
    if (!slot) throw new Error(`no token "${kind}"`);
    const session = p11.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
    const key = p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
      { type: pkcs11js.CKA_TOKEN, value: true },
      { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
      { type: pkcs11js.CKA_ENCRYPT, value: true },
    ]);
    return () =>
      codeOf(() => {
        p11.C_EncryptInit(session, { mechanism: pkcs11js.CKM_AES_CBC, parameter }, key);
        p11.C_Encrypt(session, Buffer.alloc(32), Buffer.alloc(64));
      });
  };
  const rows = SERVICES.map((kind, i) => ({
    kind,
    use: makeUse(kind),
    service: services[i],
    from: 0,
    last: 0,
  }));
  for (const row of rows) {
    t.equal(row.use(), 0, row.kind);
    row.service?.deny();
    row.from = performance.now();
  }
  const end = performance.now() + ANY_MS + 1500;
  while (performance.now() < end) {
    for (const row of rows) {
      const begin = performance.now();
      const code = row.use();
      if (code === 0) row.last = begin - row.from;
      else if (code !== pkcs11js.CKR_DEVICE_ERROR) t.fail(`${row.kind}: code ${code}`);
    }
    await sleep(20);
  }
  for (const { kind, last } of rows) {
    t.ok(last <= ANY_MS + SLACK_MS, `${kind}: the last use ${Math.round(last)} ms after it was taken away`);
  }
  for (const { service } of rows) service?.allow();
  for (const { kind, use } of rows) {
    const back = performance.now();
    while (use() !== 0 && performance.now() - back < 10_000) await sleep(50);
    t.equal(use(), 0, `${kind} works when it is given back`);
  }
});
