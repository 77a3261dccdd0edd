// Keys of type ml-dsa over HTTP, with the keeper's OpenSSL 3.5; signatures are verified, and made, by Node's own.
import { createPublicKey, randomBytes, verify } from 'node:crypto';
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import { transitClient } from '../e2e/transit-client.ts';
import { startLater } from './later-openssl.ts';

const SIGNATURE_BYTES = { '44': 2420, '65': 3309, '87': 4627 } as const;

t.test('keys of type ml-dsa are made, rotated, shown, and sign', { timeout: 120_000 }, async (t) => {
  const call = transitClient(await startLater(t));
  for (const [parameter_set, bytes] of Object.entries(SIGNATURE_BYTES)) {
    const name = `k${parameter_set}`;
    const made = await call('POST', `/transit/keys/${name}`, { type: 'ml-dsa', parameter_set });
    t.match([made.status, made.data], [200, { type: 'ml-dsa', parameter_set, supports_signing: true }]);
    t.equal((await call('POST', `/transit/keys/${name}/rotate`)).data['latest_version'], 2);
    const { keys } = (await call('GET', `/transit/keys/${name}`)).data as {
      keys: Record<string, { name: string; public_key: string }>;
    };
    t.equal(keys['2']?.name, `ml-dsa-${parameter_set}`);
    t.not(keys['1']?.public_key, keys['2']?.public_key);
    const message = randomBytes(parameter_set === '65' ? 300_000 : 100);
    const input = message.toString('base64');
    const { status, data } = await call('POST', `/transit/sign/${name}`, { input });
    const signature = String(data['signature']);
    t.match([status, signature], [200, /^vault:v2:/]);
    const raw = Buffer.from(signature.slice('vault:v2:'.length), 'base64');
    t.equal(raw.length, bytes);
    t.ok(verify(null, message, createPublicKey(keys['2']?.public_key ?? ''), raw), 'Node agrees');
    const valid = async (body: object) =>
      (await call('POST', `/transit/verify/${name}`, { input, signature, ...body })).data['valid'];
    t.equal(await valid({}), true);
    t.equal(await valid({ input: Buffer.from('another').toString('base64') }), false);
    t.equal(await valid({ signature: signature.replace(':v2:', ':v1:') }), false, 'by the other version');
    const batch_input = [{ input }, { input: '!' }, { input: '' }];
    const { batch_results: rows } = (await call('POST', `/transit/sign/${name}`, { batch_input })).data as {
      batch_results: object[];
    };
    t.match(rows, [{ signature: /^vault:v2:/ }, { error: /base64/ }, { signature: /^vault:v2:/ }]);
    const shown = await call('GET', `/transit/export/public-key/${name}/2`);
    t.same(shown.data['keys'], { 2: keys['2']?.public_key });
  }
  const refused = async (path: string, body: object | undefined, error: RegExp) => {
    const answer = await call(body === undefined ? 'GET' : 'POST', `/transit/${path}`, body);
    t.match([answer.status, answer.errors], [400, [error]], path);
  };
  const input = randomBytes(32).toString('base64');
  await refused('sign/k44', { input, prehashed: true }, /prehashed is not for key type ml-dsa/);
  await refused('encrypt/k44', { plaintext: input }, /does not support encryption/);
  await refused('verify/k44', { input, signature: 'vault:v3:AAAA' }, /too new/);
  await refused('export/signing-key/k44', undefined, /has no signing-key/);
  const wanted = { type: 'ml-dsa', parameter_set: '65', derived: true };
  await refused('keys/derived', wanted, /only for keys of type/);
});

t.test('an OpenSSL without ML-DSA is told as that', async (t) => {
  const call = transitClient(await startInstance(t));
  const made = await call('POST', '/transit/keys/k', { type: 'ml-dsa', parameter_set: '65' });
  t.match([made.status, made.errors], [400, [/ml-dsa is not available on this token; it needs OpenSSL 3.5/]]);
  t.equal((await call('GET', '/transit/keys/k')).status, 404);
});
