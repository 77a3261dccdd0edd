/** What the tests of faults share: certificates, names that resolve while they may, and how a fault is cast and ended. */
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
/** Casts the fault. */
export type Cast = () => Heal | Promise<Heal>;
export type Casts = Readonly<Partial<Record<FaultName, Cast>>>;

export interface FaultScene {
  readonly service: KeyService;
  readonly casts: Casts;
}

/** Where the end of a deadline is waited for, a short one; else one that a slow machine does not miss. */
export type Times = { readonly timeout: string; readonly 'try-timeout': string };

export interface Authority extends Certificates {
  /** Of the same authority. */
  readonly expired: Issued;
  /** For the same names. */
  readonly foreign: Issued;
  /** By which an application shows itself: RSA, and signed by nobody else. */
  readonly app: Issued;
}

/** Once for all tests: it keeps the process busy. */
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
 * The host's resolver cannot be told of names without root. Names of this file are answered while they may be; for what it really says of a name
 * that is not there the system's own is asked.
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

/** A host name of its own, which resolves to this host. */
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
