"""A real keeper on temporary sockets, spoken to as module and as agent. Prints TAP.

usage: keeper_process.py KEEPER [keeper options]
"""
import atexit
import os
import shutil
import struct
import subprocess
import sys
import time

from keeper_bindings import bindings
from keeper_operations import asymmetric, ciphers, many, rsa_parts
from keeper_rig import *  # noqa: F401,F403


def greetings(k):
    c = Connection(k.pkcs11)
    c.send('random', u32(4))
    ok(closed(c), 'a module that does not greet is hung up on')
    c = Connection(k.pkcs11)
    reply = c.call('hello', u32(99) + bs(b''))
    ok(reply['status'] == 'wire_version' and reply['body'] == u32(2), 'another wire version is refused, and ours is named')
    reply = c.call('hello', u32(2) + bs(b''))
    ok(reply['status'] == 'ok' and reply['body'][:4] == u32(2), 'after which that one may be spoken')
    c = Connection(k.pkcs11)
    ok(c.call('hello', u32(0) + bs(b''))['status'] == 'wire_version', 'a version from before the oldest is refused')
    c = k.module()
    c.send('hello', u32(2) + bs(b''))
    ok(closed(c), 'greeting twice ends the connection')
    c = k.module()
    c.send('cell_list')
    ok(closed(c), "a module that sends an agent's message is hung up on")
    c = k.module()
    c.sock.sendall(struct.pack('<IHHQQQ', 98305, 4, 0, 1, 0, 0))
    ok(closed(c), 'a body over the bound ends the connection')
    c = k.module()
    ok(c.call('random', b'\1')['status'] == 'wire_malformed', 'a body that does not parse gets a status')
    ok(c.call('random', u32(65537))['status'] == 'arguments_bad', 'too much randomness is refused')
    ok(len(output(c.call('random', u32(65536)))) == 65536, 'as much as one frame holds is given')
    c.sock.sendall(struct.pack('<IHHQQQ', 4, 4, 0, 77, 0, 0)[:20])
    time.sleep(0.05)
    c.sock.sendall(struct.pack('<IHHQQQ', 4, 4, 0, 77, 0, 0)[20:] + u32(8)[:2])
    time.sleep(0.05)
    c.sock.sendall(u32(8)[2:])
    ok(c.receive()['id'] == 77, 'a frame may come in pieces')
    ids = [c.send('random', u32(60000)) for _ in range(40)]
    time.sleep(0.3)
    ok(sorted(c.receive()['id'] for _ in ids) == ids, 'who reads late gets every answer all the same')


def digests(k):
    c = k.module()
    data = os.urandom(150000)
    import hashlib
    ok(output(c.call('operate', operate(3, DIGEST, mechanism=SHA256, data=data[:65536]))) == hashlib.sha256(data[:65536]).digest(),
       'a digest in one part')
    c.call('operate', operate(BEGIN, DIGEST, 5, mechanism=SHA256, data=data[:65536]))
    c.call('operate', operate(0, DIGEST, 5, data=data[65536:131072]))
    ok(output(c.call('operate', operate(FINAL, DIGEST, 5, data=data[131072:]))) == hashlib.sha256(data).digest(),
       'and in several')
    ok(output(c.call('operate', operate(FINAL, DIGEST, 5))) == 'operation_lost', 'an operation that ended is lost')
    c.call('operate', operate(BEGIN, DIGEST, 6, mechanism=SHA256))
    ok(output(c.call('operate', operate(CANCEL, DIGEST, 6))) == b'', 'one can be cancelled')
    ok(output(c.call('operate', operate(0, DIGEST, 6, data=b'x'))) == 'operation_lost', 'and is lost then')
    check = Reader(c.call('bind_check', PLACE + u8(DIGEST) + u64(0) + u64(SHA256) + bs(b''))['body'])
    ok((check.u8(), check.u32()) == (1, 32), 'bind_check says how much a digest gives')
    ok(c.call('bind_check', PLACE + u8(DIGEST) + u64(0) + u64(GCM) + bs(b''))['status'] == 'mechanism_invalid',
       'and that a cipher is none')


