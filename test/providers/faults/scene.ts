/** Shared by the fault tests: certificates, host names whose resolution can be switched off, and starting and ending a fault. */
import { execFileSync } from 'node:child_process';
import dns from 'node:dns';
import { randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { SYSTEM_CLOCK } from '../../../src/clock.ts';
import { createLogger } from '../../../src/log/logger.ts';
import type { KeyService, KeyServiceDeps } from '../../../src/providers/key-service.ts';
import { makeCertificates, makeExpired, type Certificates, type Issued } from '../../fakes/certificates.ts';
import type { FaultName } from './matrix.ts';

/** Ends the fault. */
export type Heal = () => unknown;
/** Starts the fault. */
export type Cast = () => Heal | Promise<Heal>;
export type Casts = Readonly<Partial<Record<FaultName, Cast>>>;

export interface FaultScene {
  readonly service: KeyService;
  readonly casts: Casts;
}

/** Short for tests that wait for the deadline; otherwise long enough for a slow machine. */
export type Times = { readonly timeout: string; readonly 'try-timeout': string };

export interface Authority extends Certificates {
  /** From the same certificate authority. */
  readonly expired: Issued;
  /** For the same names. */
  readonly foreign: Issued;
  /** The certificate with which an application authenticates: RSA, self-signed. */
  readonly app: Issued;
}

/** Made once for all tests: it is slow. */
function makeApp(dir: string): Issued {
  const app = { certificate: join(dir, 'app.crt'), key: join(dir, 'app.key') };
  const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=app', '-keyout', app.key];
  execFileSync('openssl', [...args, '-out', app.certificate], { stdio: 'ignore' });
  chmodSync(app.key, 0o600);
  return app;
}

/** `dir` and `other` are empty folders. */
export function makeAuthority(dir: string, other: string): Authority {
  const certificates = makeCertificates(dir);
  chmodSync(certificates.client.key, 0o600);
  return {
    ...certificates,
    expired: makeExpired(dir),
    foreign: makeCertificates(other).server,
    app: makeApp(dir),
  };
}

const DOMAIN = 'services.invalid';
const resolving = new Set<string>();
const systemLookup = dns.lookup;

/**
 * Adding names to the host's resolver requires root. Names of this file are resolved here unless switched off; for the real error of
 * a missing name, the system's resolver is asked.
 */
function lookup(name: string, options: dns.LookupOptions, done: (...answer: unknown[]) => void): void {
  if (!resolving.has(name)) return Reflect.apply(systemLookup, dns, [name, options, done]) as undefined;
  const address = { address: '127.0.0.1', family: 4 };
  process.nextTick(() => (options.all ? done(null, [address]) : done(null, address.address, 4)));
}
Reflect.set(dns, 'lookup', lookup);

export interface Name {
  readonly name: string;
  appear(): void;
  vanish(): void;
}

/** A new host name that resolves to this host. */
export function makeName(): Name {
  const name = `s${randomBytes(6).toString('hex')}.${DOMAIN}`;
  const made = {
    name,
    appear: () => void resolving.add(name),
    vanish: () => void resolving.delete(name),
  };
  made.appear();
  return made;
}

export function depsIn(dir: string, kind: string): KeyServiceDeps {
  return {
    name: kind,
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => (path.startsWith('/') ? path : `${dir}/${path}`),
  };
}
