import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { test, type Test } from 'tap';
import { KeeperConnection } from '../../src/keeper/keeper-connection.ts';
import { ScriptedKeeper } from './scripted-keeper.ts';

async function connected(t: Test): Promise<{ keeper: ScriptedKeeper; connection: KeeperConnection }> {
  const dir = mkdtempSync(join(tmpdir(), 'sidekey-'));
  const path = join(dir, 'control.sock');
  const keeper = new ScriptedKeeper();
  await keeper.listen(path);
  const listener = { frame: () => undefined, closed: () => undefined };
  const connection = await KeeperConnection.open(path, listener);
  t.teardown(() => {
    connection.close('over');
    keeper.close();
    rmSync(dir, { recursive: true });
  });
  return { keeper, connection };
}

// Operations that the keeper did not begin in time are gathered again while others are: they must not wait for ever.
test('what is gathered while gathering is sent with the next turn', async (t) => {
  const { keeper, connection } = await connected(t);
  keeper.answers.cell_drop = () => Buffer.alloc(0);
  const done: string[] = [];
  const ask = (name: string): void =>
    void connection.request('cell_drop', Buffer.alloc(8), 1000).then(() => done.push(name));
  connection.beforeFlush(() => {
    ask('first');
    connection.beforeFlush(() => ask('second'));
  });
  for (let i = 0; i < 100 && done.length < 2; i++) await turn();
  t.same(done, ['first', 'second']);
});

test('a long body is sent as it is, and wiped like a short one', async (t) => {
  const { keeper, connection } = await connected(t);
  const seen: number[] = [];
  keeper.answers.cell_operate_many = ({ body }) => {
    seen.push(body.length, body[0] ?? 0, body.at(-1) ?? 0);
    return Buffer.alloc(0);
  };
  for (const bytes of [10, 98_304, 20_000]) {
    const body = Buffer.alloc(bytes, 7);
    await connection.request('cell_operate_many', body, 1000);
    t.ok(
      body.every((byte) => byte === 0),
      `${bytes} bytes`,
    );
  }
  t.same(seen, [10, 7, 7, 98_304, 7, 7, 20_000, 7, 7]);
  const body = Buffer.alloc(98_305, 7);
  await t.rejects(connection.request('cell_operate_many', body, 1000), { code: 'data_len_range' });
  t.ok(
    body.every((byte) => byte === 0),
    'one that is too long',
  );
});
