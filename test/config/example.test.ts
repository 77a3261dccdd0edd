/** docs/sidekey.example.yaml names every key that the schema knows, those of the key services too. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { z } from 'zod';
import { configSchema } from '../../src/config/schema.ts';

const EXAMPLE = readFileSync(resolve(import.meta.dirname, '../../docs/sidekey.example.yaml'), 'utf8');

/** Every key of every object below a schema, as `a.b.c`. */
function keysOf(schema: unknown, at: readonly string[] = []): string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return keysOf(schema.unwrap(), at);
  if (schema instanceof z.ZodPipe) return keysOf(schema.in, at);
  if (schema instanceof z.ZodArray) return keysOf(schema.element, at);
  if (schema instanceof z.ZodRecord) return keysOf(schema.valueType, at);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => keysOf(option, at));
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape).flatMap(([key, value]) => [
    [...at, key].join('.'),
    ...keysOf(value, [...at, key]),
  ]);
}

t.test('every key stands in the example, set or as a comment', (t) => {
  const keys = [...new Set(keysOf(configSchema))];
  t.ok(keys.length > 60, `${keys.length} keys`);
  const missing = keys.filter((path) => {
    const key = path.split('.').at(-1) ?? '';
    return !new RegExp(`(^|[\\s#{,-])${key}:`, 'm').test(EXAMPLE);
  });
  t.same(missing, []);
  t.end();
});
