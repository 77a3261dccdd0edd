"""Rings of a real keeper: what travels by them, and that a client which scribbles over its own harms only itself. Prints TAP.

usage: keeper_ring.py KEEPER [keeper options]
"""
import atexit
import fcntl
import hashlib
import os
import random
import shutil
import struct
import sys
import time

from keeper_ring_client import *  # noqa: F401,F403


def output(reply):
    return Reader(reply['body']).bytes()


def digest(data):
    return operate(BEGIN | FINAL, DIGEST, mechanism=SHA256, data=data)


def gcm(data):
    return operate(BEGIN | FINAL, ENCRYPT, handle=7, mechanism=GCM, params=bs(bytes(12)) + bs(b'') + u32(128), data=data)


def finished_at_once(c, data):
    """What takes long for the keeper, in all slots, by clients that say where they sleep: here, there, where no processor is."""
    for slot in range(SLOTS):
        c.words[WAITING // 4 + slot] = (1, 2, 1000, 0xffffffff)[slot % 4]
        c.ask('operate', operate(BEGIN, DIGEST, number=slot + 1, mechanism=SHA256, data=data), slot=slot)
    for slot in range(SLOTS):
        c.post_as_module(slot, head(MESSAGES['operate']) + operate(FINAL, DIGEST, number=slot + 1, data=bytes([slot])))
    good = all(output(c.wait(slot)) == hashlib.sha256(data + bytes([slot])).digest() for slot in range(SLOTS))
    for slot in range(SLOTS):
        c.words[WAITING // 4 + slot] = 0
    return good


def regions(k):
    c = Client(k.pkcs11)
    ok(struct.unpack('<IHHQQQI', c.reply)[0] == 4 and c.reply[32:] == u32(VERSION), 'a ring is given, with its version')
    ok(os.fstat(c.memfd).st_size == SIZE and c.words[0] == VERSION and c.words[1] == SLOTS, 'of the size that both know')
    ok(fcntl.fcntl(c.memfd, F_GET_SEALS) == SEALS, 'which is sealed')
    try:
        os.ftruncate(c.memfd, 0)
        shrunk = True
    except OSError:
        shrunk = False
    ok(not shrunk, 'so that neither can shrink it')
    ok(c.call('ring', u32(VERSION))['status'] == 'ring_absent', 'there is one for each connection')
    ok(len(output(c.ask('random', u32(100)))) == 100, 'random bytes come by it')
    for size in 0, 1, 1000, 16384:
        data = os.urandom(size)
        ok(output(c.ask('operate', digest(data), slot=size % SLOTS)) == hashlib.sha256(data).digest(), 'a digest of %d bytes' % size)
    for slot in range(SLOTS):
        c.request(slot, 'operate', digest(bytes([slot])))
    ok(all(output(c.wait(slot)) == hashlib.sha256(bytes([slot])).digest() for slot in range(SLOTS)), 'all slots at once')
    ok(all(finished_at_once(c, os.urandom(i)) for i in range(50)), 'whatever clients say of where they sleep, each is answered')
    ok(c.ask('random', u32(16385))['status'] == 'arguments_bad', 'no more than a slot holds')
    for size in 40, 47, 48, 49, 50, 100:
        ok(len(output(c.ask('random', u32(size)))) == size, 'a reply of %d bytes, in its line and after it' % size)
    ok(c.call('random', u32(60000))['status'] == 'ok', 'the socket goes on beside it')
    return c


def repeats(k):
    c, data = Client(k.pkcs11), os.urandom(300)
    c.ask('operate', digest(b'first'), slot=2)
    for size in 0, 1, 300:
        c.again(2, digest(data[:size]))
        ok(output(c.wait(2)) == hashlib.sha256(data[:size]).digest(), 'a request with the subject of the one before, and %d bytes' % size)
    c.ask('random', u32(4), slot=2)
    c.again(2, digest(b'same'))
    ok(output(c.wait(2)) == hashlib.sha256(b'same').digest(), 'what has no subject leaves it as it is')
    c.map[REQUESTS + 64 * 2 + 8:REQUESTS + 64 * 2 + 64] = bytes(56)
    c.again(2, digest(b'kept'))
    ok(output(c.wait(2)) == hashlib.sha256(b'kept').digest(), 'it is the keeper\'s, not what stands in the region')
    c.request(2, 'operate', operate(BEGIN | FINAL, DIGEST, mechanism=0xdead)[:SUBJECT])
    ok(c.wait(2)['status'] == 'wire_malformed', 'a subject and nothing behind it')
    c.again(2, digest(b'x'))
    ok(c.wait(2)['status'] == 'mechanism_invalid', 'which is the subject of the next all the same')
    c.sock.close()


def broken(k):
    random_4 = head(MESSAGES['random']) + u32(4)
    again = head(MESSAGES['operate'] | AGAIN)
    rows = [(None, head(MESSAGES['find']), None, 'what is not for a ring'), (None, head(0x7777), None, 'an unknown message'),
            (None, head(MESSAGES['random'] | 0x8000), None, 'a reply'), (None, random_4, 3, 'a frame shorter than its header'),
            (None, random_4, LINE + REST + 1, 'a frame longer than its slot'), (None, random_4, 0xffffffff, 'an absurd length'),
            (None, again + digest(b'')[SUBJECT:], None, 'the subject of a request that there was not'),
            (digest(b''), head(MESSAGES['random'] | AGAIN) + u32(4), None, 'a subject for what has none'),
            (digest(b''), head(MESSAGES['operate'] | AGAIN | 0x2000) + digest(b'')[SUBJECT:], None, 'an unknown bit'),
            (digest(b''), again, LINE + REST, 'more than a slot, with its subject')]
    for before, frame, length, name in rows:
        c = Client(k.pkcs11)
        if before:
            assert c.ask('operate', before, slot=3)['status'] == 'ok'
        c.post(3, frame, length)
        ok(c.closed(), '%s ends the connection' % name)
        c.sock.close()


def misses(k, agent):
    c = Client(k.pkcs11)
    c.request(5, 'operate', gcm(b'wait'))
    asked = agent.receive()
    while asked['type'] != MESSAGES['resolve']:
        asked = agent.receive()
    ok(c.running(5), 'a request that waits for the agent is marked')
    ok(output(c.ask('operate', digest(b'x'))) == hashlib.sha256(b'x').digest(), 'and no worker')
    agent.sock.sendall(struct.pack('<IHHQQQ', 0, MESSAGES['resolve'] | 0x8000, 80, asked['id'], asked['client'], 0))
    ok(c.wait(5)['status'] == 'object_handle_invalid', 'the answer comes into the slot')
    bind(agent, c)
    ok(len(output(c.ask('operate', gcm(b'bound')))) == 21, 'once bound it is served at once')
    epoch = struct.unpack('<Q', c.map[128:136])[0]
    agent.call('unbind', u64(c.number) + u64(1) + u64(7))
    ok(struct.unpack('<Q', c.map[128:136])[0] != epoch, 'a binding that is dropped changes the epoch in the region')
    c.request(6, 'operate', gcm(b'gone'))
    time.sleep(0.1)
    c.sock.close()
    time.sleep(0.1)
    ok(k.process.poll() is None, 'a client that goes while it waits takes nothing along')


def bind(agent, c):
    cell = made(agent.call('cell_generate', new_key(SECRET, AES) + u64(0x1080) + bs(b'') + template([(VALUE_LEN, u64(32))])))[0]
    assert agent.call('bind', u64(c.number) + u64(1) + u64(7) + u32(0xff) + u64(cell) + u32(0) + u8(0) + u32(0) + u8(0))['status'] == 'ok'


def scribble(path, seed, seconds):
    """In a process of its own: posts requests, sound ones and others, and writes over everything meanwhile."""
    rng = random.Random(seed)
    until = time.time() + seconds
    while time.time() < until:
        c = Client(path)
        c.sock.setblocking(False)
        for _ in range(rng.randrange(50, 2000)):
            slot, what = rng.randrange(SLOTS), rng.randrange(8)
            if what < 3:
                body = digest(bytes(rng.randrange(16000)))
                frame = head(MESSAGES['operate']) + body if rng.randrange(3) else head(MESSAGES['operate'] | AGAIN) + body[SUBJECT:]
                c.post(slot, frame, None if rng.randrange(50) else rng.randrange(1 << 32))
            elif what == 3:
                line = rng.choice((REQUESTS, REPLIES))
                c.mark(line, slot, rng.randrange(6) if rng.randrange(20) else rng.randrange(1 << 32), rng.randrange(1 << 15))
            elif what == 4:
                at = REQUESTS + 64 * slot + rng.randrange(56)
                c.map[at:at + 8] = rng.randbytes(8)
            elif what == 5:
                at = 4 * rng.randrange(RESTS // 4)
                c.map[at:at + 4] = rng.randbytes(4)
            elif what == 6:
                at = RESTS + slot * REST + 50
                c.map[at:at + 16000] = rng.randbytes(16000)
            else:
                os.write(c.bell, u64(1))
            try:
                if c.sock.recv(1) == b'':
                    break
            except BlockingIOError:
                pass
            except OSError:
                break
        c.sock.close()
        c.words.release()
        c.marks.release()
        c.map.close()
        os.close(c.memfd)
        os.close(c.bell)


def straight(c):
    """What is long is enciphered into the ring itself, also in parts and where no part ends with a block."""
    data = os.urandom(16384)
    expected = output(c.call('operate', gcm(data)))
    for slot in 0, 1:
        ok(output(c.ask('operate', gcm(data), slot=slot)) == expected, 'sixteen kilobytes by the ring are enciphered as by the socket')
    found, at = b'', 0
    for end, flags in (5000, BEGIN), (9097, 0), (9100, 0), (15000, 0), (16384, FINAL):
        first = {'handle': 7, 'mechanism': GCM, 'params': bs(bytes(12)) + bs(b'') + u32(128)} if flags == BEGIN else {}
        found += output(c.ask('operate', operate(flags, ENCRYPT, number=9, data=data[at:end], **first), slot=end % SLOTS))
        at = end
    ok(found == expected, 'and so are parts of them')


def hostile(k, agent):
    c = Client(k.pkcs11)
    bind(agent, c)
    straight(c)
    expected = output(c.ask('operate', gcm(b'the same' * 100)))
    children = []
    for seed in range(2):
        pid = os.fork()
        if pid == 0:
            try:
                scribble(k.pkcs11, seed, 4)
                os._exit(0)
            except BaseException as e:
                print('# scribbler:', repr(e), flush=True)
                os._exit(1)
        children.append(pid)
    done, wrong, until = 0, 0, time.time() + 4
    while time.time() < until:
        data = os.urandom(random.randrange(3000))
        wrong += output(c.ask('operate', digest(data), slot=done % SLOTS)) != hashlib.sha256(data).digest()
        wrong += output(c.ask('operate', gcm(b'the same' * 100), slot=done % SLOTS)) != expected
        c.again(done % SLOTS, gcm(b'the same' * 100))
        wrong += output(c.wait(done % SLOTS)) != expected
        done += 1
    ends = [os.waitpid(pid, 0)[1] for pid in children]
    print('# %d operations beside two that scribble' % done)
    ok(done > 0 and wrong == 0, 'beside clients that scribble over their regions another client gets what is right')
    ok(ends == [0, 0], 'they were served or hung up on')
    ok(k.process.poll() is None, 'and the keeper lives')
    return c


def switches(k):
    total = 0
    for task in os.listdir('/proc/%d/task' % k.process.pid):
        for line in open('/proc/%d/task/%s/status' % (k.process.pid, task)):
            if line.startswith('voluntary'):
                total += int(line.split()[1])
    return total


def sleeps(k):
    """ThreadSanitizer has a thread of its own, which does not."""
    for _ in range(15):
        before = switches(k)
        time.sleep(1)
        if switches(k) == before:
            return True
    return False


k = Keeper()
atexit.register(lambda: k.process.kill())
agent = Connection(k.control)
agent.call('attach', u32(2) + bs(b'test'))
kept = regions(k)
repeats(k)
broken(k)
misses(k, agent)
busy = hostile(k, agent)
ok('tsan' in sys.argv[1] or sleeps(k), 'with rings that nobody uses it does not wake')
ok(output(kept.ask('operate', digest(b'after'))) == hashlib.sha256(b'after').digest(), 'and one bell wakes it')
k.process.terminate()
ok(k.process.wait(10) == 0, 'it ends when it is told to')
reports = [line for line in k.lines if b'Sanitizer' in line]
ok(not reports, 'without a report of a sanitiser')
for line in reports[:5]:
    print('#', line)
shutil.rmtree(k.dir)
done()
