/**
 * The head of a request in its plainest form, by a closed grammar: a line and known headers, each once, in printable ASCII. It takes
 * nothing that node:http would refuse or read in another way (test/api/hot/door.test.ts holds both side by side); whatever it does
 * not take is no fault, but for node:http to judge.
 */
import { PLAIN_TYPES } from './hot-routes.ts';

export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly contentType: string | undefined;
  readonly bodyBytes: number;
}

const REQUEST_LINE = /^(POST|PUT) (\/[\w.~/-]+) HTTP\/1\.1$/;
const HEADER_LINE = /^([A-Za-z-]+): *([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?) *$/;
const LENGTH = /^\d{1,9}$/;

const anything = (): boolean => true;

/** By name: which values are taken. Those that may be anything mean nothing to this API. */
const HEADERS: ReadonlyMap<string, (value: string) => boolean> = new Map([
  ['host', anything],
  ['content-type', (value: string) => PLAIN_TYPES.includes(value)],
  ['content-length', (value: string) => LENGTH.test(value)],
  ['connection', (value: string) => value.toLowerCase() === 'keep-alive'],
  ['user-agent', anything],
  ['accept', anything],
  ['accept-encoding', anything],
  ['accept-language', anything],
  ['authorization', anything],
  ['traceparent', anything],
  ['tracestate', anything],
  ['x-request-id', anything],
  ['x-vault-namespace', anything],
  ['x-vault-request', anything],
  ['x-vault-token', anything],
]);
const REQUIRED = ['host', 'content-length'] as const;

/** `text`: without the empty line that ends it. null: not this plain. */
export function parseHead(text: string): RequestHead | null {
  const [first = '', ...lines] = text.split('\r\n');
  const asked = REQUEST_LINE.exec(first);
  if (asked === null || lines.length > HEADERS.size) return null;
  const [, method = '', path = ''] = asked;
  const values = new Map<string, string>();
  for (const line of lines) if (!readHeader(values, line)) return null;
  for (const name of REQUIRED) if (!values.has(name)) return null;
  const contentType = values.get('content-type');
  return { method, path, contentType, bodyBytes: Number(values.get('content-length')) };
}

function readHeader(values: Map<string, string>, line: string): boolean {
  const [, name = '', value = ''] = HEADER_LINE.exec(line) ?? [];
  const key = name.toLowerCase();
  if (values.has(key) || HEADERS.get(key)?.(value) !== true) return false;
  values.set(key, value);
  return true;
}
