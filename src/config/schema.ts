/**
 * Every key of the configuration file, with its default. docs/sidekey.example.yaml documents them; a test
 * holds the two equal. Unknown keys are errors everywhere.
 */
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { ACCESS_OPERATIONS } from '../access/operations.ts';
import { findNumber } from '../access/account-names.ts';
import { LOG_LEVELS } from '../log/logger.ts';
import { KEY_SERVICE_KINDS } from '../providers/kinds.ts';
import { API_LIMITS } from '../api/limits.ts';
import { duration, size, socketMode } from './units.ts';

const LABEL_MAX_BYTES = 32;
const NAME = /^[a-z][a-z0-9-]{0,63}$/;

const id = z.int().min(0).max(0xffff_fffe);
const path = z.string().min(1, 'a path must not be empty');
const absolutePath = path.refine(isAbsolute, 'expected an absolute path');

function accountName(database: 'passwd' | 'group', what: string) {
  return z.string().transform((name, context) => {
    const number = findNumber(database, name);
    if (number !== null) return number;
    context.addIssue({ code: 'custom', message: `this host has no ${what} "${name}"` });
    return z.NEVER;
  });
}

const patterns = z.array(z.string().min(1).max(256)).min(1).max(64);

const conditions = {
  uid: id.optional(),
  gid: id.optional(),
  user: accountName('passwd', 'user').optional(),
  group: accountName('group', 'group').optional(),
  executable: absolutePath.optional(),
  unit: z
    .string()
    .regex(/^[^/]+\.(service|scope)$/, 'expected the full name of a unit, such as "backup.service"')
    .optional(),
  cgroup: z
    .string()
    .startsWith('/', 'expected a pattern for the path of a cgroup, such as "/kubepods*"')
    .max(4096)
    .optional(),
  any: z.literal(true).optional(),
};

type Conditions = { readonly [Name in keyof typeof conditions]?: unknown };

function countConditions(given: Conditions): number {
  return Object.keys(conditions).filter((name) => name in given).length;
}

function checkConditions<Schema extends z.ZodType<Conditions>>(schema: Schema) {
  return schema
    .refine(
      (given) => countConditions(given) > 0,
      'a rule needs at least one condition; "any: true" admits everybody',
    )
    .refine(
      (given) => given.any === undefined || countConditions(given) === 1,
      '"any" cannot be combined with other conditions',
    )
    .refine(
      (given) => given.uid === undefined || given.user === undefined,
      'give either uid or user, not both',
    )
    .refine(
      (given) => given.gid === undefined || given.group === undefined,
      'give either gid or group, not both',
    );
}

/** For the agent itself: access.administrators, access.metrics. */
const rule = checkConditions(z.strictObject(conditions));

/** For a token. */
const keyRule = checkConditions(
  z.strictObject({
    ...conditions,
    keys: patterns.optional(),
    operations: z.array(z.enum(ACCESS_OPERATIONS)).min(1).optional(),
  }),
);

const label = z
  .string()
  .min(1, 'a label must not be empty')
  .refine(
    (text) => Buffer.byteLength(text) <= LABEL_MAX_BYTES,
    `a label has at most ${LABEL_MAX_BYTES} bytes`,
  )
  .refine(
    (text) => !/\p{Cc}|^\s|\s$/u.test(text),
    'a label must not contain control characters, or begin or end with a space',
  );

const uses = z
  .int()
  .min(0)
  .max(2 ** 32);

/** Defaults are those of the token. */
const keyCache = z
  .strictObject({
    keys: patterns,
    any: duration.optional(),
    unused: duration.optional(),
    uses: uses.optional(),
    offline: duration.optional(),
  })
  .refine(
    (given) => Object.values(given).filter((value) => value !== undefined).length > 1,
    'at least one limit is required',
  );

const cache = z.strictObject({
  any: duration.default(300_000),
  unused: duration.default(600_000),
  uses: uses.default(0),
  offline: duration.default(0),
  prewarm: z.boolean().default(false),
  'by-key': z.array(keyCache).max(256).default([]),
});

const resident = z.strictObject({
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_./-]{0,128}$/, 'a prefix may contain letters, digits, "-", "_", "." and "/"')
    .default(''),
  refresh: duration.default(60_000),
  create: z.boolean().default(false),
  destroy: z.boolean().default(false),
});

