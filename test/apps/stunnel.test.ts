/** stunnel in front of a plain server, with its key in the token. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { environment, freePort, handshake, makeIdentity, openDirectory, serve } from './application.ts';

t.test('stunnel takes many handshakes at once with the key of the token', async (t) => {
  const sidekey = await startInstance(t);
  const dir = openDirectory(t);
  const identity = await makeIdentity(t, sidekey, dir);
  const plain = createServer((socket) =>
    socket.once('data', (chunk) => socket.end(`plain ${chunk.toString('utf8')}`)),
  );
  plain.listen(0, '127.0.0.1');
  await once(plain, 'listening');
  t.teardown(() => plain.close());
  const address = plain.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const port = await freePort();
  const configuration = join(dir, 'stunnel.conf');
  writeFileSync(
    configuration,
    `foreground = yes
pid =
engine = pkcs11
engineCtrl = MODULE_PATH:${MODULE}
engineCtrl = PIN:${PIN}
engineDefault = ALL
[service]
accept = 127.0.0.1:${port}
connect = 127.0.0.1:${address.port}
cert = ${identity.certificate}
engineId = pkcs11
key = ${identity.uri}
`,
  );
  // Without OPENSSL_CONF: stunnel's own configuration sets the engine up.
  const { OPENSSL_CONF: _, ...env } = environment(sidekey, dir);
  await serve(t, port, 'stunnel4', [configuration], { env });
  const all = await Promise.all(
    Array.from({ length: 8 }, (_, i) => handshake(port, identity, { send: `message ${i}` })),
  );
  for (const [i, { peer, answer }] of all.entries()) {
    t.equal(peer.fingerprint256, identity.x509.fingerprint256);
    t.equal(answer, `plain message ${i}`);
  }
});
