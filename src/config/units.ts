/** Durations, sizes and modes in the configuration: always with a unit, so that nobody has to guess. */
import { z } from 'zod';

const MS_PER_UNIT = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/;
const DURATION_MAX_MS = 366 * MS_PER_UNIT.d;

/** Milliseconds; null if it is not a duration. */
export function parseDuration(text: string): number | null {
  const [, count, unit] = DURATION.exec(text) ?? [];
  if (count === undefined || unit === undefined) return null;
  const ms = Number(count) * MS_PER_UNIT[unit as keyof typeof MS_PER_UNIT];
  return ms <= DURATION_MAX_MS ? ms : null;
}

export const duration = z
  .string('expected a duration with its unit: 30s, 5m, 12h, 7d')
  .transform((text, context) => {
    const ms = parseDuration(text);
    if (ms !== null) return ms;
    context.addIssue({
      code: 'custom',
      message: 'expected a duration of at most 366d with its unit: 30s, 5m, 12h, 7d',
    });
    return z.NEVER;
  });

const BYTES_PER_UNIT = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;
const SIZE = /^(\d{1,9})(B|KiB|MiB|GiB)$/;

/** Bytes; null if it is not a size. */
function parseSize(text: string): number | null {
  const [, count, unit] = SIZE.exec(text) ?? [];
  if (count === undefined || unit === undefined) return null;
  return Number(count) * BYTES_PER_UNIT[unit as keyof typeof BYTES_PER_UNIT];
}

/** `least` and `most` as written in a configuration. */
export function size(least: string, most: string) {
  const message = `expected a size from ${least} to ${most} with its unit: 16KiB, 32MiB`;
  const isWithin = (bytes: number): boolean =>
    bytes >= (parseSize(least) ?? 0) && bytes <= (parseSize(most) ?? 0);
  return z.string(message).transform((text, context) => {
    const bytes = parseSize(text);
    if (bytes !== null && isWithin(bytes)) return bytes;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
}

/** Read and write for the owner are required: without them nobody can connect. */
export const socketMode = z
  .string('a mode must be in quotes, since YAML reads 0600 as six hundred: "0600"')
  .regex(/^0?6[0246][0246]$/, 'a socket\'s mode is "06" and two of 0, 2, 4, 6: "0600", "0660", "0666"')
  .transform((text) => Number.parseInt(text, 8));
