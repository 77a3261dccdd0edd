/**
 * How long a request is that the door passes to node:http. Only heads in a strict form get an answer, for which node:http must find the
 * same end; a connection with any other head is handed over.
 */

const REQUEST_LINE = /^(?:GET|HEAD|LIST|POST|PUT|PATCH|DELETE) (\/[\x21-\x7e]*) HTTP\/1\.1$/;
const HEADER_LINE = /^([A-Za-z0-9-]+): *([\x20-\x7e]*)$/;
const LENGTH = /^\d{1,9} *$/;
const KEEP_ALIVE = /^keep-alive *$/i;
const LINES_MAX = 64;
/** Their answers end the connection, so that nothing would come back. */
const STREAMS = '/v1/sidekey/stream/';

const never = (): boolean => false;

/** Headers on which the end of the request, or what comes after it, depends: which values are taken. Each at most once. */
const FRAMING: ReadonlyMap<string, (value: string) => boolean> = new Map([
  ['content-length', (value: string) => LENGTH.test(value)],
  ['connection', (value: string) => KEEP_ALIVE.test(value)],
  ['proxy-connection', never],
  ['transfer-encoding', never],
  ['upgrade', never],
  ['expect', never],
]);

/** The length of the body. `text`: the head without the empty line that ends it. null: not in this form. */
export function bodyBytesOf(text: string): number | null {
  const [first = '', ...lines] = text.split('\r\n');
  const [, target = STREAMS] = REQUEST_LINE.exec(first) ?? [];
  if (target.startsWith(STREAMS) || lines.length > LINES_MAX) return null;
  const framing = new Map<string, string>();
  for (const line of lines) if (!readHeader(framing, line)) return null;
  return Number(framing.get('content-length') ?? 0);
}

function readHeader(framing: Map<string, string>, line: string): boolean {
  const found = HEADER_LINE.exec(line);
  if (found === null) return false;
  const [, name = '', value = ''] = found;
  const key = name.toLowerCase();
  const takes = FRAMING.get(key);
  if (takes === undefined) return true;
  if (framing.has(key) || !takes(value)) return false;
  framing.set(key, value);
  return true;
}
