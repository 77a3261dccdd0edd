/** softhsm2-util, which takes any module: keys made elsewhere come into Sidekey by the very command that brings them into SoftHSM. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { must, openDirectory, run } from './application.ts';

const sidekey = await startInstance(t);
const dir = openDirectory(t);
const env = { ...process.env, SIDEKEY_SOCKET: sidekey.socket };
const UTIL = ['--module', MODULE];
const TOOL = ['--module', MODULE, '--login', '--pin', PIN];
const into = (id: string, label: string, pin = PIN): string[] => [
  ...['--token', 'test', '--pin', pin, '--id', id, '--label', label],
];

t.test('it shows the token', async (t) => {
  const shown = await must(t, 'softhsm2-util', [...UTIL, '--show-slots'], { env });
  t.match(shown, /Initialized: +yes\n[^]*User PIN init\.: +yes\n +Label: +test/);
});

t.test('RSA and EC keys that it imports sign what their public halves verify', async (t) => {
  const made = [
    ['51', 'rsa', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey, 'SHA256-RSA-PKCS'],
    ['52', 'ec', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, 'ECDSA-SHA256'],
  ] as const;
  const [data, signature] = [join(dir, 'data'), join(dir, 'signature')];
  writeFileSync(data, 'signed by an imported key');
  for (const [id, label, key, mechanism] of made) {
    const pem = join(dir, `${label}.pem`);
    writeFileSync(pem, key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    await must(t, 'softhsm2-util', [...UTIL, '--import', pem, ...into(id, label)], { env });
    const sign = ['--sign', '--id', id, '-m', mechanism, '-i', data, '-o', signature];
    await must(t, 'pkcs11-tool', [...TOOL, ...sign, '--signature-format', 'openssl'], { env });
    const publicKey = createPublicKey(createPrivateKey(readFileSync(pem)));
    t.ok(verify('sha256', readFileSync(data), publicKey, readFileSync(signature)), label);
    const twice = await run('softhsm2-util', [...UTIL, '--import', pem, ...into(id, label)], { env });
    t.match(twice.stderr + twice.stdout, /already assigned/, 'the same id again');
  }
});

t.test('a wrong PIN and an unknown token are refused, and nothing is there', async (t) => {
  const pem = join(dir, 'rsa.pem');
  for (const [args, why] of [
    [into('61', 'refused', '000000'), /PIN/],
    [['--token', 'none', ...into('61', 'refused').slice(2)], /Could not find a slot\/token/],
  ] as const) {
    const { status, stdout, stderr } = await run('softhsm2-util', [...UTIL, '--import', pem, ...args], {
      env,
    });
    t.not(status, 0);
    t.match(stdout + stderr, why);
  }
  t.notMatch(await must(t, 'pkcs11-tool', [...TOOL, '--list-objects'], { env }), /refused/);
});
