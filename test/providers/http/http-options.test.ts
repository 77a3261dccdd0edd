/** Permitted addresses of a service: https, or http on this host. */
import t from 'tap';
import { serviceUrl } from '../../../src/providers/http/http-options.ts';

t.test('https goes anywhere, http to this host alone, whatever stands before the host', async (t) => {
  for (const good of [
    'https://kms.example:8200',
    'http://127.0.0.1:8200',
    'http://[::1]',
    'http://localhost/v',
  ])
    t.ok(serviceUrl.safeParse(good).success, good);
  for (const bad of [
    ...[
      'http://kms.example',
      'http://127.0.0.1:80@kms.example/',
      'http://localhost:a@kms.example',
      'ftp://x',
    ],
    ...['http://127.0.0.1.example', 'https://user:secret@kms.example', 'unix:///run/vault.sock', ''],
  ])
    t.notOk(serviceUrl.safeParse(bad).success, bad);
});
