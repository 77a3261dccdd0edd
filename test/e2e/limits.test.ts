/** `limits` of the configuration, as a program meets them on the socket of a running instance. */
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { startInstance } from './instance.ts';
import { send } from './transit-client.ts';

const LIMITS = `limits: { body: 2KiB, header: 1KiB, connections: 2, in-flight: 1, rate: 20 }
`;
const HEALTH = '/v1/sys/health';

t.test('bodies, headers, connections and rate are bounded as configured', async (t) => {
  const { api } = await startInstance(t, { edit: (yaml) => `${yaml}\n${LIMITS}` });
  const hash = (bytes: number) => send(api, 'POST', '/v1/transit/hash', `{"input":"${'a'.repeat(bytes)}"}`);
  t.equal((await hash(1000)).status, 200);
  t.equal((await hash(2048)).status, 413);
  const long = await send(api, 'GET', `${HEALTH}?${'a'.repeat(1100)}`, '');
  t.equal(long.status, 431);
  const idle = [connect(api), connect(api)];
  await Promise.all(idle.map((socket) => once(socket, 'connect')));
  await t.rejects(send(api, 'GET', HEALTH, ''), 'the third connection is closed');
  for (const socket of idle) socket.destroy();
  await Promise.all(idle.map((socket) => socket.closed || once(socket, 'close')));
  let refused = 0;
  for (let n = 0; n < 100 && refused === 0; n++) {
    // A connection may be refused for those before, of whose end the service has not heard yet.
    const status = await send(api, 'GET', HEALTH, '').then(
      (reply) => reply.status,
      () => 0,
    );
    if (status === 429) refused = n;
  }
  t.ok(refused > 5, `${refused} requests before the first refusal`);
});
