/** curl with a client certificate whose key never leaves the token, against a server that asks for it. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { generateKeyPairSync } from 'node:crypto';
import forge from 'node-forge';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import { environment, makeIdentity, openDirectory, run, type Identity } from './application.ts';

const sidekey = await startInstance(t);
const dir = openDirectory(t);
const env = environment(sidekey, dir);

/** A server whose own key is nobody's secret; it says which client certificate proved itself. */
async function startServer(client: Identity, maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<number> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.validity.notAfter = new Date(Date.now() + 3_600_000);
  certificate.setSubject([{ name: 'commonName', value: 'server' }]);
  certificate.setIssuer([{ name: 'commonName', value: 'server' }]);
  certificate.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create());
  const tls = { key: privateKey, cert: forge.pki.certificateToPem(certificate), maxVersion };
  const ask = { ca: readFileSync(client.certificate), requestCert: true, rejectUnauthorized: true };
  const server = createServer({ ...tls, ...ask }, (request, response) => {
    const peer = (request.socket as TLSSocket).getPeerCertificate();
    response.end(`${(request.socket as TLSSocket).authorized} ${peer.fingerprint256}`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

for (const [type, id] of [
  ['rsa:2048', '31'],
  ['EC:prime256v1', '32'],
] as const) {
  t.test(`curl proves itself by a ${type} key of the token`, async (t) => {
    const client = await makeIdentity(t, sidekey, dir, { type, id, label: `client${id}` });
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const port = await startServer(client, version);
      const key = ['--engine', 'pkcs11', '--key-type', 'ENG', '--key', client.uri];
      const url = ['--silent', '--show-error', '--insecure', `https://127.0.0.1:${port}/`];
      const { status, stdout, stderr } = await run('curl', [...key, '--cert', client.certificate, ...url], {
        env,
      });
      t.equal(status, 0, stderr);
      t.equal(stdout, `true ${client.x509.fingerprint256}`, version);
      t.not((await run('curl', url, { env })).status, 0, 'without the key there is no answer');
    }
  });
}
