/**
 * The types that a field of a Transit request may have. As in Vault, numbers and booleans may come as text (its CLI sends
 * nothing else), and null is the same as absent.
 */
import { z } from 'zod';

export const text = z.string().nullish();

const wholeNumber = { error: 'expected a whole number' };

export const integer = z
  .union([z.int(wholeNumber), z.string().regex(/^-?\d{1,9}$/, wholeNumber)], wholeNumber)
  .transform(Number)
  .nullish();

export const flag = z
  .union([z.boolean(), z.enum(['true', 'false', '1', '0'])], { error: 'expected true or false' })
  .transform((value) => value === true || value === 'true' || value === '1')
  .nullish();

/** A number or a word, as salt_length is, or a duration that may be 0. */
export const textOrInteger = z
  .union([z.string(), z.int()], { error: 'expected text or a whole number' })
  .transform(String)
  .nullish();
