/** OpenSSL 3 by libengine-pkcs11-openssl: every sub-command that takes a key takes one of the token. */
import { spawnSync } from 'node:child_process';
import { createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import {
  environment,
  freePort,
  handshake,
  makeIdentity,
  makeKey,
  must,
  openDirectory,
  run,
  serve,
} from './application.ts';

const ENGINE = ['-engine', 'pkcs11', '-keyform', 'engine'];

/** OpenSSL without engine, module and token: what it accepts was done with the right key. */
function without(...args: string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  return { status, text: stdout + stderr };
}

const sidekey = await startInstance(t);

t.test('pkeyutl signs by RSA, PSS and ECDSA what openssl verifies with the certificate', async (t) => {
  const dir = openDirectory(t);
  const env = environment(sidekey, dir);
  const [data, signature] = [join(dir, 'data'), join(dir, 'signature')];
  writeFileSync(data, 'signed by the token');
  for (const [type, id, ...padding] of [
    ['rsa:2048', '01'],
    ['rsa:3072', '02', '-pkeyopt', 'rsa_padding_mode:pss', '-pkeyopt', 'rsa_pss_saltlen:digest'],
    ['EC:prime256v1', '03'],
    ['EC:secp384r1', '04'],
  ] as const) {
    const label = `key${id}`;
    const identity = await makeIdentity(t, sidekey, dir, { type, id, label });
    const what = ['-rawin', '-digest', 'sha256', ...padding, '-in', data];
    const key = [...ENGINE, '-inkey', identity.uri];
    await must(t, 'openssl', ['pkeyutl', '-sign', ...what, ...key, '-out', signature], { env });
    const certificate = ['-certin', '-inkey', identity.certificate, '-sigfile', signature];
    const good = without('pkeyutl', '-verify', ...what, ...certificate);
    t.equal(good.status, 0, `${type}: ${good.text}`);
    const forged = readFileSync(signature);
    forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1);
    writeFileSync(signature, forged);
    t.not(without('pkeyutl', '-verify', ...what, ...certificate).status, 0, 'and not another signature');
  }
});

t.test('pkeyutl decrypts PKCS 1.5, and OAEP by SHA-256, that openssl encrypted', async (t) => {
  const dir = openDirectory(t);
  const env = environment(sidekey, dir);
  const identity = await makeIdentity(t, sidekey, dir, { id: '05', label: 'decryption' });
  const [plain, sealed] = [join(dir, 'plain'), join(dir, 'sealed')];
  writeFileSync(plain, 'for the token alone');
  for (const padding of [
    [],
    ['-pkeyopt', 'rsa_padding_mode:oaep', '-pkeyopt', 'rsa_oaep_md:sha256', '-pkeyopt', 'rsa_mgf1_md:sha256'],
  ]) {
    const out = [...padding, '-in', plain, '-out', sealed];
    t.equal(without('pkeyutl', '-encrypt', '-certin', '-inkey', identity.certificate, ...out).status, 0);
    const key = [...ENGINE, '-inkey', identity.uri, ...padding, '-in', sealed];
    t.equal(await must(t, 'openssl', ['pkeyutl', '-decrypt', ...key], { env }), 'for the token alone');
  }
});

t.test('pkeyutl agrees on a secret with a key pair made outside', async (t) => {
  const dir = openDirectory(t);
  const env = environment(sidekey, dir);
  const uri = await makeKey(t, sidekey, 'EC:prime256v1', '0c', 'agreement', '--usage-derive');
  const [own, peer, peerPublic] = [join(dir, 'own.pem'), join(dir, 'peer.pem'), join(dir, 'peer-public.pem')];
  await must(
    t,
    'openssl',
    ['pkey', '-engine', 'pkcs11', '-inform', 'engine', '-in', uri, '-pubout', '-out', own],
    {
      env,
    },
  );
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  writeFileSync(peer, privateKey.export({ format: 'pem', type: 'pkcs8' }));
  writeFileSync(peerPublic, publicKey.export({ format: 'pem', type: 'spki' }));
  const derive = ['pkeyutl', '-derive', ...ENGINE, '-inkey', uri, '-peerkey', peerPublic];
  const { bytes, stderr } = await run('openssl', derive, { env });
  t.equal(
    bytes.toString('hex'),
    diffieHellman({ privateKey, publicKey: createPublicKey(readFileSync(own)) }).toString('hex'),
    stderr,
  );
});

