/** The requests of AWS's own library (STS, SSO) by the provider's HTTP client: its proxies and authorities, and a deadline. */
import type { HttpRequest, HttpSender } from '../http/http-client.ts';

const REQUEST_MS = 5000;

/** What the library's clients hand to a request handler, as far as it is needed. */
interface SdkRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | undefined;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | string[] | null>> | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

function urlOf({ protocol, hostname, port, path, query = {} }: SdkRequest): URL {
  const url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`);
  for (const [name, values] of Object.entries(query))
    for (const value of [values].flat()) url.searchParams.append(name, value ?? '');
  return url;
}

function bodyOf({ body }: SdkRequest): Buffer | null {
  if (typeof body === 'string' || body instanceof Uint8Array) return Buffer.from(body as string);
  if (body === undefined || body === null) return null;
  throw new TypeError('a request of the SDK has a body of an unknown kind');
}

/** For `requestHandler`. */
export function createSdkHttp(http: HttpSender, signal: AbortSignal) {
  return {
    metadata: { handlerProtocol: 'http/1.1' },
    async handle(request: SdkRequest) {
      const { method, headers } = request;
      const asked = { method, url: urlOf(request), headers, body: bodyOf(request) } as HttpRequest;
      const { status, ...reply } = await http.send(
        asked,
        AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
      );
      return { response: { statusCode: status, headers: reply.headers, body: reply.body } };
    },
    updateHttpClientConfig: () => undefined,
    httpHandlerConfigs: () => ({}),
    destroy: () => undefined,
  };
}
