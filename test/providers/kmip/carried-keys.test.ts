// Data keys that are objects of the server and come wrapped (data-keys: at-server): the whole contract of a KEK, with a transport key of the test's own.
import { constants, generateKeyPairSync, privateDecrypt, randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../../src/clock.ts';
import { createLogger } from '../../../src/log/logger.ts';
import type { KeyService } from '../../../src/providers/key-service.ts';
import { KMIP } from '../../../src/providers/kmip/kmip-kind.ts';
import type { KmipVersion } from '../../../src/providers/kmip/message.ts';
import { OPERATION } from '../../../src/providers/kmip/tables.ts';
import { FakeKmip } from '../../fakes/fake-kmip.ts';
import { FakeKmipKeys } from '../../fakes/fake-kmip-keys.ts';
import { testContract } from '../contract.ts';

const DEADLINE_MS = 3000;
const PURPOSE = 'token 0123456789abcdef';

// RSA pairs take long to make: two for all tests.
const TRANSPORTS = [0, 1].map(() => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { key: privateKey, info: publicKey.export({ format: 'der', type: 'spki' }) };
});

function openCarried(carried: Buffer, which = 0): Buffer {
  const transport = TRANSPORTS[which];
  if (!transport) throw new Error('no such transport key');
  const { key } = transport;
  return privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, carried);
}

async function scene(t: Test, version: KmipVersion = { major: 2, minor: 1 }) {
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
  const carried = service.carried;
  if (!carried) throw new Error('nothing is carried');
  return { held, server, kek, service, carried, connect, hang: (is: boolean) => (isHanging = is) };
}

const info = TRANSPORTS[0]?.info ?? Buffer.alloc(0);
const otherInfo = TRANSPORTS[1]?.info ?? Buffer.alloc(0);

for (const [major, minor] of [
  [1, 4],
  [2, 1],
] as const)
  testContract(t, `KMIP ${major}.${minor}, data keys at the server`, async (t) => {
    const { held, server, kek, service, carried, hang } = await scene(t, { major, minor });
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
      credentialSeconds: [3600, 400 * 86_400],
      deny: () => held.setState(kek, 'Deactivated'),
      allow: () => held.setState(kek, 'Active'),
      stop: () => server.close(),
      start: () => server.open(),
      hang: () => void hang(true),
      resume: () => void hang(false),
    };
  });

t.test('what the server gives is wrapped by the registered key, and is its own secret', async (t) => {
  const { held, carried } = await scene(t);
  const made = await carried.generate(PURPOSE, info);
  const [id = ''] = held.idsNamed('sidekey-data-key-');
  t.ok(openCarried(made.carried).equals(held.secretOf(id)));
  t.ok(made.wrapped.includes(id));
  t.equal(carried.owns(made.wrapped), true);
  t.equal(held.asked.filter((each) => each === OPERATION.Register).length, 1);
  t.equal(openCarried(await carried.open(made.wrapped, PURPOSE, info)).length, 32);
  t.equal(held.asked.filter((each) => each === OPERATION.Register).length, 1, 'registered once');
});

t.test('a data key that is deactivated or destroyed is of no use, whatever Get would give', async (t) => {
  const { held, carried } = await scene(t);
  const { wrapped } = await carried.generate(PURPOSE, info);
  const [id = ''] = held.idsNamed('sidekey-data-key-');
  for (const state of ['Deactivated', 'Compromised', 'PreActive'] as const) {
    held.setState(id, state);
    await t.rejects(carried.open(wrapped, PURPOSE, info), {
      code: 'provider_refused',
      message: /is not active/,
    });
  }
  held.setState(id, 'Active');
  t.equal(openCarried(await carried.open(wrapped, PURPOSE, info)).length, 32);
});

t.test('another keeper has another transport key, and the former one is taken away', async (t) => {
  const { held, carried, service } = await scene(t);
  const { wrapped } = await carried.generate(PURPOSE, info);
  const [first] = held.idsNamed('sidekey-transport-');
  const again = await carried.open(wrapped, PURPOSE, otherInfo);
  const [second, ...more] = held.idsNamed('sidekey-transport-');
  t.strictSame([first === second, more], [false, []]);
  t.equal(openCarried(again, 1).length, 32);
  await service.close();
  t.strictSame(held.idsNamed('sidekey-transport-'), [], 'nothing is left behind');
});

t.test(
  'an agent that comes back finds the transport key; one that was destroyed there is registered anew',
  async (t) => {
    const { held, carried, connect } = await scene(t);
    const { wrapped } = await carried.generate(PURPOSE, info);
    const next = connect();
    t.teardown(() => next.close());
    t.equal(openCarried((await next.carried?.open(wrapped, PURPOSE, info)) ?? Buffer.alloc(0)).length, 32);
    t.equal(held.asked.filter((each) => each === OPERATION.Register).length, 1);
    const [transport = ''] = held.idsNamed('sidekey-transport-');
    held.remove(transport);
    t.equal(openCarried(await carried.open(wrapped, PURPOSE, info)).length, 32);
    t.equal(held.idsNamed('sidekey-transport-').length, 1);
  },
);

t.test('a server that gives the key in the clear, or wrapped otherwise, is not believed', async (t) => {
  const { held, carried } = await scene(t);
  const { wrapped } = await carried.generate(PURPOSE, info);
  for (const fault of ['clear', 'other key'] as const) {
    held.wrapFault = fault;
    await t.rejects(carried.open(wrapped, PURPOSE, info), {
      code: 'provider_unreachable',
      message: /did not wrap the key as it was asked/,
    });
  }
  held.wrapFault = null;
  t.equal(openCarried(await carried.open(wrapped, PURPOSE, info)).length, 32);
});

t.test('a data key that cannot be fetched is destroyed again', async (t) => {
  const { held, carried } = await scene(t);
  held.wrapFault = 'clear';
  await t.rejects(carried.generate(PURPOSE, info));
  t.strictSame(held.idsNamed('sidekey-data-key-'), []);
});

t.test('either way of data keys opens under either configuration, and as bytes it is refused', async (t) => {
  const { carried, service, connect } = await scene(t);
  const { wrapped } = await carried.generate(PURPOSE, info);
  const plain = connect({});
  t.teardown(() => plain.close());
  t.equal(plain.carried?.makes, false);
  t.equal(openCarried((await plain.carried?.open(wrapped, PURPOSE, info)) ?? Buffer.alloc(0)).length, 32);
  const sealed = await plain.generateDataKey(PURPOSE);
  t.equal(carried.owns(sealed.wrapped), false);
  t.ok((await service.unwrapDataKey(sealed.wrapped, PURPOSE)).equals(sealed.plaintext));
  await t.rejects(service.unwrapDataKey(wrapped, PURPOSE), {
    code: 'provider_refused',
    message: /given out wrapped alone/,
  });
});

t.test('programs see no data key, whatever their prefix, and make none of its name', async (t) => {
  const { carried, service } = await scene(t);
  await carried.generate(PURPOSE, info);
  t.strictSame(await service.resident?.list('', 10), []);
  const wanted = { spec: 'aes-256', sizeBits: 256, uses: ['decrypt'], ckaId: Buffer.alloc(0) } as const;
  await t.rejects(async () => service.resident?.create({ ...wanted, name: 'sidekey-data-key-mine' }), {
    code: 'provider_refused',
    message: /names are those of data keys/,
  });
});
