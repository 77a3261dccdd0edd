// node-vault through its transit operations: transit-client.mjs NODE_MODULES SOCKET. Prints what it was answered.
import { Agent } from 'node:http';
import { createRequire } from 'node:module';

const [modules, socketPath] = process.argv.slice(2);
const createClient = createRequire(`${modules}/`)('node-vault');
const client = createClient({
  endpoint: 'http://localhost',
  token: 'means nothing',
  requestOptions: { httpAgent: new Agent({ socketPath }) },
});
const plaintext = Buffer.from('seventeen camels').toString('base64');
const health = await client.health();
await client.transitCreateKey({ name: 'orders', type: 'aes256-gcm96' });
const { ciphertext } = (await client.encryptData({ name: 'orders', plaintext })).data;
await client.write('transit/keys/orders/rotate', {});
const rewrapped = (await client.rewrapData({ name: 'orders', ciphertext })).data;
const opened = (await client.decryptData({ name: 'orders', ciphertext: rewrapped.ciphertext })).data;
const batch = await client.encryptData({ name: 'orders', batch_input: [{ plaintext }, { plaintext }] });
const refused = await client.decryptData({ name: 'orders', ciphertext: 'vault:v9:AAAA' }).catch((error) => error);
const key = (await client.transitReadKey({ name: 'orders' })).data;
const { keys } = (await client.transitListKeys()).data;
await client.write('transit/keys/orders/config', { deletion_allowed: true });
await client.transitDeleteKey({ name: 'orders' });
const gone = await client.transitReadKey({ name: 'orders' }).catch((error) => error);
console.log(
  JSON.stringify({
    sealed: health.sealed,
    rewrapped: rewrapped.ciphertext.split(':')[1],
    opened: Buffer.from(opened.plaintext, 'base64').toString(),
    batch: batch.data.batch_results.length,
    refused: [refused.response.statusCode, refused.message],
    latest: key.latest_version,
    keys,
    gone: gone.response.statusCode,
  }),
);
