/** doctor names the cure of a key service that is down, is somebody else, or does not let this host in. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { checkProviders } from '../../src/cli/doctor/checks.ts';
import { KMIP } from '../../src/providers/kmip/kmip-kind.ts';
import { vaultKind } from '../../src/providers/vault/vault-key-service.ts';
import { makeCertificates, makeExpired, serverTls } from '../fakes/certificates.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { FakeVault } from '../fakes/fake-vault.ts';
import { PyKmip } from '../providers/kmip/pykmip.ts';

const SHORT = { timeout: '3s', 'try-timeout': '1s' };
const KINDS = [vaultKind, KMIP];

async function doctor(dir: string, kind: string, given: Record<string, unknown>) {
  const options = KINDS.find((each) => each.kind === kind)?.schema.parse({ kind, ...SHORT, ...given });
  const providers = { it: { kind, options } };
  const config = { file: join(dir, 'sidekey.yaml'), providers, store: { path: join(dir, 'store.db') } };
  const [finding] = await checkProviders(config as unknown as Parameters<typeof checkProviders>[0]);
  return finding;
}

async function vaultScene(t: Test) {
  const dir = t.testdir();
  const certificates = makeCertificates(dir);
  const vault = new FakeVault();
  const token = join(dir, 'token');
  writeFileSync(token, vault.issue('hvs.good'), { mode: 0o600 });
  const server = new FakeService(vault.handle, serverTls(certificates));
  await server.start();
  t.teardown(() => server.stop());
  const auth = { method: 'token', 'token-file': token };
  const options = { address: server.url, key: 'kek', auth, 'ca-file': certificates.ca };
  const ask = (more: Record<string, unknown> = {}) => doctor(dir, 'vault', { ...options, ...more });
  return { dir, token, server, ask };
}

t.test('a service that is well has no cure', async (t) => {
  const { ask } = await vaultScene(t);
  const finding = await ask();
  t.match(finding, { name: 'provider it', verdict: 'ok' });
  t.equal(finding?.cure, undefined);
});

t.test('an unreachable service: nothing listens, or its name does not resolve', async (t) => {
  const { server, ask } = await vaultScene(t);
  await server.stop();
  t.match(await ask(), {
    verdict: 'bad',
    detail: /ECONNREFUSED/,
    cure: /^nothing listens there: check host and port/,
  });
  const nowhere = await ask({ address: 'https://vault.invalid' });
  t.match(nowhere, {
    verdict: 'bad',
    detail: /vault\.invalid/,
    cure: /name does not resolve|explain provider_unr/,
  });
});

t.test('a service that hangs', async (t) => {
  const { server, ask } = await vaultScene(t);
  server.fail({ is: 'hang' });
  t.match(await ask(), { verdict: 'bad', detail: /no answer within/, cure: /explain provider_unreachable/ });
});

t.test('wrong credentials: the service says no, and the cure says where they are set', async (t) => {
  const { token, ask } = await vaultScene(t);
  writeFileSync(token, 'hvs.wrong');
  const finding = await ask();
  t.match(finding, { verdict: 'bad', cure: /^check auth \(its files, role and mount\)/ });
  t.notMatch(JSON.stringify(finding), /hvs\./, 'nothing of them is told');
});

t.test('a wrong authority, and a certificate past its end', async (t) => {
  const { dir, ask } = await vaultScene(t);
  const elsewhere = join(dir, 'other');
  mkdirSync(elsewhere);
  const other = makeCertificates(elsewhere);
  t.match(await ask({ 'ca-file': other.ca }), {
    verdict: 'bad',
    detail: /TLS/,
    cure: /^set ca-file to the auth/,
  });
  const expired = makeExpired(elsewhere);
  const late = new FakeService(() => ({ status: 500 }), serverTls({ ...other, server: expired }));
  await late.start();
  t.teardown(() => late.stop());
  t.match(await ask({ address: late.url, 'ca-file': other.ca }), {
    verdict: 'bad',
    cure: /^renew the service's certificate/,
  });
});

t.test('KMIP: another authority, a client that the server does not know, nothing listens', async (t) => {
  const server = await PyKmip.start(t);
  const dir = t.testdir({ other: {} });
  const other = makeCertificates(join(dir, 'other'));
  chmodSync(other.client.key, 0o600);
  const [right, { client }] = [server.options('1'), other];
  const ask = (more: Record<string, unknown>) => doctor(dir, 'kmip', { ...right, ...more });
  t.match(await ask({ 'ca-file': other.ca }), { verdict: 'bad', cure: /^set ca-file to the authority/ });
  const stranger = { 'certificate-file': client.certificate, 'key-file': client.key };
  t.match(await ask(stranger), { verdict: 'bad', cure: /^check certificate-file and key-file/ });
  await server.stop();
  t.match(await ask({}), { verdict: 'bad', cure: /^nothing listens there/ });
});

t.test('a file that is not there: make it, the network is not to blame', async (t) => {
  const { dir, ask } = await vaultScene(t);
  const auth = { method: 'token', 'token-file': join(dir, 'nowhere') };
  t.match(await ask({ auth }), { verdict: 'bad', detail: /nowhere/, cure: /^create that file/ });
  const local = {
    kind: 'embedded',
    keyFile: join(dir, 'kek'),
    passphraseFile: null,
    systemdCredential: null,
  };
  const config = { file: join(dir, 'sidekey.yaml'), providers: { local }, store: { path: join(dir, 'db') } };
  const [finding] = await checkProviders(config as unknown as Parameters<typeof checkProviders>[0]);
  t.match(finding, { verdict: 'bad', detail: /kek/, cure: /^create that file/ });
});
