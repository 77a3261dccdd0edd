// AWS KMS by local-kms (Go), an implementation of its own beside moto and ministack: encryption contexts that bind, disabled keys that are of no use,
// and keys pending deletion. It looks at no signature.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { awsKind } from '../../src/providers/aws/aws-key-service.ts';
import { temporaryDirectory } from '../e2e/instance.ts';
import { TcpGate } from '../fakes/tcp-gate.ts';
import { testContract } from '../providers/contract.ts';
import { NO_AGREEMENT, testResidentKeys } from '../providers/resident-contract.ts';
import { buildGo } from './go-program.ts';

for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
const REGION = 'eu-central-1';
const credentials = join(temporaryDirectory(t), 'credentials');
writeFileSync(credentials, '[default]\naws_access_key_id=AKIAEXAMPLE\naws_secret_access_key=example\n');
const port = await startServer(t);

async function startServer(t: Test): Promise<number> {
  const child = spawn(buildGo('local-kms'), [temporaryDirectory(t)], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.teardown(() => child.kill('SIGKILL'));
  const [said] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => [''])]);
  if (Number(said) > 0) return Number(said);
  throw new Error('local-kms did not start');
}

/** As an operator: what the adapter cannot do. */
async function kms(operation: string, parameters: object): Promise<Record<string, unknown>> {
  const scope = `AKIAEXAMPLE/20260101/${REGION}/kms/aws4_request`;
  const headers = {
    'content-type': 'application/x-amz-json-1.1',
    'x-amz-target': `TrentService.${operation}`,
    authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
  };
  const body = JSON.stringify(parameters);
  const reply = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body });
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${operation}: ${reply.status} ${text}`);
  return text === '' ? {} : JSON.parse(text);
}

async function makeKek(): Promise<string> {
  const { KeyMetadata } = await kms('CreateKey', {});
  return String(Reflect.get(Object(KeyMetadata), 'Arn'));
}

/** Making RSA keys takes its time. */
const SLOW = { timeout: '8s', 'try-timeout': '7s' };

function makeService(t: Test, keyId: string, endpoint: string, more: object = {}) {
  const options = {
    ...{ kind: 'aws-kms', region: REGION, 'key-id': keyId, endpoint, 'credentials-file': credentials },
    ...{ timeout: '3s', 'try-timeout': '1s', ...more },
  };
  const deps = { name: 'local-kms', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes };
  const service = awsKind.create(awsKind.schema.parse(options), { ...deps, resolvePath: (path) => path });
  t.teardown(() => service.close());
  return service;
}

testContract(t, 'aws-kms by local-kms', async (t) => {
  const KeyId = await makeKek();
  const gate = new TcpGate(port);
  await gate.open();
  t.teardown(() => gate.close());
  return {
    service: makeService(t, KeyId, gate.url),
    overallMs: 3000,
    deny: () => kms('DisableKey', { KeyId }).then(() => undefined),
    allow: () => kms('EnableKey', { KeyId }).then(() => undefined),
    stop: () => gate.close(),
    start: () => gate.open(),
    hang: () => gate.hold(),
    resume: () => gate.release(),
  };
});

/** It has no Ed25519 and no ML-DSA, and its PSS has not the digest's length of salt, as AWS's has: RSA is for decryption here. */
testResidentKeys(t, 'AWS KMS by local-kms', async (t) => {
  const keys = makeService(t, 'alias/none', `http://127.0.0.1:${port}`, SLOW).resident;
  if (keys === null || keys === undefined) throw new Error('no resident keys');
  const curves = ['ec-p256', 'ec-p384', 'ec-p521', 'ec-secp256k1'] as const;
  return {
    keys,
    specs: [...curves, 'generic', 'rsa-2048'],
    uses: { ...NO_AGREEMENT, 'rsa-2048': [['decrypt']] },
  };
});

t.test('a KEK that is pending deletion opens nothing, until the deletion is cancelled', async (t) => {
  const KeyId = await makeKek();
  const service = makeService(t, KeyId, `http://127.0.0.1:${port}`);
  const { plaintext, wrapped } = await service.generateDataKey('token 1');
  await kms('ScheduleKeyDeletion', { KeyId, PendingWindowInDays: 7 });
  await t.rejects(service.unwrapDataKey(wrapped, 'token 1'), {
    code: 'provider_refused',
    message: /KMSInvalidStateException/,
  });
  await kms('CancelKeyDeletion', { KeyId });
  await kms('EnableKey', { KeyId });
  t.same(await service.unwrapDataKey(wrapped, 'token 1'), plaintext);
});