def sealing(agent):
    by, _, _ = secret(agent, os.urandom(32))
    cell, public, blob = secret(agent, b'k' * 32, sealing=by, aad=b'row 1')
    again = lambda aad, b=blob, cls=SECRET: agent.call('cell_open', new_key(cls, AES) + u64(by) + bs(aad) + bs(b))
    ok(made(again(b'row 1'))[1] == public, 'a sealed key opens with its row')
    ok(again(b'row 2')['status'] == 'seal_broken', 'and not with another')
    ok(again(b'row 1', blob[:-1])['status'] == 'seal_broken', 'nor cut short')
    ok(again(b'row 1', cls=PRIVATE)['status'] == 'seal_broken', 'nor as another class')
    copy, _, _ = made(agent.call('cell_copy', new_key(0, 0, lease=1000) + u64(cell)))
    ok(output(agent.call('cell_seal', u64(copy) + u64(by) + bs(b'')))[:1] == b'\1', 'a copy is sealed anew')
    agent.call('cell_drop', u64(cell))
    ok(agent.call('cell_seal', u64(cell) + u64(by) + bs(b''))['status'] == 'cell_unknown', 'a dropped cell is unknown')
    ok(agent.call('cell_drop', u64(cell))['status'] == 'ok', 'and may be dropped again')


def leases(agent):
    started = time.time()
    cell, _, _ = secret(agent, bytes(16), lease=400)
    agent.call('cell_operate', u64(cell) + operate(BEGIN, ENCRYPT, 3, mechanism=GCM, params=gcm()))
    event = agent.receive()
    ok(event['type'] == MESSAGES['cell_ended'] and event['body'] == u64(cell) + u8(1) and 0.39 < time.time() - started < 3,
       'a lease ends by itself, in time')
    ok(output(agent.call('cell_operate', u64(cell) + operate(FINAL, ENCRYPT, 3))) == 'operation_lost', 'and its operations with it')
    cell, _, _ = secret(agent, bytes(16), uses=1)
    agent.send('cell_operate', u64(cell) + operate(3, ENCRYPT, mechanism=GCM, params=gcm()))
    got = sorted((agent.receive()['type'] for _ in range(2)))
    ok(got == [MESSAGES['cell_ended'], MESSAGES['cell_operate'] | 0x8000], 'a lease of one use gives one')


def routes(k, agent, c):
    c.send('create', bs(template([(VALUE, b's' * 16)])) + PLACE + template([(0, u64(SECRET))]))
    frame = agent.receive()
    body = Reader(frame['body'])
    lengths = Reader(body.bytes()).template()
    ok(lengths == {VALUE: u64(16)} and b'ssss' not in frame['body'], 'the agent sees the lengths of material, not the material')
    made_ = agent.call('cell_import', new_key(SECRET, AES) + u64(frame['id']) + template([]))
    cell = made(made_)[0]
    ok(agent.call('cell_import', new_key(SECRET, AES) + u64(frame['id']) + template([]))['status'] == 'template_incomplete', 'which is taken once')
    agent.send('create', u64(42), id=frame['id'], client=c.number, reply=True)
    ok(c.receive()['body'] == u64(42), "the agent's answer is the module's")
    c.send('create', bs(template([])) + PLACE + template([(0, u64(1))]))
    frame = agent.receive()
    ok(Reader(Reader(frame['body']).bytes()).template() == {}, 'an object without material has none')
    agent.send('create', id=frame['id'], client=c.number, status=85, reply=True)
    ok(c.receive()['status'] == 'template_incomplete', 'a refusal is passed on')
    c.send('get_attributes', PLACE + u64(42) + u32(2) + u64(VALUE) + u64(3))
    frame = agent.receive()
    agent.send('get_attributes', u64(cell) + u32(2) + u64(VALUE) + u8(3) + bs(None) + u64(3) + u8(0) + bs(b'name'), id=frame['id'], client=c.number, reply=True)
    body = Reader(c.receive()['body'])
    ok(Reader(body.bytes()).template() == {VALUE: b's' * 16} and body.u32() == 2, 'material is put in on the way out')
    c.send('slots')
    c.send('destroy', PLACE + u64(9))
    first, second = agent.receive(), agent.receive()
    agent.send('destroy', id=second['id'], reply=True)
    agent.send('slots', u32(0), id=first['id'], reply=True)
    ok([c.receive()['type'] & 0x7fff for _ in range(2)] == [MESSAGES['destroy'], MESSAGES['slots']], 'answers come in any order')


