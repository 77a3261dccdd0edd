/** A proxy on loopback that leads every tunnel to one port, and says for whom each was asked. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Test } from 'tap';

export async function startConnectProxy(
  t: Test,
  port: number,
): Promise<{ readonly url: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const proxy = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', (head) => {
      const target = /^CONNECT (\S+) HTTP\/1\.[01]\r\n/.exec(head.toString())?.[1];
      asked.push(target ?? head.toString().split('\r\n')[0] ?? '');
      if (target === undefined) return void socket.destroy();
      const to = connect(port, '127.0.0.1', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
      to.on('error', () => socket.destroy());
      socket.pipe(to).pipe(socket);
    });
  });
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
}
