"""The agent's ring of a real keeper: who gets it, what travels by it, and that it ends with the agent's connection. Prints TAP.

usage: keeper_agent_ring.py KEEPER [keeper options]
"""
import atexit
import os
import signal
import sys
import time

from keeper_ring_client import *  # noqa: F401,F403


class AgentRing(Client):
    """A second connection to the control socket."""

    def __init__(self, path):
        Connection.__init__(self, path)
        self.take_ring()

    def many(self, items, slot=0):
        self.request(slot, 'cell_operate_many', u32(len(items)) + b''.join(bs(i) for i in items))
        return results(self.wait(slot))


def results(reply):
    if reply['status'] != 'ok':
        return reply['status']
    r, out = Reader(reply['body']), []
    for _ in range(r.u32()):
        status = STATUSES[r.u32()]
        out.append(r.bytes() if status == 'ok' else status)
    return out if r.data == b'' else 'left over'


def seal(cell, data):
    return u64(cell) + operate(BEGIN | FINAL, ENCRYPT, mechanism=GCM, params=gcm(), data=data)


def refused(k, version=VERSION):
    c = Connection(k.control)
    return c.call('ring', u32(version))['status'] == 'ring_absent'


def refused_to_another(k):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if refused(k) else 1)
    return os.waitpid(pid, 0)[1] == 0


def who_gets_it(k):
    ok(refused(k), 'without an agent nobody gets a ring at the control socket')
    agent = k.agent()
    ok(refused_to_another(k), 'nor does a process that is not the agent')
    ok(refused(k, VERSION + 1), 'nor who asks for another version')
    c = Connection(k.control)
    c.send('ring', b'')
    ok(c.answer('ring')['status'] == 'wire_malformed', 'nor who names none')
    c = Connection(k.control)
    c.send('ring', u32(VERSION))
    c.exactly(36)
    c.send('state')
    ok(closed(c), 'a ring\'s connection that sends what only the agent may is closed')
    agent.send('ring', u32(VERSION))
    ok(closed(agent), 'and so is the agent\'s, if it asks there')


def operations(k, agent, ring):
    cell, _, _ = secret(agent, bytes(32))
    alone = lambda data: output(agent.call('cell_operate', seal(cell, data)))
    ok(ring.many([seal(cell, b'a')]) == [alone(b'a')], 'an operation by the ring is the same as by the socket')
    sizes = [[1024] * 8, [0, 1, 5000, 47, 4096], [15000]]
    for turn, each in enumerate(sizes):
        data = [os.urandom(n) for n in each]
        ok(ring.many([seal(cell, d) for d in data], slot=turn) == [alone(d) for d in data], '%s bytes together' % each)
    data = [os.urandom(5000)] * 3
    got = ring.many([seal(cell, d) for d in data])
    ok(got == [alone(data[0])] * len(got) and 0 < len(got) <= 3, 'what has no room for its answer is not begun')
    once, _, _ = secret(agent, bytes(32), uses=1)
    ok(len(ring.many([seal(once, b'1')])[0]) == 17 and ring.many([seal(once, b'2')]) == ['cell_unknown'], 'a lease counts')
    agent.call('cell_drop', u64(cell))
    ok(ring.many([seal(cell, b'a')]) == ['cell_unknown'], 'a cell that was dropped is gone for the ring, too')
    ring.request(0, 'cell_operate_many', u32(2) + bs(b''))
    ok(results(ring.wait(0)) == 'wire_malformed', 'a frame that breaks off is refused whole')


def stopped(k, agent, ring):
    cell, _, _ = secret(agent, bytes(32))
    os.kill(k.process.pid, signal.SIGSTOP)
    time.sleep(0.1)
    ring.request(3, 'cell_operate_many', u32(1) + bs(seal(cell, b'late')))
    time.sleep(0.1)
    early = ring.mark(REPLIES, 3)[0] == ring.turns[3]
    os.kill(k.process.pid, signal.SIGCONT)
    ok(not early and len(results(ring.wait(3))[0]) == 20, 'a keeper that was stopped answers afterwards')


def broken(k):
    for name, frame, length in (
            ('what only a module sends', head(MESSAGES['operate']) + digest_frame(), None),
            ('another message of the agent', head(MESSAGES['cell_drop']) + u64(1), None),
            ('its own request as a reply', head(MESSAGES['cell_operate_many'] | 0x8000), None),
            ('a subject', head(MESSAGES['cell_operate_many'] | AGAIN) + u32(0), None),
            ('a length beyond the slot', head(MESSAGES['cell_operate_many']), LINE + REST + 1)):
        agent = k.agent()
        ring = AgentRing(k.control)
        ring.post(1, frame, length)
        ok(ring.closed(), '%s ends the ring' % name)
        ok(agent.call('state')['status'] == 'ok', 'and not the agent\'s connection')
        agent.sock.close()
        wait_for_no_agent(k)


def digest_frame():
    return operate(BEGIN | FINAL, 5, mechanism=SHA256, data=b'')


def wait_for_no_agent(k):
    for _ in range(500):
        c = Connection(k.control)
        if c.call('attach', u32(2) + bs(b'probe'))['status'] == 'ok':
            break
        time.sleep(0.01)
    c.sock.close()
    time.sleep(0.05)


k = Keeper()
atexit.register(lambda: k.process.kill())
who_gets_it(k)
wait_for_no_agent(k)
agent = k.agent()
ring = AgentRing(k.control)
operations(k, agent, ring)
stopped(k, agent, ring)
module = Client(k.pkcs11)
module.post(0, head(MESSAGES['cell_operate_many']) + u32(0))
ok(module.closed(), 'a module that sends an agent\'s frame by its ring is hung up on')
agent.sock.close()
ok(ring.closed(), 'the ring ends with the agent\'s connection')
wait_for_no_agent(k)
broken(k)
ok(k.process.poll() is None and k.stop() == 0, 'and the keeper lives')
done()
