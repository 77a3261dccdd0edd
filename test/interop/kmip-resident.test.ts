// An unchanged program on keys that never leave a KMIP server: PyKMIP.
import t from 'tap';
import { PyKmip } from '../providers/kmip/pykmip.ts';
import { startResident, usePair } from './resident-program.ts';

t.test('pkcs11-tool makes, uses and destroys an RSA pair that stays in PyKMIP', async (t) => {
  const server = await PyKmip.start(t);
  const id = await server.makeKey('aes');
  const options = server.options(id);
  const yaml = Object.entries(options).map(([key, value]) => `    ${key}: ${JSON.stringify(value)}\n`);
  const instance = await startResident(t, yaml.join(''));
  await usePair(t, instance, { keyType: 'rsa:2048', mechanism: 'SHA256-RSA-PKCS', hash: 'sha256' });
});
