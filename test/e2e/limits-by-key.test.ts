/** Limits of single keys (`cache.by-key`) as processes have them: a key of PKCS#11, and keys of the HTTP API. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { initInstance, temporaryDirectory } from './instance.ts';

const OWN_MS = 50_000;
const TOKEN_MS = 3_600_000;

const CACHE = `    cache:
      any: 1h
      by-key: [{ keys: ["own*"], any: 50s }]
    login: none
`;

const instance = initInstance(t, {
  edit: (yaml) => yaml.replace(/^    login: .*\n/m, '').replace('    allow:', `${CACHE}    allow:`),
});
await instance.start();

/** Milliseconds left of the lease of each key. */
function leftOf(): Record<string, number> {
  const leases: { kind: string; label: string; leftMs: number }[] = JSON.parse(
    instance.sidekey('cache', 'ls', '--json').stdout,
  );
  return Object.fromEntries(
    leases.filter(({ kind }) => kind !== 'token').map(({ label, leftMs }) => [label, leftMs]),
  );
}

t.test(
  'a key has the limits of the first row that its label fits, by whichever way it is used',
  async (t) => {
    const data = join(temporaryDirectory(t), 'data');
    writeFileSync(data, 'to be signed');
    for (const [label, id] of [
      ['own-pair', '01'],
      ['pair', '02'],
    ] as const) {
      const made = instance.pkcs11Tool(
        '--token-label',
        'test',
        '--keypairgen',
        '--key-type',
        'EC:prime256v1',
        '--label',
        label,
        '--id',
        id,
      );
      t.equal(made.status, 0, made.stderr);
      const how = [
        '--mechanism',
        'ECDSA-SHA256',
        '--id',
        id,
        '--input-file',
        data,
        '--output-file',
        `${data}.sig`,
      ];
      const signed = instance.pkcs11Tool('--token-label', 'test', '--sign', ...how);
      t.equal(signed.status, 0, signed.stderr);
    }
    for (const name of ['own-http', 'http']) {
      t.equal(instance.sidekey('keys', 'create', name).status, 0);
      t.equal(instance.sidekey('encrypt', name, '--in', data).status, 0);
    }
    const left = leftOf();
    for (const label of ['own-pair', 'own-http'])
      t.ok((left[label] ?? 0) > 0 && (left[label] ?? 0) <= OWN_MS, `${label}: ${left[label]} ms`);
    for (const label of ['pair', 'http'])
      t.ok((left[label] ?? 0) > OWN_MS && (left[label] ?? 0) <= TOKEN_MS, `${label}: ${left[label]} ms`);
  },
);
