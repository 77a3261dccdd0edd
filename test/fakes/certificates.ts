/** Certificates for one test: an authority, a server for 127.0.0.1, ::1, localhost and *.services.invalid, and a client. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Certificates {
  readonly ca: string;
  readonly server: { readonly certificate: string; readonly key: string };
  readonly client: { readonly certificate: string; readonly key: string };
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

export interface Issued {
  readonly certificate: string;
  readonly key: string;
}

function issue(dir: string, name: string, extensions: string, days = 2, subject = name): Issued {
  const [key, request, certificate] = [`${name}.key`, `${name}.csr`, `${name}.crt`].map((file) =>
    join(dir, file),
  ) as [string, string, string];
  const config = join(dir, `${name}.ext`);
  writeFileSync(config, extensions);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', ...curve, '-keyout', key, '-out', request, '-subj', `/CN=${subject}`);
  const by = [
    '-CA',
    join(dir, 'ca.crt'),
    '-CAkey',
    join(dir, 'ca.key'),
    '-CAcreateserial',
    '-days',
    `${days}`,
  ];
  openssl('x509', '-req', '-in', request, ...by, '-out', certificate, '-extfile', config);
  return { certificate, key };
}

export function makeCertificates(dir: string): Certificates {
  const ca = join(dir, 'ca.crt');
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...curve,
    '-keyout',
    join(dir, 'ca.key'),
    '-out',
    ca,
    '-subj',
    '/CN=test authority',
  );
  const server = issue(
    dir,
    'server',
    'subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost,DNS:*.services.invalid\nextendedKeyUsage=serverAuth\n',
  );
  const client = issue(dir, 'client', 'extendedKeyUsage=clientAuth\n');
  return { ca, server, client };
}

/** The same authority's, for a server, past its end. */
export function makeExpired(dir: string): Issued {
  return issue(dir, 'expired', 'subjectAltName=IP:127.0.0.1,DNS:*.services.invalid\n', -1);
}

/** The same authority's, for the same client, past its end. */
export function makeExpiredClient(dir: string): Issued {
  return issue(dir, 'expired-client', 'extendedKeyUsage=clientAuth\n', -1, 'client');
}

/** The same authority's, for a server of these names. */
export function makeNamed(dir: string, names: readonly string[]): Issued {
  const extension = `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}\n`;
  return issue(dir, 'named', `${extension}extendedKeyUsage=serverAuth\n`);
}

/** For node:https. */
export function serverTls({ ca, server }: Certificates): { ca: Buffer; cert: Buffer; key: Buffer } {
  return { ca: readFileSync(ca), cert: readFileSync(server.certificate), key: readFileSync(server.key) };
}
