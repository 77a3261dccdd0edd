/** The configuration keys that every key service over HTTP has, and what is made of them. */
import { z } from 'zod';
import { SYSTEM_TIMER } from '../../clock.ts';
import { duration } from '../../config/units.ts';
import type { KeyServiceDeps } from '../key-service.ts';
import { HttpClient } from './http-client.ts';
import { ServiceCaller } from './service-call.ts';
import type { TlsPaths } from './tls-files.ts';

/** Below the ten seconds after which a module's call ends. */
const TIMEOUT_MAX_MS = 9000;

const boundedDuration = duration.refine(
  (ms) => ms >= 50 && ms <= TIMEOUT_MAX_MS,
  'at least 50ms, at most 9s',
);

export const httpKeys = {
  'ca-file': z.string().min(1).optional(),
  timeout: boundedDuration.default(8000),
  'try-timeout': boundedDuration.default(3000),
};

export interface HttpOptions {
  readonly 'ca-file'?: string | undefined;
  readonly 'client-certificate-file'?: string | undefined;
  readonly 'client-key-file'?: string | undefined;
  readonly timeout: number;
  readonly 'try-timeout': number;
}

const LOOPBACK: readonly string[] = ['127.0.0.1', '[::1]', 'localhost'];

/** A secret travels there: in the clear on this host only. */
export const serviceUrl = z
  .url({ protocol: /^https?$/ })
  .refine(
    (text) => text.startsWith('https:') || LOOPBACK.includes(URL.parse(text)?.hostname ?? ''),
    'https, or http on loopback',
  )
  .refine((text) => {
    const { username = '', password = '' } = URL.parse(text) ?? {};
    return username === '' && password === '';
  }, 'no user and no password: credentials have keys of their own');

export function tlsPaths(options: HttpOptions, resolvePath: (path: string) => string): TlsPaths {
  const at = (path: string | undefined) => (path === undefined ? null : resolvePath(path));
  return {
    ca: at(options['ca-file']),
    certificate: at(options['client-certificate-file']),
    key: at(options['client-key-file']),
  };
}

export interface Transport {
  readonly http: HttpClient;
  readonly caller: ServiceCaller;
}

export function createTransport(options: HttpOptions, deps: KeyServiceDeps): Transport {
  const http = new HttpClient({ tls: tlsPaths(options, deps.resolvePath) });
  const { clock, random } = deps;
  const { timeout: overallMs, 'try-timeout': tryMs } = options;
  return { http, caller: new ServiceCaller({ http, clock, random, timer: SYSTEM_TIMER, tryMs, overallMs }) };
}
