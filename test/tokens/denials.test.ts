// Refusals are recorded, but a process that is refused all day does not fill the disk.
import { test } from 'tap';
import { Denials } from '../../src/tokens/denials.ts';
import { makeRig, peerOf, type Rig } from './rig.ts';

const STRANGER = 2000;

function recorded(rig: Rig, event: string): Record<string, unknown>[] {
  return rig.records.filter((each) => each.event === event).map(({ fields }) => fields);
}

test('a stranger with ever new processes is some lines a minute, and then the number of the others', async (t) => {
  const rig = await makeRig();
  const knock = (pid: number, uid = STRANGER): void =>
    void t.throws(() => rig.service.findNamedKey(peerOf(pid, uid), 'alpha', 'k'), {
      code: 'token_not_recognized',
    });
  for (let pid = 1; pid <= 500; pid++) knock(pid);
  t.equal(recorded(rig, 'denied').length, 30);
  knock(1, STRANGER + 1);
  t.equal(recorded(rig, 'denied').length, 31, 'another uid has lines of its own');
  rig.now += 60_000;
  knock(501);
  t.match(recorded(rig, 'denied').at(-1), { uid: STRANGER, pid: 501, unrecorded: 470 });
});

test('a program that tries every name it can think of is as well', async (t) => {
  const rig = await makeRig();
  rig.deps.access.permits = () => false;
  const peer = peerOf(7, 1000);
  const wanted = { kind: { kind: 'aes', sizeBits: 256 }, exportable: false, derived: false } as const;
  for (let i = 0; i < 100; i++)
    await t.rejects(rig.service.createNamedKey(peer, 'alpha', `name-${i}`, wanted), {
      code: 'action_prohibited',
    });
  t.equal(recorded(rig, 'denied').length, 30);
});

test('the same refusal is told once', (t) => {
  const denials = new Denials({ monotonic: () => 0 });
  t.equal(denials.take(1, 'a'), 0);
  t.equal(denials.take(1, 'a'), null);
  t.equal(denials.take(1, 'b'), 0);
  t.end();
});
