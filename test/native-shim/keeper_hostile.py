"""Clients that cost others: what they may hold of a real keeper's memory and time, and that nobody else pays for it. Prints TAP.

usage: keeper_hostile.py KEEPER [keeper options]
"""
import atexit
import os
import random
import shutil
import socket
import stat
import struct
import time

from keeper_rig import *  # noqa: F401,F403

BODY_MAX, DATA_MAX, DEADLINE_S, NOBODY = 98304, 65536, 10, 65534
PRIVATE, RSA, GCM, ENCRYPT = 3, 0, 0x1087, 1


class Agent(Connection):
    def __init__(self, k):
        super().__init__(k.control)
        assert self.call('attach', u32(2) + bs(b'test'))['status'] == 'ok'

    def awaited(self, name):
        """The next frame of that kind: of clients it hears as well."""
        while True:
            frame = self.receive()
            if frame['type'] == MESSAGES[name]:
                return frame


def closed(connection):
    try:
        while connection.sock.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def is_served(k, agent, what):
    c = k.module()
    c.send('operate', operate(3, ENCRYPT, handle=7, mechanism=GCM, params=bs(bytes(12)) + bs(b'') + u32(128), data=bytes(60000)))
    asked = agent.awaited('resolve')
    agent.send('resolve', id=asked['id'], status=97, reply=True)
    ok(c.receive()['status'] == 'key_function_not_permitted', what)
    c.sock.close()


def material(k, agent):
    """Lengths take the place of material in what the agent gets, and take more room than what is short."""
    c = k.module()
    empty = bs(template([(0x80000000 + i, b'') for i in range(128)]))
    ok(c.call('create', empty + bytes(BODY_MAX - len(empty)))['status'] == 'memory', 'what would be too long for the agent is refused')
    fits = empty + bytes(BODY_MAX - len(empty) - 128 * 8)
    c.send('create', fits)
    ok(len(agent.awaited('create')['body']) == BODY_MAX, 'what just fits is not')
    c.sock.close()


def partial(k, agent):
    """Half frames leave memory for requests that wait for the agent."""
    hogs = [k.module() for _ in range(40)]
    for hog in hogs:
        hog.sock.sendall(struct.pack('<IHHQQQ', BODY_MAX, 4, 0, 1, 0, 0) + bytes(90000))
    time.sleep(0.3)
    is_served(k, agent, 'forty half frames stop no request that asks the agent')
    late = k.module()
    late.sock.sendall(struct.pack('<IHHQQQ', 40000, 4, 0, 1, 0, 0) + bytes(30000))
    time.sleep(0.2)
    late.sock.sendall(bytes(10000))
    late.sock.settimeout(5)
    ok(late.receive()['status'] == 'wire_malformed', 'nor a frame that comes in two pieces')
    for hog in hogs:
        hog.sock.close()
    stranger = Connection(k.pkcs11)
    stranger.sock.sendall(struct.pack('<IHHQQQ', BODY_MAX, MESSAGES['hello'], 0, 1, 0, 0))
    stranger.sock.settimeout(3)
    ok(closed(stranger), 'who has not greeted sends nothing long')


def as_nobody(work):
    """Whether `work` says yes in a process of another uid."""
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        answer = False
        try:
            answer = work()
        finally:
            os._exit(0 if answer else 1)
    return os.waitpid(pid, 0)[1] == 0


def comes_slowly(k):
    """A frame too long for what the socket holds: the keeper has to keep the first of it while the rest comes."""
    c = k.module()
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    c.sock.settimeout(5)
    c.sock.sendall(struct.pack('<IHHQQQ', 90000, 4, 0, 1, 0, 0) + bytes(90000))
    return c.receive()['status'] == 'wire_malformed'


def shares(k):
    """A uid that holds half frames leaves room for those of another."""
    hogs = [k.module() for _ in range(40)]
    for hog in hogs:
        hog.sock.sendall(struct.pack('<IHHQQQ', BODY_MAX if hog is not hogs[-1] else 30000, 4, 0, 1, 0, 0) + bytes(20000))
    time.sleep(0.3)
    if os.getuid() == 0: # nobody else can become another
        ok(as_nobody(lambda: comes_slowly(k)), 'half frames of one uid stop no long frame of another')
    for hog in hogs:
        hog.sock.close()
    time.sleep(0.2)
    ok(comes_slowly(k), 'and when they are gone there is room for their uid again')


def floods(k):
    """Whoever breaks frames all day fills no log."""
    for _ in range(200):
        k.module().send('cell_list')
    time.sleep(0.5)
    lines = [line for line in k.lines if b'frame_refused' in line]
    ok(0 < len(lines) <= 20, '200 broken connections are %d lines' % len(lines))


def unread(k, agent):
    """A client that reads nothing holds what waits for it until a deadline."""
    hog, slow, frames = k.module(), k.module(), 36
    for c in (hog, slow):
        for _ in range(frames):
            c.send('slots')
        for id in [agent.awaited('slots')['id'] for _ in range(frames)]:
            agent.send('slots', bytes(8000), id=id, reply=True)
    read, last, longest = b'', time.time(), 0
    for _ in range(18): # for some fifteen seconds
        try:
            read += slow.exactly(2 * 8032)
        except (EOFError, ConnectionError):
            pass
        time.sleep(0.8)
        longest, last = max(longest, time.time() - last), time.time()
    hog.sock.settimeout(2)
    ok(closed(hog), 'who reads nothing for ten seconds is hung up on')
    # Where the machine stood still for longer than the deadline, it is rightly hung up on.
    ok(len(read) == frames * 8032 or longest > DEADLINE_S / 2, 'who reads slowly is not')
    is_served(k, agent, 'and the next is served')


def busy(k):
    """Seconds of processor time that the keeper has taken."""
    fields = open('/proc/%d/stat' % k.process.pid).read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def private_keys(k, agent):
    """Exponents that do not belong to the modulus are found out at once: to find its primes takes a hundred tries at worst."""
    r = random.Random(1)
    odd = lambda bits: (r.getrandbits(bits) | 1 | 1 << bits - 1).to_bytes(bits // 8, 'big')
    agent.sock.settimeout(100)
    give = lambda n, d: agent.call('cell_import', new_key(PRIVATE, RSA) + u64(0) + template([(0x120, n), (0x122, b'\1\0\1'), (0x123, d)]))
    started = busy(k)
    ok(give(odd(8192), odd(8192))['status'] == 'attribute_value_invalid', 'a private exponent of another modulus is refused')
    ok(busy(k) - started < 15, 'without a hundred tries: %.1f s' % (busy(k) - started))
    ok(give(odd(2048), odd(32768))['status'] == 'attribute_value_invalid', 'and so is one longer than its modulus')


def modes(k):
    """A socket has its mode from the moment that it is there, whatever the mask of whoever starts the keeper."""
    at = {name: stat.S_IMODE(os.lstat(path).st_mode) for name, path in (('pkcs11', k.pkcs11), ('control', k.control))}
    ok(at == {'pkcs11': 0o666, 'control': 0o600}, 'sockets have their modes: %s' % at)


os.umask(0o077)
k = Keeper('--pkcs11-mode', '0666')
os.chmod(k.dir, 0o711)
atexit.register(k.process.kill)
agent = Agent(k)
modes(k)
material(k, agent)
partial(k, agent)
shares(k)
floods(k)
unread(k, agent)
private_keys(k, agent)
shutil.rmtree(k.dir)
done()
