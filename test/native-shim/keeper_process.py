"""A real keeper on temporary sockets, spoken to as module and as agent. Prints TAP.

usage: keeper_process.py KEEPER [keeper options]
"""
import atexit
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from keeper_client import *  # noqa: E402,F403

load_tables(os.path.join(here, '../../native-shim/wire'))
count = failed = 0
SECRET, PRIVATE, PUBLIC = 4, 3, 2
AES, GENERIC, RSA, EC, ED, X = 0x1F, 0x10, 0, 3, 0x40, 0x41
VALUE, VALUE_LEN, BITS, PARAMS, POINT = 0x11, 0x161, 0x121, 0x180, 0x181
GCM, CBC_PAD, CTR, SHA256, HMAC, PKCS, ECDSA, ECDH = 0x1087, 0x1085, 0x1086, 0x250, 0x251, 1, 0x1041, 0x1050
ENCRYPT, DECRYPT, SIGN, VERIFY, DIGEST = 1, 2, 3, 4, 5
P256 = bytes.fromhex('06082a8648ce3d030107')


def ok(good, sentence):
    global count, failed
    count += 1
    failed += not good
    print('%sok %d - %s' % ('' if good else 'not ', count, sentence), flush=True)


class Keeper:
    def __init__(self, *options, check=True):
        self.dir = tempfile.mkdtemp(prefix='sidekey-')
        self.pkcs11, self.control = self.dir + '/pkcs11.sock', self.dir + '/control.sock'
        self.start(*options, check=check)

    def start(self, *options, check=True):
        self.process = subprocess.Popen([*sys.argv[1:], '--pkcs11', self.pkcs11, '--control', self.control, *options],
                                        stderr=subprocess.PIPE)
        if check:
            line = self.process.stderr.readline()
            assert b'"started"' in line, line
            threading.Thread(target=self.log, daemon=True).start()

    def log(self):
        self.lines = list(self.process.stderr)

    def module(self):
        c = Connection(self.pkcs11)
        reply = c.call('hello', u32(2) + bs(b'test'))
        assert reply['status'] == 'ok'
        c.number = Reader(reply['body'][4:]).u64()
        return c

    def agent(self, version=2):
        c = Connection(self.control)
        assert c.call('attach', u32(version) + bs(b'test'))['status'] == 'ok'
        return c

    def stop(self):
        self.process.terminate()
        code = self.process.wait(10)
        shutil.rmtree(self.dir)
        return code


WHY_USE, WHY_BOUND = 1, 2


def gcm(iv=bytes(12), aad=b'', bits=128):
    return bs(iv) + bs(aad) + u32(bits)


def bind(agent, client, cell, handle, operations=0x1e, mechanisms=(), login=0, credits=0, each=0):
    body = u64(client) + u64(1) + u64(handle) + u32(operations) + u64(cell) + u32(len(mechanisms))
    return agent.call('bind', body + b''.join(map(u64, mechanisms)) + u8(login) + u32(credits) + u8(each))['status']


def secret(agent, value, type=AES, **options):
    return made(agent.call('cell_import', new_key(SECRET, type, **options) + u64(0) + template([(VALUE, value)])))


def output(frame):
    return Reader(frame['body']).bytes() if frame['status'] == 'ok' else frame['status']


def closed(connection):
    try:
        return connection.sock.recv(1) == b''
    except ConnectionError:
        return True


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


def each_asks(agent, c, cell):
    bind(agent, c.number, cell, 9, mechanisms=(GCM,), each=1)
    ok(c.call('bind_check', PLACE + u8(ENCRYPT) + u64(9) + u64(GCM) + bs(gcm()))['status'] == 'ok', 'bind_check is no use')
    for n in range(3):
        c.send('operate', operate(3, ENCRYPT, handle=9, mechanism=GCM, params=gcm(), data=b'text'))
        asked = agent.receive()
        ok(asked['type'] == MESSAGES['resolve'] and asked['body'][-1] == WHY_USE | WHY_BOUND, 'each use asks, though the binding is there')
        agent.send('resolve', id=asked['id'], client=c.number, status=97 if n == 1 else 0, reply=True)
        said = output(c.receive())
        ok(said == 'key_function_not_permitted' if n == 1 else len(said) == 20, 'and ends as the agent says')
    c.send('operate', operate(BEGIN, ENCRYPT, 8, handle=9, mechanism=GCM, params=gcm(), data=b'a'))
    asked = agent.receive()
    agent.send('resolve', id=asked['id'], client=c.number, reply=True)
    begun = output(c.receive())
    ok(isinstance(begun, bytes), 'a multi-part operation asks when it begins')
    more = operate(FINAL, ENCRYPT, 8, data=b'b')
    ok(len(begun + output(c.call('operate', more))) == 18, 'and not again')
    c.send('operate', operate(3, ENCRYPT, handle=9, mechanism=CTR, params=b''))
    asked = agent.receive()
    agent.send('resolve', id=asked['id'], client=c.number, status=97, reply=True)
    ok(c.receive()['status'] == 'key_function_not_permitted', 'a mechanism that is not allowed is the agent\'s to refuse')
    uses_end(agent, c)