def refused_event(agent):
    while True:
        frame = agent.receive()
        if frame['type'] == MESSAGES['client_refused']:
            return Reader(frame['body'])


def versions(k, agent):
    """An agent of the last release, then one of this, then the old one again."""
    agent.sock.close()
    time.sleep(0.2)
    agent = k.agent(1)
    ok(len(agent.call('state')['body']) == 49, 'an agent of the last release gets the layouts that it knows')
    old = Connection(k.pkcs11)
    reply = old.call('hello', u32(2) + bs(b'new module'))
    ok(reply['status'] == 'wire_version' and reply['body'] == u32(1), 'no module may speak a later version than the agent')
    ok(old.call('hello', u32(1) + bs(b'new module'))['status'] == 'ok', 'but that of the agent')
    ok(agent.receive()['body'][-14:] == bs(b'new module'), 'which is told of it in its own version')
    agent.sock.close()
    time.sleep(0.2)
    new = Connection(k.pkcs11)
    ok(new.call('hello', u32(2) + bs(b'new'))['status'] == 'ok', 'without an agent a module may speak the latest')
    ok(new.call('ring', u32(77))['status'] == 'ring_absent', 'a ring of another version is refused')
    agent = Connection(k.control)
    reply = agent.call('attach', u32(3) + bs(b''))
    ok(reply['status'] == 'wire_version' and reply['body'] == u32(2), 'a later agent is refused, and told ours')
    ok(agent.call('attach', u32(2) + bs(b''))['body'][:4] == u32(2), 'and may come down to it')
    listed = agent.call('client_list')['body']
    ok(bs(b'new') + u32(2) + u8(0) + u32(93) in listed, 'it learns the version of each module, and why it has no ring')
    ok(bs(b'new module') + u32(1) in listed, 'of the old ones as well')
    lost = Connection(k.pkcs11)
    lost.call('hello', u32(7) + bs(b'later'))
    lost.sock.close()
    event = refused_event(agent)
    ok((event.u32(), event.u32(), event.u32(), event.bytes()) == (7, os.getpid(), os.getuid(), b'later'), 'and who was turned away')
    agent.sock.close()
    time.sleep(0.2)
    agent = k.agent(1)
    ok(closed(new), 'when an agent of the last release comes, modules that speak a later version have to come anew')
    ok(len(output(old.call('random', u32(8)))) == 8, 'and the others stay')
    ok(old.call('generate_domain')['status'] == 'wire_version', 'what the agreed version does not have is refused')
    old.send('operate', operate(3, ENCRYPT, handle=71, mechanism=GCM, params=gcm(), data=b''))
    while True:
        asked = agent.receive()
        if asked['type'] == MESSAGES['resolve']:
            break
    ok(len(asked['body']) == 34, 'and resolve does not say why')
    old.sock.close()
    return agent


def agents(k, agent, c):
    other = Connection(k.control)
    ok(other.call('attach', u32(2) + bs(b'two'))['status'] == 'agent_present', 'there is one agent at a time')
    agent.call('client_note', u64(c.number) + bs(b'remember'))
    keeper = {}
    c.send('operate', operate(3, ENCRYPT, handle=70, mechanism=GCM, params=gcm(), data=b''))
    asked = agent.receive()
    c.send('login', u64(1) + u64(1) + bs(b'pin') + u64(0))
    agent.receive()
    agent.sock.close()
    ok(c.receive()['status'] == 'agent_absent', 'what a dead agent may have done is answered')
    slots = c.send('slots')
    again = k.agent()
    frames = [again.receive(), again.receive()]
    ok([f['type'] for f in frames] == [MESSAGES['resolve'], MESSAGES['slots']] and frames[0]['body'] == asked['body'],
       'the next one is asked again, and gets what came meanwhile')
    again.send('slots', u32(0), id=frames[1]['id'], reply=True)
    ok(c.receive()['id'] == slots, 'which it answers')
    cell, _, _ = secret(again, bytes(16))
    bind(again, c.number, cell, 70)
    again.send('resolve', id=frames[0]['id'], client=c.number, reply=True)
    ok(len(output(c.receive())) == 16, 'and the operation goes on')
    listed = Reader(again.call('client_list')['body'])
    ok(b'remember' in listed.data, 'notes are kept for it')
    usage = Reader(again.call('usage')['body'])
    ok(usage.u32() > 0 and Reader(again.call('usage')['body']).u32() == 0, 'counters are given once')
    again.sock.close()
    time.sleep(0.2)
    started = time.time()
    c.sock.settimeout(20)
    ok(c.call('slots')['status'] == 'agent_absent' and 9 < time.time() - started < 15, 'without an agent a call ends by its deadline')
    return k.agent()


