/** Clients of the API see a pause, and no error, when the keeper is killed or the cells of the keys in use are wiped under them. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { startInstance } from './instance.ts';
import { transitClient } from './transit-client.ts';

const KILLS = 4;
const b64 = (bytes: number): string => randomBytes(bytes).toString('base64');

t.test('uses of keys, and new versions of them, while the keeper is killed again and again', async (t) => {
  const sidekey = await startInstance(t);
  const call = transitClient(sidekey);
  for (const [name, type] of [
    ['aes', 'aes256-gcm96'],
    ['ec', 'ecdsa-p256'],
    ['rsa', 'rsa-2048'],
  ])
    t.equal((await call('POST', `/transit/keys/${name}`, { type })).status, 200);
  let isOver = false;
  let asked = 0;
  const must = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const { status, data, errors } = await call('POST', `/transit/${path}`, body);
    asked += 1;
    if (status !== 200) t.fail(`${path}: ${status} ${JSON.stringify(errors ?? data)}`);
    return data;
  };
  const roundTrip = async (key: string, plaintext: string): Promise<void> => {
    const { ciphertext } = await must(`encrypt/${key}`, { plaintext });
    const opened = await must(`decrypt/${key}`, { ciphertext });
    if (opened['plaintext'] !== plaintext) t.fail('another plaintext');
  };
  const batch = async (): Promise<void> => {
    const batch_input = Array.from({ length: 50 }, () => ({ plaintext: b64(500) }));
    const { batch_results: rows } = await must('encrypt/aes', { batch_input });
    const ciphertexts = (rows as { ciphertext: string }[]).map(({ ciphertext }) => ({ ciphertext }));
    const opened = await must('decrypt/aes', { batch_input: ciphertexts });
    const plain = (opened['batch_results'] as { plaintext: string }[]).map(({ plaintext }) => ({
      plaintext,
    }));
    t.strictSame(plain, batch_input);
  };
  const signing = async (): Promise<void> => {
    const input = b64(100);
    const { signature } = await must('sign/ec', { input });
    if ((await must('verify/ec', { input, signature }))['valid'] !== true) t.fail('not valid');
  };
  const habits = [
    batch,
    signing,
    () => roundTrip('aes', b64(1000)),
    () => roundTrip('aes', b64(100_000)),
    () => roundTrip('rsa', b64(50)),
    () => must('keys/aes/rotate', {}),
    () => sleep(50).then(() => call('DELETE', '/sidekey/cache')),
  ];
  const work = habits.map(async (habit) => {
    while (!isOver) await habit();
  });
  for (let kills = 0; kills < KILLS; kills++) {
    await sleep(700);
    const before = asked;
    process.kill(sidekey.status().keeper.pid, 'SIGKILL');
    await sleep(700);
    t.ok(asked > before, `${asked - before} requests were answered after the kill`);
  }
  isOver = true;
  await Promise.all(work);
});
