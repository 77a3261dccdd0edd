// Data keys that are objects of the server and are fetched wrapped (data-keys: at-server): the contract of a KEK, with the test's own transport key.
import t from 'tap';
import { OPERATION } from '../../../src/providers/kmip/tables.ts';
import { carriedBy, info, openCarried, otherInfo, PURPOSE, scene, testVersion } from './carried-scene.ts';

testVersion(t, { major: 1, minor: 4 });
testVersion(t, { major: 2, minor: 1 });

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
    t.equal(openCarried(await carriedBy(next).open(wrapped, PURPOSE, info)).length, 32);
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
      message: /did not wrap the key as requested/,
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
  t.equal(openCarried(await carriedBy(plain).open(wrapped, PURPOSE, info)).length, 32);
  const sealed = await plain.generateDataKey(PURPOSE);
  t.equal(carried.owns(sealed.wrapped), false);
  t.ok((await service.unwrapDataKey(sealed.wrapped, PURPOSE)).equals(sealed.plaintext));
  await t.rejects(service.unwrapDataKey(wrapped, PURPOSE), {
    code: 'provider_refused',
    message: /returns it only wrapped/,
  });
});

t.test('programs see no data key, whatever their prefix, and make none of its name', async (t) => {
  const { carried, service } = await scene(t);
  await carried.generate(PURPOSE, info);
  t.strictSame(await service.resident?.list('', 10), []);
  const wanted = { spec: 'aes-256', sizeBits: 256, uses: ['decrypt'], ckaId: Buffer.alloc(0) } as const;
  await t.rejects(async () => service.resident?.create({ ...wanted, name: 'sidekey-data-key-mine' }), {
    code: 'provider_refused',
    message: /reserved for data keys/,
  });
});