def leave(agent, c, flags, number=0, **rest):
    """A use that the agent permits, asking how it ends: the leave's number, and what the module got."""
    c.send('operate', operate(flags, handle=9, number=number, **rest))
    asked = agent.receive()
    agent.send('resolve', u8(1), id=asked['id'], client=c.number, reply=True)
    return asked['id'], output(c.receive())


def ended(agent, c):
    """The next event, which is use_ended: leave, operation, status."""
    event = agent.receive()
    body = Reader(event['body'])
    number, client, slot, handle, mechanism = (body.u64() for _ in range(5))
    operation, status = body.u8(), body.u32()
    ok((event['type'], client, slot, handle, mechanism, body.data) == (MESSAGES['use_ended'], c.number, 1, 9, GCM, b''),
       'the event says which client, key and mechanism')
    return number, operation, STATUSES[status]


def uses_end(agent, c):
    aead = dict(operation=ENCRYPT, mechanism=GCM, params=gcm())
    number, sealed = leave(agent, c, 3, data=b'text', **aead)
    ok(ended(agent, c) == (number, ENCRYPT, 'ok'), 'how a use ended is told, once the agent asked for it')
    open_ = dict(operation=DECRYPT, mechanism=GCM, params=gcm())
    number, said = leave(agent, c, 3, data=bytes(20), **open_)
    ok(said == 'encrypted_data_invalid' and ended(agent, c) == (number, DECRYPT, said), 'of one that failed, its status')
    number, said = leave(agent, c, 3, data=sealed, operation=DECRYPT, mechanism=GCM, params=gcm(iv=b''))
    ok(isinstance(said, str) and ended(agent, c) == (number, DECRYPT, said), 'also of one whose parameter was wrong')
    number, _ = leave(agent, c, BEGIN, 20, data=sealed[:7], **open_)
    c.call('operate', operate(0, DECRYPT, 20, data=sealed[7:9]))
    ok(output(c.call('operate', operate(FINAL, DECRYPT, 20, data=sealed[9:]))) == b'text', 'a use in parts')
    ok(ended(agent, c) == (number, DECRYPT, 'ok'), 'ends once, with its last part')
    number, _ = leave(agent, c, BEGIN, 21, data=b'', **open_)
    output(c.call('operate', operate(FINAL, DECRYPT, 21, data=bytes(20))))
    ok(ended(agent, c) == (number, DECRYPT, 'encrypted_data_invalid'), 'or as that failed')
    number, _ = leave(agent, c, BEGIN, 22, data=b'', **aead)
    c.call('operate', operate(CANCEL, ENCRYPT, 22))
    ok(ended(agent, c) == (number, ENCRYPT, 'operation_lost'), 'one that is cancelled is lost')
    number, _ = leave(agent, c, BEGIN, 23, data=b'', **aead)
    second, _ = leave(agent, c, BEGIN, 23, data=b'', **aead)
    ok(ended(agent, c) == (number, ENCRYPT, 'operation_lost'), 'as is one that another replaces')
    c.call('operate', operate(0, DECRYPT, 23, data=b''))
    ok(ended(agent, c) == (second, ENCRYPT, 'operation_not_initialized'), 'what a wrong call ends, ends with its status')


