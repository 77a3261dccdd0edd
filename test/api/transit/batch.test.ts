import { test } from 'tap';
import { answerItems } from '../../../src/api/transit/batch.ts';
import { Refusal } from '../../../src/api/fault.ts';

test('a batch that is refused as a whole begins no further item', async (t) => {
  const begun: string[] = [];
  const work = async ({ reference }: { reference: string }): Promise<object> => {
    begun.push(reference);
    await null;
    if (reference === '0') throw new Refusal(403, 'permission denied');
    return {};
  };
  const items = Array.from({ length: 1000 }, (_, index) => ({ reference: String(index) }));
  await t.rejects(answerItems({ reference: '', batch_input: items }, work), { message: 'permission denied' });
  await new Promise((done) => setImmediate(done));
  t.ok(begun.length < items.length / 2, `${begun.length} were begun`);
});
