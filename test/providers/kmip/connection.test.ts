import { randomBytes } from 'node:crypto';
import { chmodSync, utimesSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../../src/clock.ts';
import { createLogger } from '../../../src/log/logger.ts';
import { KMIP } from '../../../src/providers/kmip/kmip-kind.ts';
import { encodeVersion, enumeration, integer, structure, text } from '../../../src/providers/kmip/message.ts';
import { KmipPool } from '../../../src/providers/kmip/pool.ts';
import { encodeTtlv, messageLength, type TtlvItem } from '../../../src/providers/kmip/ttlv.ts';
import { makeCertificates, makeNamed } from '../../fakes/certificates.ts';
import { FakeKmip, type KmipScript } from '../../fakes/fake-kmip.ts';

const REQUEST = encodeTtlv(structure(0x420078, integer(0x42000d, 1)));
const ANSWER = encodeTtlv(structure(0x42007b, integer(0x42000d, 2)));
const echo: KmipScript = (socket) => socket.write(ANSWER);

async function scene(t: Test, script: KmipScript, connections = 2) {
  const server = await FakeKmip.start(t.testdir(), script);
  const { ca, client } = server.certificates;
  chmodSync(client.key, 0o600);
  const files = { ca, certificate: client.certificate, key: client.key, ownUid: process.geteuid?.() ?? 0 };
  const address = { host: '127.0.0.1', port: server.port, serverName: null };
  const pool = new KmipPool({ address, files, connections, clock: SYSTEM_CLOCK });
  t.teardown(async () => {
    pool.close();
    await server.close();
  });
  const ask = (ms = 1000) =>
    pool.use(SYSTEM_CLOCK.monotonic() + ms, ms, (connection) =>
      connection.exchange(Buffer.from(REQUEST), ms),
    );
  return { server, pool, files, ask };
}

t.test('a connection is used again, by one request at a time', async (t) => {
  let [inFlight, mostInFlight] = [new Map<unknown, number>(), 0];
  const { server, ask } = await scene(t, (socket, request) => {
    t.equal(request.length, REQUEST.length, 'the whole message in one write');
    const now = (inFlight.get(socket) ?? 0) + 1;
    inFlight.set(socket, now);
    mostInFlight = Math.max(mostInFlight, now);
    setTimeout(() => {
      inFlight.set(socket, 0);
      socket.write(ANSWER);
    }, 20);
  });
  const answers = await Promise.all(Array.from({ length: 12 }, () => ask()));
  t.ok(answers.every((answer) => answer.equals(ANSWER)));
  t.equal(mostInFlight, 1);
  t.equal(server.most, 2, 'two connections for twelve');
});

t.test('an answer in pieces is put together', async (t) => {
  const { ask } = await scene(t, async (socket) => {
    for (const byte of ANSWER) {
      socket.write(Buffer.from([byte]));
      await sleep(2);
    }
  });
  t.ok((await ask()).equals(ANSWER));
});

const huge = Buffer.from('42007b01fffffff8', 'hex');
const BROKEN: [string, KmipScript, RegExp][] = [
  [
    'resets mid-answer',
    (socket) => socket.write(ANSWER.subarray(0, 12), () => socket.destroy()),
    /closed|ECONNRESET|reset/,
  ],
  ['closes instead of answering', (socket) => socket.end(), /closed/],
  ['closes amid its answer', (socket) => socket.end(ANSWER.subarray(0, 12)), /closed/],
  ['speaks HTTP', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'), /not valid KMIP/],
  ['announces four gigabytes', (socket) => socket.write(huge), /4294967288 bytes/],
  ['answers twice', (socket) => socket.write(Buffer.concat([ANSWER, ANSWER])), /more than one/],
];

for (const [what, script, message] of BROKEN)
  t.test(`a server that ${what} costs its connection only`, async (t) => {
    let first = true;
    const { server, ask } = await scene(t, (socket, request) => {
      if (first) script(socket, request);
      else echo(socket, request);
      first = false;
    });
    await t.rejects(ask(), { message });
    t.ok((await ask()).equals(ANSWER));
    await sleep(20);
    t.equal(server.sockets.size, 1);
  });

t.test('a certificate is for the host, or for the name that is expected instead', async (t) => {
  const dir = t.testdir();
  const made = makeCertificates(dir);
  const server = makeNamed(dir, ['kmip.services.invalid']);
  const fake = await FakeKmip.start({ ...made, server }, echo);
  t.teardown(() => fake.close());
  chmodSync(made.client.key, 0o600);
  const { certificate, key } = made.client;
  const files = { ca: made.ca, certificate, key, ownUid: process.geteuid?.() ?? 0 };
  const ask = async (serverName: string | null) => {
    const address = { host: '127.0.0.1', port: fake.port, serverName };
    const pool = new KmipPool({ address, files, connections: 1, clock: SYSTEM_CLOCK });
    t.teardown(() => pool.close());
    const end = SYSTEM_CLOCK.monotonic() + 5000;
    return pool.use(end, 5000, (connection) => connection.exchange(Buffer.from(REQUEST), 5000));
  };
  for (const name of [null, 'other.services.invalid'])
    await t.rejects(ask(name), { message: /does not match certificate's altnames/, refused: false });
  t.ok((await ask('kmip.services.invalid')).equals(ANSWER));
});

t.test('a server that takes connections and is silent is given up by the deadline', async (t) => {
  const { files } = await scene(t, echo);
  const silent = createServer();
  await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done));
  const { port } = silent.address() as AddressInfo;
  const address = { host: '127.0.0.1', port, serverName: null };
  const pool = new KmipPool({ address, files, connections: 1, clock: SYSTEM_CLOCK });
  t.teardown(() => {
    pool.close();
    silent.close();
  });
  const end = SYSTEM_CLOCK.monotonic() + 300;
  const begin = performance.now();
  await t.rejects(
    pool.use(end, 300, async () => undefined),
    { message: /cannot connect to .*: not within/ },
  );
  t.ok(performance.now() - begin < 3000);
});

t.test('half an answer and then nothing ends at the deadline', async (t) => {
  const { ask } = await scene(t, (socket) => socket.write(ANSWER.subarray(0, 12)));
  const begin = performance.now();
  await t.rejects(ask(200), { message: /no answer within/ });
  t.ok(performance.now() - begin < 800);
});

t.test('who waits for a connection has a deadline too', async (t) => {
  const { ask } = await scene(t, () => undefined, 1);
  const first = t.rejects(ask(600), { message: /no answer/ });
  await t.rejects(ask(100), { message: /all connections were in use/ });
  await first;
});

t.test('who comes between the end of one and the start of the next waits as well', async (t) => {
  const { pool, server } = await scene(t, echo, 1);
  const end = SYSTEM_CLOCK.monotonic() + 5000;
  for (let turns = 0; turns < 16; turns++) {
    const [began, gate] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    const soon = (): Promise<void> => new Promise((done) => setImmediate(done));
    const first = pool.use(end, 1000, () => {
      began.resolve(undefined);
      return gate.promise;
    });
    const second = pool.use(end, 1000, soon);
    await began.promise;
    await soon();
    // In every turn of the event loop in which the first may end.
    const third = (async () => {
      await gate.promise;
      for (let i = 0; i < turns; i++) await undefined;
      await pool.use(end, 1000, soon);
    })();
    gate.resolve(undefined);
    await Promise.all([first, second, third]);
    t.equal(server.most, 1, `${turns} turns later there is one connection`);
  }
});

t.test('bytes that nobody asked for end an idle connection', async (t) => {
  const { server, ask } = await scene(t, echo);
  await ask();
  const [socket] = server.sockets;
  socket?.write(ANSWER);
  while (socket && server.sockets.has(socket)) await sleep(10);
  t.ok((await ask()).equals(ANSWER), 'the next request is not answered by the last');
  t.not([...server.sockets][0], socket);
});

t.test('a changed file retires the connections that were made with the old one', async (t) => {
  const { server, files, ask } = await scene(t, echo);
  await ask();
  const [before] = server.sockets;
  await ask();
  t.equal([...server.sockets][0], before, 'kept while nothing changes');
  utimesSync(files.certificate, 1, 1);
  await ask();
  await sleep(20);
  t.not([...server.sockets].at(-1), before);
});

t.test('the request is wiped', async (t) => {
  const { pool } = await scene(t, echo);
  const request = Buffer.from(REQUEST);
  t.equal(messageLength(request), request.length);
  const end = SYSTEM_CLOCK.monotonic() + 1000;
  await pool.use(end, 1000, (connection) => connection.exchange(request, 1000));
  t.ok(request.equals(Buffer.alloc(REQUEST.length)));
});

t.test('a closed pool lets nobody wait', async (t) => {
  const { pool, ask } = await scene(t, () => undefined, 1);
  const waiting = [t.rejects(ask(5000)), t.rejects(ask(5000))];
  await sleep(100);
  pool.close();
  await Promise.all(waiting);
  await t.rejects(ask(), { message: /closed/ });
});

t.test('two seconds for every answer are slow, not too slow', async (t) => {
  const state = structure(0x420008, text(0x42000a, 'State'), enumeration(0x42000b, 2));
  const payloads: Record<number, TtlvItem> = { 0x1e: encodeVersion({ major: 1, minor: 4 }), 0x0b: state };
  const { server } = await scene(t, async (socket, request) => {
    const operation = request.indexOf(Buffer.from('42005c0500000004', 'hex'));
    const number = request.readUInt32BE(operation + 8);
    const item = [enumeration(0x42005c, number), enumeration(0x42007f, 0)];
    const payload = structure(0x42007c, ...[payloads[number]].filter((each) => each !== undefined));
    await sleep(2000);
    socket.write(encodeTtlv(structure(0x42007b, structure(0x42000f, ...item, payload))));
  });
  const { ca, client } = server.certificates;
  const files = { 'ca-file': ca, 'certificate-file': client.certificate, 'key-file': client.key };
  const options = { kind: 'kmip', host: '127.0.0.1', port: server.port, 'key-id': '1', ...files };
  const service = KMIP.create(KMIP.schema.parse(options), {
    name: 'kmip',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => path,
  });
  t.teardown(() => service.close());
  t.match(await service.health(), { ok: true, detail: 'key 1 is Active, by KMIP 1.4' });
});
