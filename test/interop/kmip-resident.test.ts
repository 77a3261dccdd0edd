// An unchanged program on keys that never leave a KMIP server: PyKMIP.
import t, { type Test } from 'tap';
import { PyKmip } from '../providers/kmip/pykmip.ts';
import { startResident, usePair } from './resident-program.ts';
import { runResident } from './token-under.ts';

async function startKmip(t: Test): Promise<string> {
  const server = await PyKmip.start(t);
  const options = server.options(await server.makeKey('aes'));
  return Object.entries(options)
    .map(([key, value]) => `    ${key}: ${JSON.stringify(value)}\n`)
    .join('');
}

t.test('pkcs11-tool makes, uses and destroys an RSA pair that stays in PyKMIP', async (t) => {
  const instance = await startResident(t, await startKmip(t));
  await usePair(t, instance, { keyType: 'rsa:2048', mechanism: 'SHA256-RSA-PKCS', hash: 'sha256' });
});

t.test('the program of every provider uses what PyKMIP has', async (t) => {
  t.same(await runResident(t, await startKmip(t)), {
    'the token': 'ok',
    // PyKMIP makes no elliptic keys and no secrets for HMAC, and says so when it is asked.
    'EC P-256': 'C_GenerateKeyPair: 0x30',
    ECDH1_DERIVE: 'C_GenerateKeyPair: 0x30',
    'RSA-2048 for signing': 'ok',
    SHA256_RSA_PKCS: 'ok',
    'RSA_PKCS of a DigestInfo': 'not offered',
    SHA256_RSA_PKCS_PSS: 'not offered',
    'RSA-2048 for decryption': 'ok',
    RSA_PKCS_OAEP: 'not offered',
    'keys wrapped by RSA_PKCS_OAEP': 'not offered',
    'keys wrapped by RSA_AES_KEY_WRAP': 'not offered',
    'generic secret': 'C_GenerateKey: 0x30',
    'AES-256': 'ok',
    AES_GCM: 'ok',
    'keys wrapped by AES_GCM': 'ok',
    'keys wrapped by AES_CBC_PAD': 'ok',
  });
});
