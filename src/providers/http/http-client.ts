/**
 * One try of one HTTP request, over kept-alive connections, through the proxy of the environment (HTTPS_PROXY, NO_PROXY), with
 * TLS files that are read again when they change. Bodies are bytes: who asks for a secret wipes the reply's body. What is asked without TLS
 * is on this host or is its cloud's metadata service, where a proxy would be given tokens: there is none for it.
 */
import type { EnvHttpProxyAgent } from 'undici';
import { fingerprintFiles, readTlsFiles, type TlsPaths } from './tls-files.ts';

const BODY_MAX_BYTES = 1024 * 1024;
const CONNECTIONS_MAX = 16;
const KEEP_ALIVE_MS = 30_000;
/** Backstops: every request has a signal of its own that comes earlier. */
const STALL_MS = 30_000;

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
}

export interface HttpReply {
  readonly status: number;
  /** Names in small letters; the first value of each. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** The network, handed in. */
export interface HttpSender {
  /** Rejects with what went wrong below HTTP, or with the signal's reason. */
  send(request: HttpRequest, signal: AbortSignal): Promise<HttpReply>;
  /** Ends every connection. */
  close(): Promise<void>;
}

export interface HttpClientOptions {
  readonly tls: TlsPaths;
  /** Instead of the environment's, for tests. */
  readonly proxy?: { readonly httpsProxy?: string; readonly noProxy?: string };
}

function proxyOfEnvironment(): string {
  const { env } = process;
  return env['https_proxy'] || env['HTTPS_PROXY'] || env['http_proxy'] || env['HTTP_PROXY'] || '';
}

/** The chunks are slices of what came from the socket: wiped as soon as they are copied. */
async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of chunks) {
      parts.push(chunk);
      sizeBytes += chunk.length;
      if (sizeBytes > BODY_MAX_BYTES) throw new Error(`a body of more than ${BODY_MAX_BYTES} bytes`);
    }
    return Buffer.concat(parts);
  } finally {
    for (const part of parts) part.fill(0);
  }
}

function firstValues(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  const entries = Object.entries(headers).map(([name, value]) => [name, [value].flat()[0] ?? '']);
  return Object.fromEntries(entries);
}

export class HttpClient implements HttpSender {
  readonly #options: HttpClientOptions;
  #agent: EnvHttpProxyAgent | null = null;
  #fingerprint = '';

  constructor(options: HttpClientOptions) {
    this.#options = options;
  }

  async send({ method, url, headers, body }: HttpRequest, signal: AbortSignal): Promise<HttpReply> {
    const agent = await this.#current();
    const reply = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers,
      body,
      signal,
    });
    const bytes = await collect(reply.body);
    return { status: reply.statusCode, headers: firstValues(reply.headers), body: bytes };
  }

  /** For libraries that bring their own requests and take a `fetch`. A redirect would take their secrets to another place: it is their answer. */
  async fetch(url: string | URL, init: RequestInit): Promise<Response> {
    const [undici, dispatcher] = [await import('undici'), await this.#current()];
    const options = { ...(init as object), dispatcher, redirect: 'manual' } as const;
    return (await undici.fetch(url, options)) as unknown as Response;
  }

  async close(): Promise<void> {
    await this.#agent?.destroy();
    this.#agent = null;
  }

  /** Requests under way end on the connections that they have. An agent without such a provider does not load the library. */
  async #current(): Promise<EnvHttpProxyAgent> {
    const undici = await import('undici');
    const { ca, certificate, key } = this.#options.tls;
    const fingerprint = fingerprintFiles([ca, certificate, key]);
    if (this.#agent && fingerprint === this.#fingerprint) return this.#agent;
    const agent = this.#create(undici.EnvHttpProxyAgent);
    void this.#agent?.close();
    this.#agent = agent;
    this.#fingerprint = fingerprint;
    return agent;
  }

  #create(Dispatcher: typeof EnvHttpProxyAgent): EnvHttpProxyAgent {
    const material = readTlsFiles(this.#options.tls);
    return new Dispatcher({
      httpsProxy: proxyOfEnvironment(),
      ...this.#options.proxy,
      httpProxy: '',
      connect: { ...material, timeout: STALL_MS },
      requestTls: material,
      connections: CONNECTIONS_MAX,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: STALL_MS,
      bodyTimeout: STALL_MS,
    });
  }
}
