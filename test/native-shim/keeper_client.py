"""Frames to a real keeper, as module and as agent; the client side of keeper_process.py. Only what the tests need."""
import socket
import struct

ABSENT = 0xFFFFFFFF
MESSAGES = {}
STATUSES = {}


def load_tables(wire):
    import re

    for line in open(wire + '/messages.def'):
        match = re.match(r'MESSAGE\((\w+), (\w+)', line)
        if match:
            MESSAGES[match[2]] = int(match[1], 16)
    for line in open(wire + '/errors.def'):
        match = re.match(r'ERROR\((\d+), (\w+)', line)
        if match:
            STATUSES[int(match[1])] = match[2]


u8 = lambda n: struct.pack('<B', n)
u32 = lambda n: struct.pack('<I', n)
u64 = lambda n: struct.pack('<Q', n)


def bs(data):
    return u32(ABSENT) if data is None else u32(len(data)) + data


def template(rows):
    return u32(len(rows)) + b''.join(u64(t) + bs(v) for t, v in rows)


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        out, self.data = self.data[:n], self.data[n:]
        assert len(out) == n
        return out

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack('<I', self.take(4))[0]

    def u64(self):
        return struct.unpack('<Q', self.take(8))[0]

    def bytes(self):
        n = self.u32()
        return None if n == ABSENT else self.take(n)

    def template(self):
        return {self.u64(): self.bytes() for _ in range(self.u32())}


class Connection:
    def __init__(self, path, timeout=15):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.next = 0

    def send(self, name, body=b'', id=None, client=0, status=0, reply=False):
        if id is None:
            self.next += 1
            id = self.next
        type = MESSAGES[name] | (0x8000 if reply else 0)
        self.sock.sendall(struct.pack('<IHHQQQ', len(body), type, status, id, client, 0) + body)
        return id

    def exactly(self, n):
        out = b''
        while len(out) < n:
            got = self.sock.recv(n - len(out))
            if not got:
                raise EOFError
            out += got
        return out

    def receive(self):
        length, type, status, id, client, epoch = struct.unpack('<IHHQQQ', self.exactly(32))
        return {'type': type, 'status': STATUSES[status], 'id': id, 'client': client, 'epoch': epoch,
                'body': self.exactly(length)}

    def call(self, name, body=b''):
        self.send(name, body)
        return self.answer(name)

    def answer(self, name):
        while True:
            frame = self.receive()
            if frame['type'] == MESSAGES[name] | 0x8000:
                return frame


def new_key(cls, type, owner=0, lease=0, uses=0, note=b'', sealing=0, aad=b''):
    return u32(cls) + u64(type) + u64(owner) + u64(lease) + u64(uses) + bs(note) + u64(sealing) + bs(aad)


def made(frame):
    assert frame['status'] == 'ok', frame
    r = Reader(frame['body'])
    cell, public, blob = r.u64(), r.template(), r.bytes()
    assert r.data == b''
    return cell, public, blob


PLACE = u64(1) + u64(1) + u8(1)
BEGIN, FINAL, CANCEL, MORE = 1, 2, 4, 8


def operate(flags, operation, number=1, handle=0, mechanism=0, params=b'', data=b'', signature=None, place=PLACE):
    begin = place + u64(handle) + u64(mechanism) + bs(params) if flags & BEGIN else b''
    return u8(flags) + u8(operation) + u64(number) + begin + bs(data) + bs(signature)
