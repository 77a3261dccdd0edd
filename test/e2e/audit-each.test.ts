/** `audit.each`: every single use of a key is a line of the audit log, through PKCS#11 and HTTP, refused and failed ones too. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pkcs11js from 'pkcs11js';
import t, { type Test } from 'tap';
import { startInstance, type Instance } from './instance.ts';
import { codeOf, openToken, type Token } from './token.ts';
import { transitClient } from './transit-client.ts';

const EACH = `    audit:
      each: [root-*]
`;

function withEach(yaml: string): string {
  return yaml.replace(/^( +- label: .*\n)/m, `$1${EACH}`);
}

interface Line {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function uses(sidekey: Instance, event = 'each-use'): Line['fields'][] {
  const text = readFileSync(join(sidekey.dir, 'store/audit.log'), 'utf8');
  const lines = text
    .trim()
    .split('\n')
    .map((line): Line => JSON.parse(line));
  return lines.filter((line) => line.event === event).map(({ fields }) => fields);
}

/** How each use that was let through ended, in the order of the leaves; `open` has no end yet. */
function endings(sidekey: Instance): unknown[] {
  const ends = new Map(uses(sidekey, 'each-use-ended').map(({ leave, result }) => [leave, result]));
  return uses(sidekey).flatMap(({ leave }) => (leave === undefined ? [] : [ends.get(leave) ?? 'open']));
}

/** The line of an end follows the answer. */
async function endingsOnceThereAre(sidekey: Instance, count: number): Promise<unknown[]> {
  for (let i = 0; i < 400; i++) {
    const found = endings(sidekey);
    if (found.length - found.filter((each) => each === 'open').length >= count) return found;
    await sleep(5);
  }
  return endings(sidekey);
}

function makeAes({ p11, session }: Token, label: string, rest: pkcs11js.Template = []): pkcs11js.Handle {
  return p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
    { type: pkcs11js.CKA_LABEL, value: label },
    { type: pkcs11js.CKA_TOKEN, value: true },
    { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11js.CKA_ENCRYPT, value: true },
    { type: pkcs11js.CKA_DECRYPT, value: true },
    ...rest,
  ]);
}

const CBC = { mechanism: pkcs11js.CKM_AES_CBC_PAD, parameter: Buffer.alloc(16) };

function encrypt({ p11, session }: Token, key: pkcs11js.Handle, data: Buffer): Buffer {
  p11.C_EncryptInit(session, CBC, key);
  return p11.C_Encrypt(session, data, Buffer.alloc(data.length + 16));
}

async function start(t: Test): Promise<{ sidekey: Instance; token: Token }> {
  const sidekey = await startInstance(t, { edit: withEach });
  return { sidekey, token: openToken(t, sidekey) };
}

t.test('every PKCS#11 use is a line, in one part and in many; other keys are counted only', async (t) => {
  const { sidekey, token } = await start(t);
  const { p11, session } = token;
  const [root, plain] = [makeAes(token, 'root-1'), makeAes(token, 'orders')];
  for (let n = 0; n < 5; n++) encrypt(token, root, Buffer.from('hello'));
  for (let n = 0; n < 5; n++) encrypt(token, plain, Buffer.from('hello'));
  p11.C_EncryptInit(session, CBC, root);
  const parts = [1, 2, 3].map(() => p11.C_EncryptUpdate(session, Buffer.alloc(1000), Buffer.alloc(1100)));
  const sealed = Buffer.concat([...parts, p11.C_EncryptFinal(session, Buffer.alloc(32))]);
  p11.C_DecryptInit(session, CBC, root);
  t.same(p11.C_Decrypt(session, sealed, Buffer.alloc(4000)), Buffer.alloc(3000));

  const found = uses(sidekey);
  t.same(
    found.map(({ use }) => use),
    [...Array(6).fill('encrypt'), 'decrypt'],
    'one line for each operation, however many parts it has',
  );
  t.match(found[0], {
    ...{ pid: process.pid, uid: process.getuid?.(), token: 'test', label: 'root-1', result: 'permitted' },
    mechanism: pkcs11js.CKM_AES_CBC_PAD,
  });
  t.ok(found.every(({ label }) => label === 'root-1'));
  t.same(await endingsOnceThereAre(sidekey, 7), Array(7).fill('ok'), 'each has a line of how it ended');
  t.match(uses(sidekey, 'each-use-ended')[0], {
    pid: process.pid,
    token: 'test',
    label: 'root-1',
    use: 'encrypt',
  });

  p11.C_DecryptInit(session, CBC, root);
  t.not(
    codeOf(() => p11.C_Decrypt(session, sealed.subarray(0, 100), Buffer.alloc(4000))),
    0,
  );
  t.equal(uses(sidekey).length, found.length + 1, 'a use that fails is there as well');
  t.match((await endingsOnceThereAre(sidekey, 8)).at(-1), /^encrypted_data_/, 'with its reason');
  const listed = JSON.parse(sidekey.sidekey('keys', 'ls', '--json').stdout);
  t.same(
    listed.map(({ label, audit }: Record<string, string>) => [label, audit]).sort(),
    [
      ['orders', 'total'],
      ['root-1', 'each'],
    ],
    'the command line shows which they are',
  );
  const verified = sidekey.sidekey('audit', 'verify');
  t.equal(verified.status, 0, verified.stderr);
});

