/** Rules per key and operation, for real programs: pkcs11-tool and curl, told apart by their executables. */
import { spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { PIN, startInstance, temporaryDirectory, type Instance } from './instance.ts';

/** As this version of pkcs11-tool writes CKR_ACTION_PROHIBITED. */
const ACTION_PROHIBITED = /0x1b|CKR_ACTION_PROHIBITED/;

const RULES = `allow:
      - executable: ${realpathSync('/usr/bin/pkcs11-tool')}
        keys: [bills*]
        operations: [create, encrypt]
      - executable: ${realpathSync('/usr/bin/curl')}
        keys: [bills*, orders]
        operations: [create, encrypt, mac]
`;

function withRules(yaml: string): string {
  const token = yaml.replace(/^( +)allow:.*\n(?:\1 +.*\n)*/m, '');
  return token.replace(/^( +- label: .*\n)/m, `$1    ${RULES}`);
}

function curl(
  sidekey: Instance,
  method: string,
  path: string,
  body?: unknown,
): { status: number; text: string } {
  const data = body === undefined ? [] : ['--data-binary', JSON.stringify(body)];
  const out = ['-s', '-X', method, '--unix-socket', sidekey.api, '-w', '\n%{http_code}', ...data];
  const { stdout } = spawnSync('curl', [...out, `http://localhost/v1/transit${path}`], { encoding: 'utf8' });
  const [text = '', status] = stdout.split(/\n(?=\d+$)/);
  return { status: Number(status), text };
}

async function start(t: Test): Promise<Instance> {
  return startInstance(t, { edit: withRules });
}

t.test('a PKCS#11 program gets the code of the standard for what no rule permits', async (t) => {
  const sidekey = await start(t);
  const login = ['--login', '--pin', PIN];
  const make = (label: string) =>
    sidekey.pkcs11Tool(...login, '--keygen', '--key-type', 'AES:32', '--label', label, '--id', '01');
  t.equal(make('bills-1').status, 0);
  t.match(make('orders').stderr, ACTION_PROHIBITED);
  const [plain, sealed] = ['plain', 'sealed'].map((name) => join(temporaryDirectory(t), name));
  spawnSync('sh', ['-c', `printf 0123456789abcdef > ${plain}`]);
  const cipher = [...login, '--id', '01', '-m', 'AES-CBC-PAD', '--iv', '00'.repeat(16)];
  const encrypted = sidekey.pkcs11Tool(...cipher, '--encrypt', '-i', plain!, '-o', sealed!);
  t.equal(encrypted.status, 0, encrypted.stderr);
  const opened = sidekey.pkcs11Tool(...cipher, '--decrypt', '-i', sealed!, '-o', `${plain}2`);
  t.match(opened.stderr, 'CKR_KEY_FUNCTION_NOT_PERMITTED');
  const removed = sidekey.pkcs11Tool(...login, '--delete-object', '--type', 'secrkey', '--id', '01');
  t.match(removed.stderr, ACTION_PROHIBITED);

  t.equal(curl(sidekey, 'POST', '/keys/orders', { type: 'aes256-gcm96' }).status, 200);
  const listed = sidekey.pkcs11Tool(...login, '--list-objects').stdout;
  t.match(listed, 'bills-1');
  t.notMatch(listed, 'orders', 'a key with which it may do nothing is not there');
});

t.test('an HTTP client is refused with 403, or knows of no such key', async (t) => {
  const sidekey = await start(t);
  t.equal(curl(sidekey, 'POST', '/keys/orders', {}).status, 200);
  t.equal(curl(sidekey, 'POST', '/keys/other', {}).status, 403);
  const { status, text } = curl(sidekey, 'POST', '/encrypt/orders', { plaintext: 'aGk=' });
  t.equal(status, 200, text);
  const { ciphertext } = JSON.parse(text).data;
  t.match(curl(sidekey, 'POST', '/decrypt/orders', { ciphertext }), {
    status: 403,
    text: /permission denied/,
  });
  t.equal(curl(sidekey, 'POST', '/keys/orders/rotate', {}).status, 403);
  t.equal(curl(sidekey, 'GET', '/keys/secret').status, 404);
  t.equal(curl(sidekey, 'POST', '/hmac/orders', { input: 'aGk=' }).status, 200);
  const explained = sidekey.sidekey(
    'access',
    'explain',
    '--pid',
    String(process.pid),
    '--key',
    'orders',
    '--op',
    'sign',
  );
  t.equal(explained.status, 1, explained.stderr);
  t.match(explained.stdout, /^refused +no rule permits it[^]*tokens\[0\]\.allow\[1\] +not its executable/);
  const nobody = sidekey.sidekey('access', 'explain', '--pid', '4194305', '--key', 'k', '--op', 'sign');
  t.match([nobody.status, nobody.stderr], [1, /there is no process 4194305/]);
  const audit = sidekey.sidekey('audit', 'tail').stdout;
  t.match(audit, /denied/);
});
