// Which processes stay logged in when the agent, the keeper or both end, and which must not.
import { join } from 'node:path';
import { test } from 'tap';
import { SidekeyError } from '../../../src/errors.ts';
import { WireWriter } from '../../../src/wire/buffer.ts';
import { makeRig, peerOf, Program, SO_PIN, USER_PIN, type Rig } from '../rig.ts';

const PID = 101;

/** A connection of the process of Program.start(rig, 1n). */
async function connect(rig: Rig, client: bigint, uid = 1000): Promise<Program> {
  const seen = { client, pid: PID, uid, gid: uid, groups: [], program: 'app', note: null };
  rig.keeper.connected.set(client, seen);
  await rig.service.clientOpened(seen);
  return new Program(rig, client);
}

let keepers = 2n;

/** Kills agent and keeper at once: anything not written is lost. */
async function killBoth(rig: Rig): Promise<void> {
  rig.keeper.connected.clear();
  rig.keeper.held.clear();
  await rig.restart(keepers++);
}

const logout = (app: Program): Promise<Buffer> => app.send('logout', new WireWriter().u64(0));
const setPin = (app: Program, before: string, after: string): Promise<Buffer> =>
  app.send('set_pin', new WireWriter().u64(0).u64(1).text(before).text(after));
const isLoggedIn = (app: Program): Promise<boolean> =>
  app.send('logout', new WireWriter().u64(0)).then(
    () => true,
    ({ code }: SidekeyError) => (code === 'user_not_logged_in' ? false : Promise.reject(code)),
  );

test('agent and keeper end at once: the process is logged in as before, and only on this boot of the machine', async (t) => {
  const rig = await makeRig(join(t.testdir(), 'store.db'));
  await (await connect(rig, 1n)).login();
  await killBoth(rig);
  await t.rejects((await connect(rig, 7n)).login(), { code: 'user_already_logged_in' });
  await killBoth(rig);
  t.ok(await isLoggedIn(await connect(rig, 3n)), 'again, from another connection');

  await (await connect(rig, 4n)).login(SO_PIN, 0);
  rig.keeper.connected.clear();
  await rig.restart(3n, 'another boot');
  t.notOk(await isLoggedIn(await connect(rig, 5n)), 'pids and start times mean nothing there');
  t.same(rig.store.logins('boot'), []);
});

test('the agent ends alone, under a keeper that was restarted before: nobody is logged out', async (t) => {
  const rig = await makeRig();
  await (await connect(rig, 1n)).login();
  rig.service.keeperLost();
  rig.keeper.connected.clear();
  await rig.service.keeperAttached(2n);
  await connect(rig, 9n);
  await rig.restart(2n);
  t.ok(await isLoggedIn(new Program(rig, 9n)));
});

test('a login that was ended is not restored', async (t) => {
  const rig = await makeRig();
  const app = await connect(rig, 1n);
  await app.login();
  await logout(app);
  await killBoth(rig);
  t.notOk(await isLoggedIn(await connect(rig, 2n)), 'by C_Logout');

  await (await connect(rig, 3n)).login();
  await rig.service.clientClosed(3n);
  rig.keeper.connected.delete(3n);
  await rig.service.flushUsage();
  await rig.service.clientClosed(2n);
  await rig.service.flushUsage();
  await killBoth(rig);
  t.notOk(await isLoggedIn(await connect(rig, 4n)), 'by the end of its last connection');
});

test('a process that hung up while no agent looked begins anew', async (t) => {
  const rig = await makeRig();
  await (await connect(rig, 1n)).login();
  rig.keeper.connected.clear();
  const seen = { client: 2n, pid: PID, uid: 1000, gid: 1000, groups: [], program: 'app', note: null };
  rig.keeper.connected.set(2n, seen);
  await rig.restart();
  t.notOk(await isLoggedIn(new Program(rig, 2n)), 'and came back');

  await (await connect(rig, 3n)).login();
  rig.keeper.connected.clear();
  await rig.restart();
  t.same(rig.store.logins('boot'), [], 'and did not');
});

test('of two connections of a process the one that logged in may end', async (t) => {
  const rig = await makeRig();
  await (await connect(rig, 1n)).login();
  await connect(rig, 2n);
  rig.service.clientClosed(1n);
  rig.keeper.connected.delete(1n);
  await rig.service.flushUsage();
  await rig.restart();
  t.ok(await isLoggedIn(new Program(rig, 2n)));
});

test('the same pid and start time under another uid is nobody who logged in', async (t) => {
  const rig = await makeRig();
  await (await connect(rig, 1n)).login();
  await killBoth(rig);
  t.notOk(await isLoggedIn(await connect(rig, 2n, 0)));
  t.same(rig.store.logins('boot'), [], 'and it stays so');
});

test('what a process was logged in to does not outlive it', async (t) => {
  const rig = await makeRig();
  await (await connect(rig, 1n)).login();
  rig.keeper.connected.clear();
  Object.assign(rig.deps, {
    readPeer: (pid: number, uid: number) => ({ ...peerOf(pid, uid), startTime: '78' }),
  });
  await rig.restart(2n);
  t.notOk(await isLoggedIn(await connect(rig, 2n)), 'its pid is another process');
  await rig.service.flushUsage();
  t.same(rig.store.logins('boot'), []);
});

test('a new PIN, or a token made anew, ends what would be restored; not for the process that set it', async (t) => {
  const rig = await makeRig();
  await (await connect(rig, 1n)).login();
  const other = await Program.start(rig, 20n);
  await other.login();
  await setPin(other, USER_PIN, 'another');
  const rows = () => rig.store.logins('boot').map(({ process }) => process);
  t.same(rows(), ['120 77']);
  await killBoth(rig);
  t.notOk(await isLoggedIn(await connect(rig, 2n)));
  await t.rejects((await Program.start(rig, 20n)).login('another'), { code: 'user_already_logged_in' });
  await other.send('init_token', new WireWriter().u64(0).text(SO_PIN).text('alpha'.padEnd(32)));
  t.same(rows(), []);
});

test('what the store does not take has not happened: no login, no logout', async (t) => {
  const rig = await makeRig();
  const app = await connect(rig, 1n);
  const fail = (): never => {
    throw new SidekeyError('store_failed', 'the disk is full');
  };
  const { putLogin, dropLogins } = rig.store;
  rig.store.putLogin = fail;
  await t.rejects(app.login(), { code: 'store_failed' });
  rig.store.putLogin = putLogin;
  await app.login();

  rig.store.dropLogins = fail;
  await t.rejects(logout(app), { code: 'store_failed' });
  await t.rejects(setPin(app, USER_PIN, 'another'), { code: 'store_failed' });
  await t.rejects(app.login(), { code: 'user_already_logged_in' });
  rig.service.clientClosed(1n);
  rig.keeper.connected.delete(1n);
  await rig.service.flushUsage();
  const next = await connect(rig, 2n);
  await t.rejects(next.login(), { code: 'store_failed' }, 'the row of the one before is still there');
  rig.store.dropLogins = dropLogins;
  await next.login();
  await logout(next);
  t.same(rig.store.logins('boot'), []);
});