def floods(k):
    """Partial frames hold no more than their share, and nobody else's requests wait for it."""
    hogs, started = [], time.time()
    for _ in range(40):
        hog = k.module()
        hog.sock.sendall(struct.pack('<IHHQQQ', 98304, 4, 0, 1, 0, 0) + bytes(90000))
        hogs.append(hog)
    c = k.module()
    ok(len(output(c.call('random', u32(16)))) == 16, 'forty half frames do not stop a small one')
    ok(time.time() - started < 8, 'nor does it wait for them to be given up: %.1f s' % (time.time() - started))
    for hog in hogs[:-1]:
        hog.sock.close()
    time.sleep(0.2)
    hogs[-1].sock.sendall(bytes(8304))
    ok(hogs[-1].receive()['status'] == 'wire_malformed', 'one that had to wait for memory goes on when there is some')
    for hog in hogs:
        hog.sock.close()
    time.sleep(0.5)


def confinement(k):
    status = dict(line.split(':\t', 1) for line in open('/proc/%d/status' % k.process.pid) if ':\t' in line)
    ok(status['Seccomp'].strip() == '2' and status['NoNewPrivs'].strip() == '1', 'a filter is in place and privileges are not gained')
    limits = open('/proc/%d/limits' % k.process.pid).read()
    ok('Max core file size        0                    0' in limits, 'it leaves no core')
    ok(os.stat(k.control).st_mode & 0o7777 == 0o600 and os.stat(k.pkcs11).st_mode & 0o7777 == 0o600, 'its sockets have the mode that was asked for')
    ok(sleeps(k), 'idle, it does not wake')


def sleeps(k):
    # What earlier checks left behind (a deadline, a half frame) is timed for 10 s at most; a poll would go on for ever.
    for _ in range(15):
        before = switches(k)
        time.sleep(1)
        if switches(k) == before:
            return True
    return False


def switches(k):
    total = 0
    for task in os.listdir('/proc/%d/task' % k.process.pid):
        for line in open('/proc/%d/task/%s/status' % (k.process.pid, task)):
            if 'ctxt_switches' in line:
                total += int(line.split()[1])
    return total


def starts(k):
    second = subprocess.run([*sys.argv[1:], '--pkcs11', k.pkcs11, '--control', k.control], stderr=subprocess.PIPE)
    ok(second.returncode == 69 and b'another process answers' in second.stderr, 'a socket that answers is not taken over')
    k.process.kill()
    k.process.wait()
    k.start('--pkcs11-mode', '0666', '--linger', '1')
    ok(os.stat(k.pkcs11).st_mode & 0o7777 == 0o666, 'a stale one is, and the mode can be chosen')
    ok(k.process.wait(5) == 0, 'and it ends when it has lingered for nobody')
    usage = subprocess.run([*sys.argv[1:], '--pkcs11-mode', '9'], stderr=subprocess.PIPE)
    ok(usage.returncode == 64, 'a wrong option is a usage error')
    import json
    table = json.loads(subprocess.run([*sys.argv[1:], '--mechanisms'], stdout=subprocess.PIPE).stdout)
    ok(any(row['name'] == 'CKM_AES_GCM' and row['min'] == 16 for row in table), 'the mechanism table is JSON')


k = Keeper()
atexit.register(lambda: k.process.kill())
ok(True, 'the keeper starts')
greetings(k)
digests(k)
agent = k.agent()
c = bindings(k, agent)
ciphers(agent)
many(agent)
asymmetric(agent)
rsa_parts(agent)
sealing(agent)
leases(agent)
routes(k, agent, c)
agent = agents(k, agent, c)
agent = versions(k, agent)
agent.sock.close()
floods(k)
confinement(k)
starts(k)
shutil.rmtree(k.dir)
done()
