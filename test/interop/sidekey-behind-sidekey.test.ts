// Sidekey's own module as the HSM of another Sidekey, as KEK holder and with keys that stay there: whoever has one can put the other behind it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { initInstance, MODULE, PIN, temporaryDirectory } from '../e2e/instance.ts';
import { makePair, outlives, PAIRS_OK, runResident, startUnder } from './token-under.ts';

const inner = initInstance(t);
await inner.start();
const login = ['--token-label', 'test', '--login', '--pin', PIN];
const kek = ['--keygen', '--key-type', 'AES:32', '--label', 'kek', '--id', '01', '--sensitive'];
const made = inner.pkcs11Tool(...login, ...kek);
t.equal(made.status, 0, made.stderr);
const pinFile = join(temporaryDirectory(t), 'pin');
writeFileSync(pinFile, `${PIN}\n`, { mode: 0o600 });

const PROVIDER = `    kind: pkcs11-hsm
    module: ${MODULE}
    token-label: test
    key-label: kek
    pin-file: ${pinFile}
    environment: ${JSON.stringify(inner.environment)}
`;

t.test('an unchanged program uses keys of the inner one', async (t) => {
  t.same(await runResident(t, PROVIDER), {
    ...PAIRS_OK,
    ...{ ECDH1_DERIVE: 'ok', 'keys wrapped by AES_GCM': 'ok', 'keys wrapped by AES_CBC_PAD': 'ok' },
    ...{ 'generic secret': 'ok', SHA256_HMAC: 'ok', 'AES-256': 'ok', AES_GCM: 'ok' },
  });
});

t.test('a token under a key of the inner one outlives it', async (t) => {
  const outer = await startUnder(t, `${PROVIDER}    timeout: 3s\n    try-timeout: 1s\n`);
  const pair = makePair(outer);
  t.equal(pair.status, 0, pair.stdout + pair.stderr);
  const kill = async (): Promise<void> => {
    const keeper = inner.keeperPid();
    await inner.stopAgent('SIGKILL');
    if (keeper !== null) process.kill(keeper, 'SIGKILL');
  };
  await outlives(t, outer, 'killed', { break: kill, mend: () => inner.start() });
});
