"""A process that looks at objects and changes them as kept-answers.test.ts tells it to: one command a line, one answer a line."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../vectors'))
from cryptoki import *

LABEL, PRIVATE_FLAG, EPOCH_AT, FLAGS_AT = 3, 2, 128, 96
MAC_KEY_GEN, MAC = 0x350, 0x251
s = open_session()


def make(label, private, token='1'):
    flags = {TOKEN: token == '1', PRIVATE_FLAG: private == '1'}
    return s.create({CLASS: 0, **flags, LABEL: label.encode(), VALUE: b'value of ' + label.encode()})


def change(handle, label):
    s('SetAttributeValue', UL(int(handle)), *s.template({LABEL: label.encode()}))


def region():
    line = next(line for line in open('/proc/self/maps') if 'sidekey-ring' in line)
    return int(line.split('-')[0], 16) + EPOCH_AT


def epoch(value=None):
    """Of the region that this process shares with the keeper; with a value, writes it there."""
    at = c.c_uint64.from_address(region())
    if value is not None:
        at.value = int(value)
    return at.value


def login(pin):
    s('Login', UL(1), pin.encode(), UL(len(pin)))


def flags():
    info = (BYTE * 208)()
    s.call('GetTokenInfo', UL(s.slot), info)
    return int.from_bytes(bytes(info)[FLAGS_AT:FLAGS_AT + 8], 'little')


def key(label):
    return s.generate(MAC_KEY_GEN, {TOKEN: True, LABEL: label.encode(), VALUE_LEN: 32, SIGN: True})


COMMANDS = {
    'flags': flags,
    'key': key,
    'mac': lambda handle: s.run('Sign', mechanism(MAC), int(handle), b'message').hex(),
    'make': make,
    'change': change,
    'find': lambda label: ' '.join(map(str, s.find({LABEL: label.encode()}))),
    'label': lambda handle: s.value(int(handle), LABEL).decode(),
    'value': lambda handle: s.value(int(handle)).decode(),
    'destroy': lambda handle: s('DestroyObject', UL(int(handle))),
    'logout': lambda: s('Logout'),
    'login': login,
    'epoch': epoch,
}
for line in sys.stdin:
    name, *arguments = line.split()
    try:
        answer = COMMANDS[name](*arguments)
        print('' if answer is None else answer, flush=True)
    except Refused as refusal:
        print('0x%x' % refusal.rv, flush=True)