def bindings(k, agent):
    c = k.module()
    opened = agent.receive()
    while Reader(opened['body']).u64() < c.number: # of one that was leaving when the agent came
        opened = agent.receive()
    ok(opened['type'] == MESSAGES['client_opened'] and Reader(opened['body']).u64() == c.number, 'the agent is told of a client')
    cell, public, _ = secret(agent, bytes(16))
    ok(public == {VALUE_LEN: u64(16), 0x90: bytes.fromhex('66e94b')}, "an AES key's check value is of a block of zeros")
    c.send('operate', operate(3, ENCRYPT, handle=7, mechanism=GCM, params=gcm(), data=b'text'))
    asked = agent.receive()
    body = Reader(asked['body'])
    ok((asked['type'], asked['client'], body.take(17), body.u8(), body.u64(), body.u64(), body.u8(), body.data)
       == (MESSAGES['resolve'], c.number, PLACE, ENCRYPT, 7, GCM, WHY_USE, b''), 'a miss asks the agent')
    agent.send('resolve', id=asked['id'], client=c.number, status=97, reply=True)
    ok(c.receive()['status'] == 'key_function_not_permitted', 'whose refusal the module gets')
    c.send('operate', operate(3, ENCRYPT, handle=7, mechanism=GCM, params=gcm(), data=b'text'))
    asked = agent.receive()
    agent.send('bind', u64(c.number) + u64(1) + u64(7) + u32(2) + u64(cell) + u32(1) + u64(GCM) + u8(0) + u32(0) + u8(0))
    agent.send('resolve', id=asked['id'], client=c.number, reply=True)
    ok(agent.answer('bind')['status'] == 'ok' and len(output(c.receive())) == 20, 'bind and an answer without waiting between: it goes on')
    first = output(c.call('operate', operate(3, ENCRYPT, handle=7, mechanism=GCM, params=gcm(), data=b'text')))
    ok(len(first) == 20, 'from then on it does not ask')
    ok(output(c.call('operate', operate(3, ENCRYPT, handle=7, mechanism=CTR, params=b''))) == 'mechanism_invalid',
       'a mechanism that is not allowed is refused')
    reply = c.call('random', u32(1))
    agent.call('unbind', u64(0) + u64(1) + u64(7))
    ok(c.call('random', u32(1))['epoch'] > reply['epoch'], 'unbind changes the epoch')
    bind(agent, c.number, cell, 8, login=1, credits=1)
    check = c.call('bind_check', PLACE + u8(ENCRYPT) + u64(8) + u64(GCM) + bs(gcm()))
    ok(check['body'] == u8(3) + u32(16) + u32(AES) + u32(128) + u8(1), 'bind_check knows of context-specific login')
    run = lambda: output(c.call('operate', operate(3, ENCRYPT, handle=8, mechanism=GCM, params=gcm(), data=b'')))
    ok(len(run()) == 16 and run() == 'user_not_logged_in', 'which is good for one operation')
    each_asks(agent, c, cell)
    other = k.module()
    agent.receive()
    bind(agent, other.number, cell, 9, mechanisms=(GCM,), each=1)
    number, _ = leave(agent, other, BEGIN, 1, operation=ENCRYPT, mechanism=GCM, params=gcm(), data=b'')
    late = dict(flags=3, operation=ENCRYPT, handle=9, mechanism=GCM, params=gcm(), data=b'')
    other.send('operate', operate(**late))
    asked = agent.receive()
    other.sock.close()
    ok(ended(agent, other) == (number, ENCRYPT, 'operation_lost'), 'a program that goes leaves nothing that has not ended')
    ok(agent.receive()['type'] == MESSAGES['client_closed'], 'which is told before its going')
    agent.send('resolve', u8(1), id=asked['id'], client=other.number, reply=True)
    event = agent.receive()
    ok((event['type'], event['body'][:8], event['body'][40:]) == (MESSAGES['use_ended'], u64(asked['id']), u8(0) + u32(4)),
       'a leave that came too late was not used')
    other = k.module()
    agent.receive()
    other.send('operate', operate(3, ENCRYPT, handle=8, mechanism=GCM, params=gcm(), data=b''))
    asked = agent.receive()
    ok(asked['client'] == other.number, "one client's binding is no other's")
    agent.send('resolve', id=asked['id'], client=other.number, reply=True)
    for _ in range(31):
        asked = agent.receive()
        agent.send('resolve', id=asked['id'], client=other.number, reply=True)
    ok(other.receive()['status'] == 'busy', 'an agent that binds nothing is not asked for ever')
    mine, _, _ = secret(agent, bytes(16), owner=other.number)
    bind(agent, other.number, mine, 9)
    other.sock.close()
    closing = agent.receive()
    ok(closing['type'] == MESSAGES['client_closed'] and Reader(closing['body']).u64() == other.number, 'the agent is told of the end')
    ok(agent.call('cell_note', u64(mine) + bs(b'x'))['status'] == 'cell_unknown', "a client's cells end with it")
    return c


