"""A real keeper on temporary sockets for keeper_process.py and its parts: TAP, and the requests that several of them make."""
import os
import shutil
import subprocess
import sys
import tempfile
import threading

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
    def __init__(self, *options, check=True, by=(), env=None):
        self.dir = tempfile.mkdtemp(prefix='sidekey-')
        self.pkcs11, self.control = self.dir + '/pkcs11.sock', self.dir + '/control.sock'
        self.start(*options, check=check, by=by, env=env)

    def start(self, *options, check=True, by=(), env=None):
        arguments = [*by, *sys.argv[1:], '--pkcs11', self.pkcs11, '--control', self.control, *options]
        self.process = subprocess.Popen(arguments, stderr=subprocess.PIPE, env=env and {**os.environ, **env})
        if check:
            line = self.process.stderr.readline()
            assert b'"started"' in line, line
            threading.Thread(target=self.log, daemon=True).start()

    def log(self):
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line)

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


def done():
    print('1..%d' % count)
    sys.exit(failed > 0)
