/** The event stream of Vault Enterprise: a WebSocket below sys/events/subscribe, for tokens that are good, of JSON when that was asked for. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { FakeVault } from './fake-vault.ts';

export class FakeVaultEvents {
  readonly #vault: FakeVault;
  readonly #type: string;
  readonly #server = new WebSocketServer({ noServer: true });
  /** "403", "open", in order. */
  readonly seen: string[] = [];
  /** Answered to the handshake instead, when set. */
  refusal: number | null = null;

  constructor(vault: FakeVault, type: string) {
    this.#vault = vault;
    this.#type = type;
  }

  get subscribers(): number {
    return this.#server.clients.size;
  }

  readonly upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const status = this.refusal ?? this.#judge(request);
    this.seen.push(status === null ? 'open' : `${status}`);
    if (status !== null) return void socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
    this.#server.handleUpgrade(request, socket, head, () => undefined);
  };

  /** null: it may. */
  #judge({ url, headers }: IncomingMessage): number | null {
    const { pathname, searchParams } = new URL(url ?? '/', 'http://x');
    if (pathname !== `/v1/sys/events/subscribe/${this.#type}`) return 404;
    const isKnown = this.#vault.tokens.has(`${headers['x-vault-token']}`);
    if (!isKnown) return 403;
    return searchParams.get('json') === 'true' && searchParams.size === 1 ? null : 400;
  }

  /** CloudEvents, as the server sends them. */
  publish(dataPath: string): void {
    const metadata = { data_path: dataPath, modified: 'true', operation: 'data-write', path: dataPath };
    const event = {
      ...{ id: randomUUID(), source: 'vault://one', specversion: '1.0', type: '*' },
      ...{ datacontentype: 'application/cloudevents', time: new Date().toISOString() },
      data: { event: { id: randomUUID(), metadata }, event_type: this.#type },
    };
    for (const client of this.#server.clients) client.send(JSON.stringify(event));
  }

  /** Without a word, as a load balancer does. */
  drop(): void {
    for (const client of this.#server.clients) client.terminate();
  }
}