def ciphers(agent):
    cell, _, _ = secret(agent, bytes(range(32)))
    run = lambda *a, **o: output(agent.call('cell_operate', u64(cell) + operate(*a, **o)))
    data = os.urandom(300000)
    out = run(BEGIN, ENCRYPT, 1, mechanism=GCM, params=gcm(), data=data[:65536])
    for at in range(65536, 300000, 65536):
        out += run(0, ENCRYPT, 1, data=data[at:at + 65536])
    out += run(FINAL, ENCRYPT, 1)

    def decrypt(ciphertext):
        got = run(BEGIN, DECRYPT, 2, mechanism=GCM, params=gcm(), data=ciphertext[:65536])
        for at in range(65536, len(ciphertext), 65536):
            got += run(0, DECRYPT, 2, data=ciphertext[at:at + 65536])
        ok(got == b'', 'a GCM decryption gives nothing before its end')
        piece = got = run(FINAL, DECRYPT, 2)
        while len(piece) == 65536:
            piece = run(MORE, DECRYPT, 2)
            got += piece
        return got

    ok(decrypt(out) == data, 'a long one gives all of it then, piece by piece')
    ok(run(MORE, DECRYPT, 2) == 'operation_lost', 'and no more')
    ok(decrypt(out[:-1] + bytes([out[-1] ^ 1])) == 'encrypted_data_invalid', 'nothing when the tag is bad')
    short = run(3, ENCRYPT, mechanism=GCM, params=gcm(bits=96), data=b'abc')
    ok(run(3, DECRYPT, mechanism=GCM, params=gcm(bits=96), data=short) == b'abc', 'a shorter tag')
    iv = bytes(16)
    padded = run(3, ENCRYPT, mechanism=CBC_PAD, params=iv, data=b'')
    ok(len(padded) == 16 and run(3, DECRYPT, mechanism=CBC_PAD, params=iv, data=padded) == b'', 'padding of nothing is a block')
    ok(run(3, DECRYPT, mechanism=CBC_PAD, params=iv, data=bytes(16)) == 'encrypted_data_invalid', 'bad padding is one code')
    ok(run(3, DECRYPT, mechanism=CBC_PAD, params=iv, data=bytes(15)) == 'encrypted_data_len_range', 'a bad length another')
    ok(run(3, ENCRYPT, mechanism=0x1082, params=iv, data=bytes(15)) == 'data_len_range', 'CBC takes whole blocks')
    ok(run(3, ENCRYPT, mechanism=0x1081, data=b'') == b'', 'ECB of nothing is nothing')
    ctr = u32(8) + bs(bytes(15) + b'\xff')
    ok(len(run(3, ENCRYPT, mechanism=CTR, params=ctr, data=bytes(16))) == 16, 'a counter may reach its end')
    ok(run(3, ENCRYPT, mechanism=CTR, params=ctr, data=bytes(17)) == 'data_len_range', 'and not go beyond')
    ok(run(3, ENCRYPT, mechanism=0x2109, data=bytes(12)) == 'data_len_range', 'key wrap takes multiples of eight')
    ok(run(3, DECRYPT, mechanism=0x2109, data=run(3, ENCRYPT, mechanism=0x2109, data=bytes(24))) == bytes(24), 'as data too')
    ok(run(3, SIGN, mechanism=HMAC, data=b'') == 'key_type_inconsistent', 'an AES key makes no HMAC')
    ok(len(run(3, SIGN, mechanism=0x108A, data=b'')) == 16, 'but a CMAC')
    generic, _, _ = secret(agent, b'k' * 200, GENERIC)
    mac = output(agent.call('cell_operate', u64(generic) + operate(3, SIGN, mechanism=HMAC, data=b'm')))
    check = lambda s: output(agent.call('cell_operate', u64(generic) + operate(3, VERIFY, mechanism=HMAC, data=b'm', signature=s)))
    ok((check(mac), check(mac[:-1] + b'!'), check(mac[:-1])) == (b'', 'signature_invalid', 'signature_len_range') or mac[-1:] == b'!',
       'a MAC is verified, refused, and refused for its length')


