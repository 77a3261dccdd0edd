/** Requests each of whose items is one use of the same key: what all have in common is looked up, checked and counted once. */
import type { Outcome } from '../../tokens/ports.ts';
import type { NamedKey, NamedKeyUse } from '../../tokens/service.ts';
import { API_LIMITS } from '../limits.ts';
import type { Reply } from '../route.ts';
import {
  answerBatch,
  FAILED,
  faultOfItem,
  ItemFault,
  rowOf,
  type Batch,
  type Failed,
  type Referenced,
} from './batch.ts';
import { operate, type TransitCall } from './call.ts';

/** One use of a key, and what its output is to the caller. */
export interface KeyJob {
  readonly use: NamedKeyUse;
  readonly data: Buffer;
  /** Called at once when the output is there, which is then the job's to wipe. */
  readonly finish: (output: Buffer) => object;
}

/** `prepare` throws for what is wrong with an item before its key is used. */
export async function answerJobs<Item extends Referenced, Body extends Item & Batch<Item>>(
  call: TransitCall,
  key: NamedKey,
  body: Body,
  prepare: (item: Item) => KeyJob,
  failed: Failed = FAILED,
): Promise<Reply> {
  const items = body.batch_input ?? null;
  if (items !== null)
    return answerBatch(items, body, failed, (all) => workOnAll(call, key, all, prepare, failed));
  const { use, data, finish } = prepare(body);
  return { data: finish(await operate(call, key, use, data)) };
}

/** The same for jobs that are prepared: not more than go to a key at once. */
export async function answerPrepared(
  call: TransitCall,
  key: NamedKey,
  jobs: readonly KeyJob[],
  isBatch: boolean,
  failed: Failed,
): Promise<Reply> {
  const [first] = jobs;
  if (!isBatch && first !== undefined)
    return { data: first.finish(await operate(call, key, first.use, first.data)) };
  return answerBatch(jobs, {}, failed, async () => {
    const results = await workOnSome(call, key, jobs);
    return results.map((result) => rowOf({}, result, failed));
  });
}

/** So many at once that the keeper is busy, and a long batch does not fill its queue. */
async function workOnAll<Item extends Referenced>(
  call: TransitCall,
  key: NamedKey,
  items: readonly Item[],
  prepare: (item: Item) => KeyJob,
  failed: Failed,
): Promise<object[]> {
  const rows: object[] = [];
  for (let at = 0; at < items.length; at += API_LIMITS.batchTogether) {
    const some = items.slice(at, at + API_LIMITS.batchTogether);
    const results = await workOnSome(
      call,
      key,
      some.map((item) => attempt(() => prepare(item))),
    );
    for (const [index, item] of some.entries()) rows.push(rowOf(item, results[index] ?? {}, failed));
  }
  return rows;
}

function isJob(each: KeyJob | ItemFault): each is KeyJob {
  return !(each instanceof ItemFault);
}

async function workOnSome(
  call: TransitCall,
  key: NamedKey,
  prepared: readonly (KeyJob | ItemFault)[],
): Promise<object[]> {
  const jobs = prepared.filter(isJob);
  const outcomes = await call.tokens.operateNamedKeys(call.peer, call.token, key.name, jobs);
  let next = 0;
  return prepared.map((each) => (each instanceof ItemFault ? each : finishJob(each, outcomes[next++])));
}

function finishJob({ finish }: KeyJob, outcome: Outcome | undefined): object {
  if (!Buffer.isBuffer(outcome)) return faultOfItem(outcome);
  try {
    return finish(outcome);
  } catch (error) {
    return faultOfItem(error);
  }
}

function attempt<Result>(work: () => Result): Result | ItemFault {
  try {
    return work();
  } catch (error) {
    return faultOfItem(error);
  }
}
