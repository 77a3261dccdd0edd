/**
 * Types of fields in a Transit request. As in Vault, numbers and booleans may be strings (its CLI sends
 * nothing else), and null means absent.
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

/** A number or a word, like salt_length, or a duration, which may be 0. */
export const textOrInteger = z
  .union([z.string(), z.int()], { error: 'expected text or a whole number' })
  .transform(String)
  .nullish();
