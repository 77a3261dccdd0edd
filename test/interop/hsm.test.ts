// An unchanged program on a token whose key-encryption key stays in an HSM: SoftHSM2, also while it is away.
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { compileFaultModule, SOFTHSM, SoftHsm } from '../providers/softhsm.ts';
import { makePair, outlives, PAIRS_OK, runResident, startUnder } from './token-under.ts';

const module = compileFaultModule(t);

t.test('pkcs11-tool makes keys and signs on a token under an HSM, which goes and comes back', async (t) => {
  const hsm = new SoftHsm(t);
  hsm.makeKey('kek-1');
  const instance = await startUnder(
    t,
    `    kind: pkcs11-hsm
    module: ${module}
    token-label: kek
    key-label: kek-1
    pin-file: ${hsm.pinFile}
    timeout: 3s
    try-timeout: 1s
    environment: ${JSON.stringify(hsm.environment)}
`,
  );
  const made = makePair(instance);
  t.equal(made.status, 0, made.stdout + made.stderr);
  for (const fault of ['crash', 'hang', 'absent', 'device-error'])
    await outlives(t, instance, fault, { break: () => hsm.fail(fault), mend: () => hsm.mend() });
  await sleep(200); // for the log, which came while programs were waited for
  const worker = [...instance.log.matchAll(/"worker":(\d+)/g)].at(-1)?.[1];
  t.ok(existsSync(`/proc/${worker}`), 'the process of the library');
  await instance.stopAgent('SIGKILL');
  for (let i = 0; i < 50 && existsSync(`/proc/${worker}`); i++) await sleep(100);
  t.notOk(existsSync(`/proc/${worker}`), 'ends when the agent is killed');
});

t.test('an unchanged program uses keys that live in the HSM: every kind of them', async (t) => {
  const hsm = new SoftHsm(t);
  hsm.makeKey('kek-1');
  const said = await runResident(
    t,
    `    kind: pkcs11-hsm
    module: ${SOFTHSM}
    token-label: kek
    key-label: kek-1
    pin-file: ${hsm.pinFile}
    environment: ${JSON.stringify(hsm.environment)}
`,
  );
  t.same(said, {
    ...PAIRS_OK,
    ...{ ECDH1_DERIVE: 'ok', 'keys wrapped by AES_GCM': 'ok', 'keys wrapped by AES_CBC_PAD': 'ok' },
    ...{ 'generic secret': 'ok', SHA256_HMAC: 'ok', 'AES-256': 'ok', AES_GCM: 'ok' },
  });
});
