/** `batch_input`: the same operation for many items, answered in order, each with its own result or error. */
import { z } from 'zod';
import { integer } from './field.ts';
import { faultOf, Refusal } from '../fault.ts';
import { API_LIMITS } from '../limits.ts';
import { writeJson, RawJson } from '../raw-json.ts';
import type { Reply } from '../route.ts';

/** The fields of a request that may be single or a batch. */
export function batchOf<Item extends z.ZodType>(item: Item) {
  return {
    batch_input: z
      .array(item)
      .max(API_LIMITS.batchItems, `more than ${API_LIMITS.batchItems} items`)
      .nullish(),
    partial_failure_response_code: integer,
  };
}

/** The schema of the answer: the item's own, or a row for each item. */
export function batchAnswer<Answer extends z.ZodObject>(answer: Answer) {
  const row = answer.partial().extend({ error: z.string().optional(), reference: z.string().optional() });
  return z.union([answer, z.object({ batch_results: z.array(row) })]);
}

export interface Batch<Item> {
  readonly batch_input?: readonly Item[] | null | undefined;
  readonly partial_failure_response_code?: number | null | undefined;
}

export interface Referenced {
  readonly reference?: string | null | undefined;
}

/**
 * The status of a batch in which an item failed, unless the request names another, and what else a failed row
 * shows.
 */
export interface Failed {
  readonly status: number;
  readonly row: object;
}

export const FAILED: Failed = { status: 400, row: {} };

/** Calls `work` for the body itself, or for each item of its batch. */
export async function answerItems<Item extends Referenced, Body extends Item & Batch<Item>>(
  body: Body,
  work: (item: Item) => Promise<object>,
  failed: Failed = FAILED,
): Promise<Reply> {
  const items = body.batch_input ?? null;
  if (items === null) return { data: await work(body) };
  return answerBatch(items, body, failed, (all) =>
    mapBounded(all, async (item) => rowOf(item, await work(item).catch(faultOfItem), failed)),
  );
}

/** `workOnAll` returns a row for each item. */
export async function answerBatch<Item>(
  items: readonly Item[],
  body: Batch<Item>,
  failed: Failed,
  workOnAll: (items: readonly Item[]) => Promise<object[]>,
): Promise<Reply> {
  if (items.length === 0) throw new Refusal(400, 'missing batch input to process');
  const status = partialStatus(body.partial_failure_response_code ?? failed.status);
  const results = await workOnAll(items);
  const failures = results.filter(isFailure).length;
  const data = showResults(results);
  if (failures === 0) return { data };
  return { status: failures < results.length ? status : failed.status, data };
}

function isFailure(row: object): boolean {
  return !(row instanceof RawJson) && 'error' in row;
}

/** Usually either all rows are serialised already, or none. */
function showResults(results: readonly object[]): object {
  if (!results.some((row) => row instanceof RawJson)) return { batch_results: results };
  let rows = '';
  for (const row of results) rows += rows === '' ? writeJson(row) : `,${writeJson(row)}`;
  return new RawJson(`"batch_results":[${rows}]`);
}

function partialStatus(status: number): number {
  if (status >= 200 && status <= 599) return status;
  throw new Refusal(400, 'field "partial_failure_response_code": expected a status from 200 to 599');
}

/** An error reported for one item alone. */
export class ItemFault {
  readonly error: string;

  constructor(error: string) {
    this.error = error;
  }
}

/** An item's own fault goes into its row; a general one (403, 5xx) is thrown, and ends the batch. */
export function faultOfItem(error: unknown): ItemFault {
  const { status, errors } = faultOf(error);
  if (status !== 400) throw error;
  return new ItemFault(errors[0] ?? 'request is not valid');
}

export function rowOf(item: Referenced, result: object, failed: Failed): object {
  const reference = item.reference ?? '';
  if (result instanceof ItemFault) return { ...failed.row, error: result.error, reference };
  if (result instanceof RawJson)
    return new RawJson(
      `${result.members},"reference":${reference === '' ? '""' : JSON.stringify(reference)}`,
    );
  return { ...result, reference };
}

/**
 * Promise.all with bounded concurrency, so that one batch does not fill the keeper's queue. Starts nothing
 * after a rejection.
 */
async function mapBounded<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = new Array(items.length);
  let next = 0;
  const drain = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index] as Item);
    }
  };
  const stop = (error: unknown): never => {
    next = items.length;
    throw error;
  };
  await Promise.all(Array.from({ length: API_LIMITS.batchInFlight }, () => drain().catch(stop)));
  return results;
}