const token = z
  .strictObject({
    label,
    provider: z.string(),
    allow: z.array(keyRule).max(256).default([]),
    login: z.enum(['pin', 'none']).default('pin'),
    legacy: z.boolean().default(false),
    fips: z.boolean().default(false),
    cache: cache.prefault({}),
    envelope: z
      .strictObject({
        key: z
          .string()
          .regex(/^\w(?:[\w.-]*\w)?$/, 'a key name is of letters, digits, "_", "-" and "."')
          .max(256),
        messages: z
          .int()
          .min(1)
          .max(2 ** 30)
          .default(2 ** 20),
      })
      .optional(),
    audit: z.strictObject({ each: patterns.optional() }).prefault({}),
    resident: resident.optional(),
  })
  .refine((given) => !(given.legacy && given.fips), '"legacy" and "fips" exclude each other');

const embedded = z
  .strictObject({
    kind: z.literal('embedded'),
    'key-file': path,
    'passphrase-file': path.optional(),
    'systemd-credential': z
      .string()
      .regex(/^[A-Za-z0-9._-]+$/, 'the name of a credential')
      .optional(),
  })
  .refine(
    (given) => given['passphrase-file'] === undefined || given['systemd-credential'] === undefined,
    'the passphrase comes from one place: passphrase-file or systemd-credential',
  );

const kinds = ['embedded', ...KEY_SERVICE_KINDS.map(({ kind }) => kind)];
const remotes = KEY_SERVICE_KINDS.map(({ schema }) => schema);
const provider = z.discriminatedUnion('kind', [embedded, ...remotes], `the kinds are: ${kinds.join(', ')}`);

/** Limits of the HTTP API, per process unless stated otherwise. */
const limits = z.strictObject({
  body: size('1KiB', '32MiB').default(API_LIMITS.bodyBytes),
  header: size('1KiB', '64KiB').default(API_LIMITS.headerBytes),
  'connections-all': z.int().min(1).max(65_536).default(API_LIMITS.connections),
  'connections-uid': z.int().min(1).max(65_536).default(API_LIMITS.uidConnections),
  connections: z.int().min(1).max(65_536).default(API_LIMITS.peerConnections),
  'in-flight': z.int().min(1).max(65_536).default(API_LIMITS.peerInFlight),
  'in-flight-bodies': size('1KiB', '64GiB').default(API_LIMITS.peerBodyBytes),
  rate: z.int().min(1).max(10_000_000).default(API_LIMITS.peerRate),
});

export const configSchema = z.strictObject({
  version: z.literal(1, 'version is 1'),
  tokens: z.array(token).max(256).default([]),
  'create-tokens': z.boolean().default(false),
  access: z
    .strictObject({
      administrators: z.array(rule).max(256).default([]),
      metrics: z.array(rule).max(256).default([]),
    })
    .prefault({}),
  providers: z.record(z.string().regex(NAME, 'a name has small letters, digits and hyphens'), provider),
  store: z.strictObject({ path }),
  sockets: z.strictObject({
    pkcs11: path.default('pkcs11.sock'),
    'pkcs11-mode': socketMode.optional(),
    api: path.default('api.sock'),
    'api-mode': socketMode.default(0o600),
    control: path,
  }),
  kms: z
    .strictObject({
      socket: path,
      mode: socketMode.default(0o600),
      token: label.optional(),
      key: z.string().min(1).max(256),
    })
    .optional(),
  limits: limits.prefault({}),
  keeper: z.strictObject({ start: z.boolean().default(true), path: absolutePath.optional() }).prefault({}),
  audit: z.strictObject({ path }),
  usage: z
    .strictObject({
      currency: z.string().max(8).default(''),
      prices: z.record(z.string(), z.number().min(0)).default({}),
    })
    .prefault({}),
  log: z.strictObject({ level: z.enum(LOG_LEVELS).default('info') }).prefault({}),
});

export type RawConfig = z.output<typeof configSchema>;

/** The keys allowed at a path of the file; null where any key is. */
export function knownKeysAt(at: readonly PropertyKey[]): string[] | null {
  let schema: unknown = configSchema;
  for (const step of at) schema = stepInto(unwrapSchema(schema), step);
  const found = unwrapSchema(schema);
  if (found instanceof z.ZodObject) return Object.keys(found.shape);
  if (!(found instanceof z.ZodDiscriminatedUnion)) return null;
  return [...new Set(found.options.flatMap((option) => Object.keys((option as z.ZodObject).shape)))];
}

function unwrapSchema(schema: unknown): unknown {
  const isWrapped =
    schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault;
  return isWrapped ? unwrapSchema(schema.unwrap()) : schema;
}

function stepInto(schema: unknown, step: PropertyKey): unknown {
  if (schema instanceof z.ZodObject) return schema.shape[String(step)];
  if (schema instanceof z.ZodArray) return schema.element;
  return schema instanceof z.ZodRecord ? schema.valueType : null;
}
