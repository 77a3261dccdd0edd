import t from 'tap';
import type { Peer } from '../../src/access/peer.ts';
import { Places } from '../../src/access/places.ts';

const peer = (pid: number, uid: number): Peer => ({
  ...{ pid, uid, gid: uid, groups: [], startTime: '7' },
  ...{ executable: null, unit: null },
});

function takeAll(places: Places, from: Peer): (() => void)[] {
  const held: (() => void)[] = [];
  for (let leave = places.take(from); leave !== null; leave = places.take(from)) held.push(leave);
  return held;
}

t.test('a process, a uid and all of them have their bounds', async (t) => {
  const places = new Places(16);
  t.equal(takeAll(places, peer(1, 1000)).length, 8);
  t.equal(takeAll(places, peer(2, 1000)).length, 4, 'of the same uid');
  t.equal(takeAll(places, peer(3, 1000)).length, 0);
  t.equal(takeAll(places, peer(4, 0)).length, 4, 'what one uid left');
  t.equal(takeAll(places, peer(5, 33)).length, 0);
});

t.test('a place that is given back is free, and once only', async (t) => {
  const places = new Places(4);
  const [first, second] = takeAll(places, peer(1, 1000));
  first?.();
  first?.();
  t.equal(takeAll(places, peer(1, 1000)).length, 1);
  second?.();
  t.equal(takeAll(places, peer(1, 1000)).length, 1);
});
