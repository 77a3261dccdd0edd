/** What clients that come and go, and hours of leases and reloads, leave behind in agent and keeper: nothing. */
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import pkcs11js from 'pkcs11js';
import t, { type Test } from 'tap';
import { startInstance, type Instance } from './instance.ts';
import { codeOf, openToken } from './token.ts';
import { send, transitClient } from './transit-client.ts';

const CONNECTIONS = 1000;
const AT_ONCE = 50;
const RELOADS = 150;
const KMS = 'kms: { socket: kms.sock, key: kubernetes }\n';

function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function residentMiB(pid: number): number {
  const [, kib = '0'] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

async function metric(sidekey: Instance, name: string): Promise<number> {
  const text = (await send(sidekey.api, 'GET', '/metrics', '')).bytes.toString();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

async function eventually(t: Test, what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let n = 0; n < 100; n++) {
    if (await holds()) return void t.pass(what);
    await new Promise((done) => setTimeout(done, 200));
  }
  t.fail(what);
}

const UPGRADE = [
  'GET /v1/sidekey/events HTTP/1.1',
  'Host: x',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  '',
  '',
].join('\r\n');
const BODY = '{"plaintext":"aGk="}';
const ENCRYPT = `POST /v1/transit/encrypt/app HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
// This one is answered before node:http.
const PLAIN = ENCRYPT.replace('Host: x', 'Host: x\r\nContent-Type: application/json');
const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

/** What a client says before it goes, and on which socket. */
const HABITS = [
  ['api.sock', ''],
  ['api.sock', 'GET /v1/sys/he'],
  ['api.sock', ENCRYPT.slice(0, -4)],
  ['api.sock', ENCRYPT],
  ['api.sock', ENCRYPT + ENCRYPT],
  ['api.sock', PLAIN.slice(0, -4)],
  ['api.sock', PLAIN],
  ['api.sock', PLAIN + PLAIN + ENCRYPT],
  ['api.sock', UPGRADE],
  ['api.sock', '\0\xff nothing of HTTP \r\n\r\n'],
  ['kms.sock', ''],
  ['kms.sock', PREFACE.subarray(0, 10)],
  ['kms.sock', PREFACE],
] as const;

/** Resolves when the connection is gone, by whomever. */
function visit(dir: string, [socket, words]: (typeof HABITS)[number], stayMs: number): Promise<void> {
  return new Promise((done) => {
    const client = connect(join(dir, socket));
    client.on('error', () => undefined);
    client.once('close', () => done());
    client.resume();
    client.write(words);
    setTimeout(() => client.destroy(), stayMs);
  });
}

t.test('a thousand connections that are dropped at random leave nothing behind', async (t) => {
  const sidekey = await startInstance(t, { edit: (yaml) => `${yaml}\n${KMS}` });
  const ask = transitClient(sidekey);
  for (const name of ['app', 'kubernetes'])
    t.equal((await ask('POST', `/transit/keys/${name}`, {})).status, 200);
  const keeper = sidekey.keeperPid() ?? 0;
  for (const habit of HABITS) await visit(sidekey.dir, habit, 20);
  const before = [descriptors(sidekey.agentPid), descriptors(keeper)];
  let left = CONNECTIONS;
  const visitor = async (): Promise<void> => {
    while (left-- > 0) {
      const habit = HABITS[Math.floor(Math.random() * HABITS.length)] ?? HABITS[0];
      await visit(sidekey.dir, habit, Math.random() * 30);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, visitor));
  await eventually(t, 'descriptors are as before', () => {
    const after = [descriptors(sidekey.agentPid), descriptors(keeper)];
    return after.every((count, i) => count <= (before[i] ?? 0) + 1);
  });
  await eventually(
    t,
    'nobody watches events',
    async () => (await metric(sidekey, 'sidekey_event_subscribers')) === 0,
  );
  await eventually(
    t,
    'nothing is parked',
    async () => (await metric(sidekey, 'sidekey_keeper_parked')) === 0,
  );
  t.equal(
    (await ask('POST', '/transit/encrypt/app', { plaintext: 'aGk=' })).status,
    200,
    'and the next is served',
  );
});

t.test('leases that end and reloads leave memory and descriptors flat', async (t) => {
  const short = '    cache: { any: 300ms, unused: 300ms }\n';
  const sidekey = await startInstance(t, {
    edit: (yaml) => yaml.replace(/^( +- label: .*\n)/m, `$1${short}`),
  });
  const ask = transitClient(sidekey);
  t.equal((await ask('POST', '/transit/keys/app', {})).status, 200);
  const { p11, session } = openToken(t, sidekey);
  const key = p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
    { type: pkcs11js.CKA_TOKEN, value: true },
    { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11js.CKA_ENCRYPT, value: true },
  ]);
  const cbc = { mechanism: pkcs11js.CKM_AES_CBC_PAD, parameter: Buffer.alloc(16) };
  const encrypt = (): void => {
    p11.C_EncryptInit(session, cbc, key);
    p11.C_Encrypt(session, Buffer.alloc(64), Buffer.alloc(80));
  };
  const round = async (): Promise<void> => {
    process.kill(sidekey.agentPid, 'SIGHUP');
    for (let n = 0; n < 5; n++) {
      t.equal(codeOf(encrypt), 0);
      const { status } = await ask('POST', '/transit/encrypt/app', { plaintext: 'aGk=' });
      if (status !== 200) t.fail(`status ${status}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  };
  const keeper = sidekey.keeperPid() ?? 0;
  const look = () => ({
    descriptors: [descriptors(sidekey.agentPid), descriptors(keeper)],
    keeperMiB: residentMiB(keeper),
    agentMiB: residentMiB(sidekey.agentPid),
  });
  for (let n = 0; n < RELOADS / 3; n++) await round();
  const early = look();
  for (let n = 0; n < RELOADS; n++) await round();
  const late = look();
  t.same(late.descriptors, early.descriptors);
  t.ok(late.keeperMiB - early.keeperMiB < 1, `keeper ${early.keeperMiB} and ${late.keeperMiB} MiB`);
  t.ok(late.agentMiB - early.agentMiB < 24, `agent ${early.agentMiB} and ${late.agentMiB} MiB`);
  const used = await metric(sidekey, 'sidekey_keeper_locked_bytes{of="used"}'.replace(/[{}]/g, '\\$&'));
  t.ok(used > 0 && used < 4 * 1024 * 1024, `${used} bytes of locked memory`);
  const cells = await metric(sidekey, 'sidekey_keeper_cells');
  t.ok(cells <= 8, `${cells} cells`);
});
