// The same requests to a real OpenBao server and to the socket, side by side: status, fields, types and every value that is not random must be the
// same; of what is refused, that it is refused, by the same status and shape, in whatever words. What differs on purpose stands in DIFFERENCES with its
// reason, and a row there that no longer differs is a failure too.
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import { transitClient } from '../e2e/transit-client.ts';
import { OpenBao } from './openbao.ts';
import { STEPS, type Captured, type Step } from './transit-steps.ts';

interface Answer {
  readonly status: number;
  readonly data: unknown;
  readonly errors: readonly unknown[];
}

type Call = (method: string, path: string, body?: object) => Promise<Answer>;

const REQUEST = 'a request that is wrong is no fault of the server: 400, where OpenBao says 500';
const DIFFERENCES: readonly (readonly [steps: RegExp, reason: string])[] = [
  [/^(create|read) (ed25519|chacha20-poly1305)$/, 'derivation is for AES keys alone'],
  [/^(create|read) hmac$/, 'the times of its versions are shown too'],
  [/^list what is left$/, 'OpenBao lists the folder of imported keys'],
  [/^create a signing key that derives$/, REQUEST],
  [/^a batch of rsa-2048 that opens nothing$/, REQUEST],
  [/^associated data that are not base64$/, REQUEST],
  [/^sign by .* by a version that is not there$/, REQUEST],
  [/^a batch of .* of versions$/, 'an item without plaintext is that item’s error, not the end of the batch'],
  [
    /^a rewrapped batch of rsa-2048$/,
    'an item that does not open is that item’s error, not the end of the batch',
  ],
  [
    /^a batch of verifications by .*(256|384|521|ed25519|2048)$/,
    'an item without signature is that item’s error',
  ],
];

/** What OpenBao shows and neither Vault nor Sidekey has. */
const THEIRS_ALONE: readonly string[] = ['soft_deleted'];

/** Random and dated values and words of refusals become their kind; everything else stays as it is. */
function plain(value: unknown, name = ''): unknown {
  if (Array.isArray(value)) return value.map((inner) => plain(inner));
  if (value !== null && typeof value === 'object') {
    const names = Object.keys(value).filter((each) => !THEIRS_ALONE.includes(each));
    return Object.fromEntries(names.sort().map((each) => [each, plain(Reflect.get(value, each), each)]));
  }
  if (name === 'error') return '<why>';
  if (typeof value === 'number' && value > 1_500_000_000) return '<seconds>';
  if (typeof value !== 'string') return value;
  return value
    .replace(/^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/, '<time>')
    .replace(/(vault:v\d+:)[A-Za-z0-9+/=_-]+/g, '$1<text>')
    .replace(/-----BEGIN ([A-Z ]+)-----[^-]+-----END [A-Z ]+-----\n?/, '<$1>')
    .replace(/^[0-9a-f]{16}$/, '<hex>')
    .replace(/^[A-Za-z0-9+/=_-]{40,}$/, '<bytes>');
}

async function perform(call: Call, step: Step, captured: Captured): Promise<object> {
  const body = typeof step.body === 'function' ? step.body(captured) : step.body;
  const { status, data, errors } = await call(step.method, step.path, body);
  if (step.capture !== undefined) captured[step.capture] = Object(data);
  return { status, data: plain(data), isRefused: errors.length > 0 };
}

t.test('OpenBao and Sidekey answer alike', async (t) => {
  const bao = await OpenBao.start(t);
  const sidekey = transitClient(await startInstance(t));
  await bao.must('POST', 'transit/keys/kek/config', { deletion_allowed: true });
  await bao.must('DELETE', 'transit/keys/kek');
  const theirs: Call = async (method, path, body) => {
    const { status, body: said } = await bao.call(method, path, body);
    return { status, data: said['data'] ?? {}, errors: Object(said['errors'] ?? []) };
  };
  const ours: Call = (method, path, body) => sidekey(method, `/${path}`, body);
  const captured: [Captured, Captured] = [{}, {}];
  for (const step of STEPS) {
    const expected = await perform(theirs, step, captured[0]);
    const found = await perform(ours, step, captured[1]);
    const reason = DIFFERENCES.find(([steps]) => steps.test(step.name))?.[1];
    if (reason === undefined) t.same(found, expected, step.name);
    else t.notSame(found, expected, `${step.name} differs: ${reason}`);
  }
});
