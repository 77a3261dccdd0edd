/** The configuration of a KMIP server. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { callDuration } from '../call-duration.ts';
import { defineKind } from '../key-service.ts';
import { KmipClient } from './client.ts';
import { createKmipKeyService } from './kmip-key-service.ts';
import { formatVersion, VERSIONS } from './message.ts';
import { KmipPool } from './pool.ts';
import { certificateEnd } from './tls-files.ts';
import { KEY_ID_MAX_BYTES } from './wrapped-blob.ts';

/** Encrypt came with 1.2. */
const WITHOUT_ENCRYPT: readonly string[] = ['1.1', '1.0'];

const path = z.string().min(1, 'a path is not empty');
const keyId = z
  .string()
  .min(1)
  .refine((id) => Buffer.byteLength(id) <= KEY_ID_MAX_BYTES, `at most ${KEY_ID_MAX_BYTES} bytes`);

const schema = z
  .strictObject({
    kind: z.literal('kmip'),
    host: z.string().min(1),
    port: z.int().min(1).max(65535).default(5696),
    'server-name': z.string().min(1).optional(),
    'ca-file': path,
    'certificate-file': path,
    'key-file': path,
    'key-id': keyId,
    'mac-key-id': keyId.optional(),
    'data-keys': z.enum(['encrypted', 'at-server']).default('encrypted'),
    'newest-version': z.enum(['2.1', '2.0', '1.4', '1.3', '1.2', '1.1', '1.0']).default('2.1'),
    connections: z.int().min(1).max(64).default(4),
    timeout: callDuration.default(8000),
    'try-timeout': callDuration.default(3000),
  })
  .refine((given) => given['mac-key-id'] !== given['key-id'], 'mac-key-id is a key of its own')
  .refine(
    (given) => given['data-keys'] === 'at-server' || !WITHOUT_ENCRYPT.includes(given['newest-version']),
    'KMIP 1.0 and 1.1 have no Encrypt: data-keys: at-server',
  );

export const KMIP = defineKind('kmip', schema, (options, deps) => {
  const { name: provider, clock, random } = deps;
  const { host, port, connections } = options;
  const newest = VERSIONS.find((version) => formatVersion(version) === options['newest-version']);
  const files = {
    ca: deps.resolvePath(options['ca-file']),
    certificate: deps.resolvePath(options['certificate-file']),
    key: deps.resolvePath(options['key-file']),
    ownUid: process.geteuid?.() ?? 0,
  };
  const pool = new KmipPool({
    address: { host, port, serverName: options['server-name'] ?? null },
    files,
    connections,
    clock,
  });
  const client = new KmipClient({
    provider,
    pool,
    newest: newest ?? { major: 2, minor: 1 },
    timeoutMs: options.timeout,
    tryMs: options['try-timeout'],
    clock,
    sleep,
    random,
  });
  const macKeyId = options['mac-key-id'] ?? null;
  const atServer = options['data-keys'] === 'at-server';
  const service = createKmipKeyService({
    ...{ provider, client, keyId: options['key-id'], macKeyId, atServer, random },
  });
  const credentialSecondsLeft = (): number | null => {
    const end = certificateEnd(files);
    return end === null ? null : Math.max(0, Math.round((end - clock.now()) / 1000));
  };
  return { ...service, credentialSecondsLeft };
});