t.test('an authority whose key is in the token signs a request, and the chain verifies', async (t) => {
  const dir = openDirectory(t);
  const env = environment(sidekey, dir);
  const authority = await makeIdentity(t, sidekey, dir, {
    type: 'EC:prime256v1',
    id: '06',
    label: 'authority',
    extensions: ['basicConstraints=critical,CA:TRUE'],
  });
  const leaf = await makeIdentity(t, sidekey, dir, { id: '07', label: 'leaf' });
  const [request, issued] = [join(dir, 'request.pem'), join(dir, 'issued.pem')];
  const subject = ['req', '-new', '-subj', '/CN=leaf', ...ENGINE, '-key', leaf.uri, '-out', request];
  await must(t, 'openssl', subject, { env });
  t.match(without('req', '-in', request, '-verify', '-noout').text, /verify OK/);
  const issuer = ['-CA', authority.certificate, '-CAkey', authority.uri, '-CAkeyform', 'engine'];
  const sign = ['x509', '-req', '-in', request, '-engine', 'pkcs11', ...issuer, '-days', '1', '-out', issued];
  await must(t, 'openssl', sign, { env });
  t.match(without('verify', '-CAfile', authority.certificate, issued).text, /issued\.pem: OK/);
});

t.test('cms signs and decrypts', async (t) => {
  const dir = openDirectory(t);
  const env = environment(sidekey, dir);
  const identity = await makeIdentity(t, sidekey, dir, { id: '08', label: 'mail' });
  const [plain, signed, sealed] = [join(dir, 'plain'), join(dir, 'signed'), join(dir, 'sealed')];
  writeFileSync(plain, 'a message of several words');
  const signer = ['-signer', identity.certificate, ...ENGINE, '-inkey', identity.uri];
  const sign = ['cms', '-sign', '-binary', '-nodetach', '-in', plain, '-out', signed, ...signer];
  await must(t, 'openssl', sign, { env });
  const verified = without(
    'cms',
    '-verify',
    '-in',
    signed,
    '-CAfile',
    identity.certificate,
    '-purpose',
    'any',
  );
  t.match(verified.text, /a message of several words/);
  const encrypt = ['-binary', '-aes256', '-in', plain, '-out', sealed, identity.certificate];
  t.equal(without('cms', '-encrypt', ...encrypt).status, 0);
  const recipient = ['-recip', identity.certificate, ...ENGINE, '-inkey', identity.uri];
  const decrypt = ['cms', '-decrypt', '-in', sealed, ...recipient];
  t.equal(await must(t, 'openssl', decrypt, { env }), 'a message of several words');
});

t.test('s_server serves with the key of the token, s_client presents another one', async (t) => {
  const dir = openDirectory(t);
  const env = environment(sidekey, dir);
  const server = await makeIdentity(t, sidekey, dir, { id: '09', label: 'server' });
  const client = await makeIdentity(t, sidekey, dir, { type: 'EC:prime256v1', id: '0a', label: 'client' });
  for (const version of ['-tls1_2', '-tls1_3']) {
    const port = await freePort();
    const key = ['-engine', 'pkcs11', '-keyform', 'engine', '-key', server.uri, '-cert', server.certificate];
    const peer = ['-Verify', '1', '-verify_return_error', '-CAfile', client.certificate];
    const accept = ['s_server', '-accept', `127.0.0.1:${port}`, version, '-www', ...key, ...peer];
    await serve(t, port, 'openssl', accept, { env });
    const own = ['-engine', 'pkcs11', '-keyform', 'engine', '-key', client.uri, '-cert', client.certificate];
    const trust = ['-CAfile', server.certificate, '-verify_return_error'];
    const connect = ['s_client', '-connect', `127.0.0.1:${port}`, version, '-ign_eof', ...own, ...trust];
    const answer = await must(t, 'openssl', connect, { env, input: 'GET / HTTP/1.0\r\n\r\n' });
    t.match(answer, /HTTP\/1\.0 200 ok/);
    t.match(answer, /Client certificate\n/, 'the server saw the certificate of the key in the token');
  }
});

t.test('s_server takes handshakes one after the other from another program', async (t) => {
  const dir = openDirectory(t);
  const server = await makeIdentity(t, sidekey, dir, { type: 'EC:prime256v1', id: '0b', label: 'serial' });
  const port = await freePort();
  const key = ['-engine', 'pkcs11', '-keyform', 'engine', '-key', server.uri, '-cert', server.certificate];
  const accept = ['s_server', '-accept', `127.0.0.1:${port}`, '-quiet', ...key];
  await serve(t, port, 'openssl', accept, { env: environment(sidekey, dir) });
  for (let i = 0; i < 10; i++) {
    const { peer } = await handshake(port, server);
    t.equal(peer.fingerprint256, server.x509.fingerprint256);
  }
});