t.test('refused uses are lines with the reason', async (t) => {
  const { sidekey, token } = await start(t);
  const { p11, session } = token;
  const root = makeAes(token, 'root-2', [{ type: pkcs11js.CKA_SIGN, value: false }]);
  encrypt(token, root, Buffer.from('hello'));
  const before = uses(sidekey).length;
  t.equal(
    codeOf(() => p11.C_SignInit(session, { mechanism: pkcs11js.CKM_AES_CMAC }, root)),
    pkcs11js.CKR_KEY_FUNCTION_NOT_PERMITTED,
  );
  p11.C_Logout(session);
  t.equal(
    codeOf(() => p11.C_EncryptInit(session, CBC, root)),
    pkcs11js.CKR_KEY_HANDLE_INVALID,
  );
  t.same(
    uses(sidekey)
      .slice(before)
      .map(({ use, result }) => [use, result]),
    [
      ['sign', 'key_function_not_permitted'],
      ['encrypt', 'key_handle_invalid'],
    ],
  );
});

t.test('wrapping and reading are uses too', async (t) => {
  const { sidekey, token } = await start(t);
  const { p11, session } = token;
  const readable = [
    { type: pkcs11js.CKA_SENSITIVE, value: false },
    { type: pkcs11js.CKA_EXTRACTABLE, value: true },
  ];
  const by = makeAes(token, 'root-by', [{ type: pkcs11js.CKA_WRAP, value: true }]);
  const key = makeAes(token, 'root-key', readable);
  const before = uses(sidekey).length;
  p11.C_WrapKey(session, { mechanism: 0x2109 }, by, key, Buffer.alloc(64));
  p11.C_GetAttributeValue(session, key, [{ type: pkcs11js.CKA_VALUE }]);
  t.same(
    uses(sidekey)
      .slice(before)
      .map(({ label, use, result }) => [label, use, result]),
    [
      ['root-key', 'export', 'ok'],
      ['root-by', 'wrap', 'ok'],
      // pkcs11js asks for the length first, and the answer to that has the value, too.
      ['root-key', 'export', 'ok'],
      ['root-key', 'export', 'ok'],
    ],
  );
});

t.test('over HTTP the line has the result, of a failed use as of a good one', async (t) => {
  const { sidekey } = await start(t);
  const ask = transitClient(sidekey);
  t.equal((await ask('POST', '/transit/keys/root-http', {})).status, 200);
  const sealed = await ask('POST', '/transit/encrypt/root-http', { plaintext: 'aGk=' });
  const { ciphertext } = sealed.data;
  t.equal((await ask('POST', '/transit/decrypt/root-http', { ciphertext })).status, 200);
  const broken = `vault:v1:${Buffer.alloc(40, 1).toString('base64')}`;
  t.equal((await ask('POST', '/transit/decrypt/root-http', { ciphertext: broken })).status, 400);
  const batch_input = Array.from({ length: 3 }, () => ({ plaintext: 'aGk=' }));
  t.equal((await ask('POST', '/transit/encrypt/root-http', { batch_input })).status, 200);
  t.equal((await ask('POST', '/transit/hmac/root-http', { input: 'aGk=' })).status, 200);
  t.match(
    uses(sidekey).map(({ label, use, result }) => [label, use, result]),
    [
      ['root-http', 'encrypt', 'ok'],
      ['root-http', 'decrypt', 'ok'],
      ['root-http', 'decrypt', /^(?!ok)/],
      ...Array(3).fill(['root-http', 'encrypt', 'ok']),
      ['root-http/hmac', 'sign', 'ok'],
    ],
  );
});

t.test(
  'a use whose end nobody could tell is one without a second line; what goes on has its own',
  async (t) => {
    const { sidekey, token } = await start(t);
    const { p11, session } = token;
    const root = makeAes(token, 'root-3');
    const other = p11.C_OpenSession(token.slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
    p11.C_EncryptInit(session, CBC, root);
    p11.C_EncryptUpdate(session, Buffer.alloc(16), Buffer.alloc(64));
    p11.C_EncryptInit(other, CBC, root);
    p11.C_EncryptUpdate(other, Buffer.alloc(16), Buffer.alloc(64));
    await sidekey.stopAgent('SIGKILL');
    p11.C_EncryptFinal(other, Buffer.alloc(32));
    await sidekey.start();
    p11.C_EncryptFinal(session, Buffer.alloc(32));
    t.same(await endingsOnceThereAre(sidekey, 1), ['ok', 'open'], 'the keeper tells the next agent');
    t.match(uses(sidekey, 'each-use-ended')[0], {
      pid: process.pid,
      token: 'test',
      use: 'encrypt',
      result: 'ok',
    });

    p11.C_EncryptInit(session, CBC, root);
    p11.C_EncryptUpdate(session, Buffer.alloc(16), Buffer.alloc(64));
    process.kill(sidekey.status().keeper.pid, 'SIGKILL');
    t.same(
      await endingsOnceThereAre(sidekey, 2),
      ['ok', 'open', 'operation_lost'],
      'what a keeper had begun ended with it, as the agent knows once the next one is there',
    );
    t.equal(sidekey.sidekey('audit', 'verify').status, 0);
  },
);