def many(agent):
    cell, _, _ = secret(agent, bytes(32))
    other, _, _ = secret(agent, b'k' * 32, GENERIC)
    gone, _, _ = secret(agent, bytes(32))
    agent.call('cell_drop', u64(gone))
    once, _, _ = secret(agent, bytes(32), uses=1)
    seal = lambda data, by=cell: u64(by) + operate(3, ENCRYPT, mechanism=GCM, params=gcm(), data=data)
    frame = lambda items: u32(len(items)) + b''.join(bs(i) for i in items)

    def results(items):
        reply = agent.call('cell_operate_many', frame(items))
        assert reply['status'] == 'ok', reply
        r, out = Reader(reply['body']), []
        for _ in range(r.u32()):
            status = STATUSES[r.u32()]
            out.append(r.bytes() if status == 'ok' else status)
        assert r.data == b''
        return out

    alone = [output(agent.call('cell_operate', seal(d))) for d in (b'a' * 1024, b'')]
    bad = u64(cell) + operate(3, DECRYPT, mechanism=GCM, params=gcm(), data=alone[0][:-1] + bytes([alone[0][-1] ^ 1]))
    mac = u64(other) + operate(3, SIGN, mechanism=HMAC, data=b'm')
    got = results([seal(b'a' * 1024), bad, seal(b'x', gone), mac, seal(b'1', once), seal(b'2', once), b'', seal(b'')])
    ok(got[0] == alone[0] and got[7] == alone[1], 'several operations in one frame are the same as each alone')
    ok((got[1], got[2]) == ('encrypted_data_invalid', 'cell_unknown'), 'each has its own status')
    ok(len(got[3]) == 32 and len(got[4]) == 17 and got[5] == 'cell_unknown', 'and its own key, whose lease counts it')
    ok(got[6] == 'function_not_supported', 'what is no operation is refused by itself')
    part = u64(cell) + operate(BEGIN, ENCRYPT, 5, mechanism=GCM, params=gcm(), data=b'x')
    ok(results([part, seal(b'')]) == ['function_not_supported', alone[1]], 'a part of an operation has a frame of its own')
    fit = results([seal(bytes(20000))] * 4 + [seal(bytes(17150))])
    ok(len(fit) == 4 and len(fit[3]) == 20016, 'what has no room in the reply is not begun')
    ok(results([seal(bytes(65536))]) == [output(agent.call('cell_operate', seal(bytes(65536))))], 'an item may be as long as a frame of its own')
    rsa, _, _ = made(agent.call('cell_generate', new_key(PRIVATE, RSA) + u64(0) + bs(b'') + template([(BITS, u64(2048))])))
    slow = results([u64(rsa) + operate(3, SIGN, mechanism=PKCS, data=b'x')] * 64)
    ok(0 < len(slow) < 64 and all(len(s) == 256 for s in slow), 'a worker does not go on for long: %d of 64' % len(slow))
    for broken, what in ((u32(0), 'no items'), (frame([seal(b'')] * 65), 'more than the bound'), (u32(2) + bs(seal(b'')), 'one too few'),
                         (frame([seal(b'')]) + b'x', 'bytes after the last'), (u32(1) + u32(ABSENT - 1), 'a length beyond the frame')):
        ok(agent.call('cell_operate_many', broken)['status'] == 'wire_malformed', 'refused whole: ' + what)
    ok(results([seal(b'')]) == [alone[1]], 'and the next is served')
    for each in (cell, other, rsa):
        agent.call('cell_drop', u64(each))


