/** keys/:name and keys: create, read, list. */
import { z } from 'zod';
import { SidekeyError } from '../../errors.ts';
import { flag, integer, text, textOrInteger } from './field.ts';
import { Refusal } from '../fault.ts';
import { parseGoDuration } from './go-duration.ts';
import { DEFAULT_KEY_TYPE, describeKey, keyAnswer, ML_DSA, newKindOf } from './key-type.ts';
import { noBody, type Reply } from '../route.ts';
import { defineTransitRoute, nameOf, type TransitCall, type TransitRoute } from './call.ts';

const creation = z.object({
  type: text,
  key_size: integer,
  parameter_set: textOrInteger,
  exportable: flag,
  derived: flag,
  convergent_encryption: flag,
  allow_plaintext_backup: flag,
  auto_rotate_period: textOrInteger,
});

/** Vault's rule for new names. Keys made by PKCS#11 programs are found whatever their label. */
export const NEW_NAME = /^\w(?:[\w.-]*\w)?$/;

const DERIVABLE: readonly string[] = ['aes128-gcm96', DEFAULT_KEY_TYPE];

/** Options that Vault has and Sidekey cannot honour are refused, not ignored. */
export function refuseUnsupported(body: Omit<z.output<typeof creation>, 'key_size' | 'parameter_set'>): void {
  for (const name of ['convergent_encryption', 'allow_plaintext_backup'] as const) {
    if (body[name] === true) throw new Refusal(400, `field "${name}": not supported`);
  }
  if (body.derived === true && !DERIVABLE.includes(body.type ?? DEFAULT_KEY_TYPE))
    throw new Refusal(400, 'field "derived": only for keys of type aes128-gcm96 and aes256-gcm96');
}

const HOUR_MS = 3_600_000;
const PERIOD_MAX_MS = 100 * 366 * 24 * HOUR_MS;

/** Milliseconds; undefined if not given. Vault's rule: at least an hour. */
export function autoRotateMsOf(period: string | null | undefined): number | undefined {
  if (period == null || period === '') return undefined;
  const ms = parseGoDuration(period);
  if (ms === null || ms > PERIOD_MAX_MS)
    throw new Refusal(400, 'field "auto_rotate_period": expected seconds or a duration, as 720h');
  if (ms !== 0 && ms < HOUR_MS)
    throw new Refusal(400, 'auto rotate period must be 0 to disable or at least an hour');
  return Math.floor(ms / 1000) * 1000;
}

const NEEDS: Readonly<Record<string, string>> = { [ML_DSA]: '; it needs OpenSSL 3.5' };

/** For types that the token or the keeper's OpenSSL has no mechanism for. */
function notMade(type: string): (error: unknown) => never {
  return (error) => {
    const isUnknown = error instanceof SidekeyError && error.code === 'mechanism_invalid';
    if (!isUnknown) throw error;
    throw new Refusal(400, `key type ${type} is not available on this token${NEEDS[type] ?? ''}`);
  };
}

/** As in Vault, creating an existing key changes nothing, and says so. */
async function createKey(call: TransitCall, body: z.output<typeof creation>): Promise<Reply> {
  refuseUnsupported(body);
  const name = nameOf(call);
  const type = body.type ?? DEFAULT_KEY_TYPE;
  const kind = newKindOf(type, {
    keySizeBytes: body.key_size ?? undefined,
    parameterSet: body.parameter_set ?? undefined,
  });
  const existing = call.tokens.findNamedKey(call.peer, call.token, name);
  if (existing !== null) return { data: describeKey(existing), warnings: [`key ${name} already existed`] };
  if (!NEW_NAME.test(name)) throw new Refusal(400, 'a key name is of letters, digits, "_", "-" and "."');
  const autoRotateMs = autoRotateMsOf(body.auto_rotate_period) ?? 0;
  const wanted = { kind, exportable: body.exportable ?? false, derived: body.derived ?? false, autoRotateMs };
  const made = await call.tokens.createNamedKey(call.peer, call.token, name, wanted).catch(notMade(type));
  return { data: describeKey(made) };
}

function readKey(call: TransitCall): Reply {
  const key = call.tokens.findNamedKey(call.peer, call.token, nameOf(call));
  if (key === null) throw new Refusal(404);
  return { data: describeKey(key) };
}

function listKeys(call: TransitCall): Reply {
  const keys = call.tokens.listNamedKeys(call.peer, call.token);
  if (keys.length === 0) throw new Refusal(404);
  return { data: { keys: keys.sort() } };
}

/** As Go writes them. */
const TRUE: readonly string[] = ['true', '1', 't', 'T', 'TRUE', 'True'];
const FALSE: readonly string[] = ['false', '0', 'f', 'F', 'FALSE', 'False'];

function listByQuery(call: TransitCall): Reply {
  const asked = call.query['list'] ?? '';
  if (TRUE.includes(asked)) return listKeys(call);
  if (asked === '' || FALSE.includes(asked)) throw new Refusal(405, 'unsupported operation');
  throw new Refusal(400, 'query "list": expected true or false');
}

const listAnswer = z.object({ keys: z.array(z.string()) });

export const KEY_ROUTES: readonly TransitRoute[] = [
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/keys/:name',
    summary: 'Make a key',
    body: creation,
    answer: keyAnswer,
    handle: createKey,
  }),
  defineTransitRoute({
    methods: ['GET'],
    path: '/keys/:name',
    summary: 'Describe a key',
    body: noBody,
    answer: keyAnswer,
    handle: readKey,
  }),
  defineTransitRoute({
    methods: ['LIST'],
    path: '/keys',
    summary: 'Names of the keys',
    body: noBody,
    answer: listAnswer,
    handle: listKeys,
  }),
  defineTransitRoute({
    methods: ['GET'],
    path: '/keys',
    summary: 'Names of the keys (list=true)',
    query: z.object({ list: z.string().optional() }),
    body: noBody,
    answer: listAnswer,
    handle: listByQuery,
  }),
];
