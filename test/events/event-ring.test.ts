/** Events are kept in order, bounded, and found again by whoever comes back. */
import t from 'tap';
import { eventTypeOf, teeAudit } from '../../src/events/audit-events.ts';
import { EventRing } from '../../src/events/event-ring.ts';

function makeRing(max = 3) {
  return new EventRing({ max, run: 'aa', now: () => 0 });
}

t.test('who was away is told what it missed, or that it missed too much', async (t) => {
  const ring = makeRing();
  for (const name of ['a', 'b', 'c', 'd']) ring.publish('login', { name });
  const names = (id: string | null) => {
    const { gap, events } = ring.after(id);
    return [gap, ...events.map(({ fields }) => fields['name'])];
  };
  t.same(names('aa.2'), [false, 'c', 'd']);
  t.same(names('aa.1'), [false, 'b', 'c', 'd']);
  t.same(names('aa.0'), [true, 'b', 'c', 'd']);
  t.same(names('aa.4'), [false]);
  t.same(names(null), [false]);
  for (const foreign of ['bb.2', 'aa.5', 'aa.', 'aa', '', 'aa.-1', 'aa.99999999999999999999'])
    t.same(names(foreign), [true, 'b', 'c', 'd'], foreign);
});

t.test('who listens hears everything until it ends', async (t) => {
  const ring = makeRing(1);
  const ids: string[] = [];
  const end = ring.subscribe(({ id }) => ids.push(id));
  ring.publish('login', {});
  ring.publish('logout', {});
  t.equal(ring.subscribers, 1);
  end();
  ring.publish('login', {});
  t.same(ids, ['aa.1', 'aa.2']);
  t.equal(ring.subscribers, 0);
});

t.test('acts are events when they stand in the audit log, and keys alone count as keys', async (t) => {
  t.equal(eventTypeOf('object-destroyed', { class: 4 }), 'key-destroyed');
  t.equal(eventTypeOf('object-destroyed', { class: 1 }), null, 'a certificate');
  t.equal(eventTypeOf('key-used', {}), null);
  const heard: string[] = [];
  const failing = teeAudit(
    {
      record: () => {
        throw new Error('disk full');
      },
      durable: () => Promise.resolve(),
    },
    (event) => heard.push(event),
  );
  t.throws(() => failing.record('login', {}));
  t.same(heard, []);
});