def asymmetric(agent):
    rsa, public, blob = made(agent.call('cell_generate', new_key(PRIVATE, RSA) + u64(0) + bs(b'') + template([(BITS, u64(2048))])))
    ok(blob is None and len(public[0x120]) == 256 and public[0x122] == b'\1\0\1' and public[BITS] == u64(2048), 'an RSA key is made')
    run = lambda cell, *a, **o: output(agent.call('cell_operate', u64(cell) + operate(*a, **o)))
    open_, _, _ = made(agent.call('cell_import', new_key(PUBLIC, RSA) + u64(0) + template([(0x120, public[0x120]), (0x122, public[0x122])])))
    signature = run(rsa, 3, SIGN, mechanism=PKCS, data=b'x' * 36)
    n, e = int.from_bytes(public[0x120], 'big'), 65537
    ok(pow(int.from_bytes(signature, 'big'), e, n).to_bytes(256, 'big') == b'\0\1' + b'\xff' * 217 + b'\0' + b'x' * 36,
       'CKM_RSA_PKCS signs 36 bytes as they are')
    ok(run(open_, 3, VERIFY, mechanism=PKCS, data=b'x' * 36, signature=signature) == b'', 'and the public key verifies them')
    ok(run(rsa, 3, SIGN, mechanism=PKCS, data=b'x' * 246) == 'data_len_range', 'not more than fits')
    ok(run(open_, 3, SIGN, mechanism=PKCS, data=b'x') == 'key_type_inconsistent', 'a public key does not sign')
    pss = lambda salt: u64(0x250) + u64(2) + u64(salt)
    for salt in (0, 32, 222):
        run(rsa, BEGIN, SIGN, 9, mechanism=0x43, params=pss(salt), data=b'a')
        signature = run(rsa, FINAL, SIGN, 9, data=b'b')
        ok(run(open_, 3, VERIFY, mechanism=0x43, params=pss(salt), data=b'ab', signature=signature) == b'', 'PSS with a salt of %d' % salt)
    ok(run(rsa, 3, SIGN, mechanism=0x43, params=pss(223), data=b'') == 'mechanism_param_invalid', 'a salt that does not fit is refused')
    ok(run(rsa, 3, SIGN, mechanism=0x0D, params=pss(32), data=b'x' * 31) == 'data_len_range', 'bare PSS takes the length of its hash')
    oaep = u64(0x220) + u64(2) + bs(b'label')
    box = run(open_, 3, ENCRYPT, mechanism=9, params=oaep, data=b'secret')
    ok(run(rsa, 3, DECRYPT, mechanism=9, params=oaep, data=box) == b'secret', 'OAEP with hash, MGF and label each its own')
    ok(run(rsa, 3, DECRYPT, mechanism=9, params=u64(0x220) + u64(2) + bs(b'other'), data=box) == 'encrypted_data_invalid', 'not with another label')
    ok(run(rsa, 3, DECRYPT, mechanism=1, data=bytes(255)) == 'encrypted_data_len_range', 'a ciphertext has the length of the modulus')
    ec, public, _ = made(agent.call('cell_generate', new_key(PRIVATE, EC) + u64(0x1040) + bs(b'') + template([(PARAMS, P256)])))
    ok(public[PARAMS] == P256 and public[POINT][:3] == b'\x04\x41\x04', 'an EC key is made, its point a DER OCTET STRING')
    signature = run(ec, 3, SIGN, mechanism=ECDSA, data=b'd' * 64)
    ok(len(signature) == 64 and run(ec, 3, VERIFY, mechanism=ECDSA, data=b'd' * 32, signature=signature) == b'', 'ECDSA truncates a long digest')
    ok(run(ec, 3, VERIFY, mechanism=ECDSA, data=b'd' * 32, signature=signature[1:]) == 'signature_len_range', 'and takes r||s of one length')
    for mechanism in range(0x1042, 0x1047):
        signature = run(ec, 3, SIGN, mechanism=mechanism, data=b'message')
        ok(run(ec, 3, VERIFY, mechanism=mechanism, data=b'message', signature=signature) == b'', 'hashed ECDSA %x' % mechanism)
    for point in (public[POINT], public[POINT][2:]):
        reply = agent.call('cell_derive', new_key(SECRET, GENERIC) + u64(ec) + u64(ECDH) + bs(u64(1) + bs(b'') + bs(point)) + 3 * u64(0))
        ok(reply['status'] == 'ok', 'ECDH with a point %s' % ('in DER' if point[1] == 0x41 else 'as it is'))
    bad = public[POINT][2:-1] + bytes([public[POINT][-1] ^ 1])
    reply = agent.call('cell_derive', new_key(SECRET, GENERIC) + u64(ec) + u64(ECDH) + bs(u64(1) + bs(b'') + bs(bad)) + 3 * u64(0))
    ok(reply['status'] == 'mechanism_param_invalid', 'a point off the curve is refused')
    wrap, _, _ = secret(agent, bytes(32))
    for mechanism, params in ((CBC_PAD, bytes(16)), (0x1082, bytes(16)), (0x210A, b''), (GCM, gcm())):
        wrapped = output(agent.call('cell_wrap', u64(ec) + u64(wrap) + u64(mechanism) + bs(params)))
        reply = agent.call('cell_unwrap', new_key(PRIVATE, EC) + u64(wrap) + u64(mechanism) + bs(params) + bs(wrapped) + u64(0))
        ok(reply['status'] == 'ok' and made(reply)[1] == public, 'a private key is wrapped and unwrapped by %x' % mechanism)
    reply = agent.call('cell_unwrap', new_key(PRIVATE, EC) + u64(wrap) + u64(CBC_PAD) + bs(bytes(16)) + bs(bytes(32)) + u64(0))
    ok(reply['status'] == 'wrapped_key_invalid', 'what does not unwrap is a wrapped key that is invalid')
    for value in (bytes(32), b'\xff' * 32, b'', b'x' * 99):
        reply = agent.call('cell_import', new_key(PRIVATE, EC) + u64(0) + template([(PARAMS, P256), (VALUE, value)]))
        ok(reply['status'] == 'attribute_value_invalid', 'no private key: %d bytes' % len(value))
    reply = agent.call('cell_import', new_key(PRIVATE, EC) + u64(0) + template([(PARAMS, bytes.fromhex('06052b8104001a')), (VALUE, b'1')]))
    ok(reply['status'] == 'curve_not_supported', 'another curve is not supported')


