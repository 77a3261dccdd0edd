/** A KMIP server whose data keys are its objects and are fetched wrapped, with the test's own transport key. */
import { constants, generateKeyPairSync, privateDecrypt, randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import type { Test } from 'tap';
import { SYSTEM_CLOCK } from '../../../src/clock.ts';
import { createLogger } from '../../../src/log/logger.ts';
import type { Carried, KeyService } from '../../../src/providers/key-service.ts';
import { KMIP } from '../../../src/providers/kmip/kmip-kind.ts';
import { isAtLeast, type KmipVersion } from '../../../src/providers/kmip/message.ts';
import { FakeKmip } from '../../fakes/fake-kmip.ts';
import { FakeKmipKeys } from '../../fakes/fake-kmip-keys.ts';
import { testContract } from '../contract.ts';

const DEADLINE_MS = 3000;
export const PURPOSE = 'token 0123456789abcdef';

// RSA key pairs are slow to generate: two for all tests.
const TRANSPORTS = [0, 1].map(() => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { key: privateKey, info: publicKey.export({ format: 'der', type: 'spki' }) };
});

export function openCarried({ bytes, hash: oaepHash, headBytes }: Carried, which = 0): Buffer {
  const transport = TRANSPORTS[which];
  if (!transport) throw new Error('no such transport key');
  const { key } = transport;
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return privateDecrypt({ key, padding, oaepHash }, bytes).subarray(headBytes);
}

export function carriedBy({ carried }: KeyService): NonNullable<KeyService['carried']> {
  if (!carried) throw new Error('nothing is carried');
  return carried;
}

export async function scene(t: Test, version: KmipVersion = { major: 2, minor: 1 }) {
  const held = new FakeKmipKeys(version);
  let isHanging = false;
  const server = await FakeKmip.start(t.testdir(), (socket, request) => {
    if (!isHanging) held.script(socket, request);
  });
  const kek = held.addActive('kek');
  const { ca, client } = server.certificates;
  chmodSync(client.key, 0o600);
  const files = { 'ca-file': ca, 'certificate-file': client.certificate, 'key-file': client.key };
  const options = { kind: 'kmip', host: '127.0.0.1', port: server.port, ...files, 'key-id': kek };
  const times = { timeout: `${DEADLINE_MS}ms`, 'try-timeout': '1s' };
  const connect = (extra: object = { 'data-keys': 'at-server' }): KeyService =>
    KMIP.create(KMIP.schema.parse({ ...options, ...times, ...extra }), {
      name: 'kmip',
      log: createLogger('silent'),
      clock: SYSTEM_CLOCK,
      random: randomBytes,
      resolvePath: (path) => path,
    });
  const service = connect();
  t.teardown(async () => {
    await service.close();
    await server.close();
  });
  const carried = carriedBy(service);
  return { held, server, kek, service, carried, connect, hang: (is: boolean) => (isHanging = is) };
}

export const info = TRANSPORTS[0]?.info ?? Buffer.alloc(0);
export const otherInfo = TRANSPORTS[1]?.info ?? Buffer.alloc(0);

/** Runs with servers of one version. */
export function testVersion(t: Test, version: KmipVersion): void {
  const { major, minor } = version;
  testContract(t, `KMIP ${major}.${minor}, data keys at the server`, async (t) => {
    const { held, server, kek, service, carried, hang } = await scene(t, version);
    const asBytes: KeyService = {
      ...service,
      async generateDataKey(purpose) {
        const made = await carried.generate(purpose, info);
        return { plaintext: openCarried(made.carried), wrapped: made.wrapped };
      },
      unwrapDataKey: async (wrapped, purpose) => openCarried(await carried.open(wrapped, purpose, info)),
    };
    return {
      service: asBytes,
      overallMs: DEADLINE_MS,
      // RNG Retrieve exists since 1.2.
      ...(isAtLeast(version, 1, 2) ? {} : { refusesRandom: true as const }),
      credentialSeconds: [3600, 400 * 86_400],
      deny: () => held.setState(kek, 'Deactivated'),
      allow: () => held.setState(kek, 'Active'),
      stop: () => server.close(),
      start: () => server.open(),
      hang: () => void hang(true),
      resume: () => void hang(false),
    };
  });
}