def rsa_parts(agent):
    """Private keys with and without their CRT parts, and wrong ones. The key is a test key of no use."""
    from random import Random
    rnd = Random(7)

    def prime(bits):
        while True:
            p = rnd.getrandbits(bits) | 1 | 3 << bits - 2
            if p % 65537 != 1 and all(pow(a, p - 1, p) == 1 for a in (2, 3, 5, 7)):
                return p

    p, q = prime(512), prime(512)
    n, e = p * q, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    raw = lambda x: x.to_bytes((x.bit_length() + 7) // 8, 'big')
    full = {0x120: n, 0x122: e, 0x123: d, 0x124: p, 0x125: q, 0x126: d % (p - 1), 0x127: d % (q - 1), 0x128: pow(q, -1, p)}
    give = lambda **k: agent.call('cell_import', new_key(PRIVATE, RSA) + u64(0) + template([(t, raw(v)) for t, v in k['parts'].items()]))

    def signs(parts):
        cell = made(give(parts=parts))[0]
        s = output(agent.call('cell_operate', u64(cell) + operate(3, SIGN, mechanism=PKCS, data=b'x')))
        return pow(int.from_bytes(s, 'big'), e, n).to_bytes(128, 'big').endswith(b'\0x')

    some = lambda *types: {t: full[t] for t in types}
    ok(signs(full), 'an RSA key with all its parts')
    ok(signs(some(0x120, 0x122, 0x123)), 'with modulus and exponents alone')
    ok(signs(some(0x120, 0x123)), 'with the usual public exponent left out')
    ok(signs(some(0x120, 0x122, 0x124, 0x125)), 'with its primes and no private exponent')
    ok(signs({**full, 0x126: 5, 0x127: 5, 0x128: 5}), 'CRT parts from outside are not believed')
    ok(give(parts=some(0x120, 0x122))['status'] == 'template_incomplete', 'not with its public part alone')
    ok(give(parts={**full, 0x123: d + 2})['status'] == 'attribute_value_invalid', 'not with a wrong exponent')
    ok(give(parts={**some(0x120, 0x122), 0x123: d + 2})['status'] == 'attribute_value_invalid', 'nor one that finds no primes')
    ok(give(parts={**full, 0x124: p + 2})['status'] == 'attribute_value_invalid', 'not with a wrong prime')


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
    for hog in hogs[:36]: # as many as are left have room
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
print('1..%d' % count)
sys.exit(failed > 0)
