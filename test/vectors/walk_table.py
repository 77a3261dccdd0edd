"""Rows of walk.py: for each mechanism what it does, the kind of its key, the unit of its sizes, its parameter, and data that suit it."""
import hashlib

from cryptoki import *
from known import known
from walk_keys import *

DATA = bytes(range(48))
FLAGS = {'MessageEncrypt': 0x2, 'MessageDecrypt': 0x4, 'Encrypt': 0x100, 'Decrypt': 0x200, 'Digest': 0x400, 'Sign': 0x800, 'SignRecover': 0x1000,
         'Verify': 0x2000, 'VerifyRecover': 0x4000, 'Generate': 0x8000, 'GeneratePair': 0x10000, 'Wrap': 0x20000, 'Unwrap': 0x40000,
         'Derive': 0x80000, 'Encapsulate': 0x10000000, 'Decapsulate': 0x20000000}
CIPHER, SIGNATURE, WRAPPING = ('Encrypt', 'Decrypt'), ('Sign', 'Verify'), ('Wrap', 'Unwrap')
RECOVERY, MESSAGE = ('SignRecover', 'VerifyRecover'), ('MessageEncrypt', 'MessageDecrypt')
ROWS = {}


class Row:
    def __init__(self, does, kind, unit='bytes', parameter=None, data=DATA, attributes=None, changes=False, size=None):
        self.does, self.kind, self.unit, self.size = does, kind, unit, size
        self.parameter = parameter  # None, bytes, or a function of (half that it is for, walk)
        self.data = data if callable(data) else lambda bits: data
        self.attributes = attributes or {}
        self.changes = changes  # whether the same data give another output each time


def rows(numbers, *given, **named):
    for number in numbers if isinstance(numbers, (list, tuple, range)) else (numbers,):
        ROWS[number] = Row(*given, **named)


def made(*fields):
    return lambda walk: struct(*fields)


def pointed(data):
    return (P, pointer(data))


PARTS = (BYTE * 16, (BYTE * 16)(*range(16)))
PARTS_OF_8 = (BYTE * 8, (BYTE * 8)(*range(8)))
# RSA
PKCS1 = CIPHER + SIGNATURE + RECOVERY + WRAPPING
rows(0x0, ('GeneratePair',), RSA)
rows(0xa, ('GeneratePair',), RSA, attributes={BITS: 2048})
rows(0x1, PKCS1, RSA, data=bytes(range(40)), changes=True)
rows(0x3, CIPHER + SIGNATURE + RECOVERY, RSA, data=lambda bits: bytes(8) + b'\x5a' * (bits // 8 - 8))
OAEP = made(0x250, 2, 1, b'')
rows(0x9, CIPHER + WRAPPING, RSA, parameter=OAEP, data=bytes(range(40)), changes=True)
rows(0x1054, WRAPPING, RSA, parameter=lambda walk: struct(256, (P, c.cast(c.pointer(struct(0x250, 2, 1, b'')), P))))
rows((0x5, 0x6, 0x46, 0x40, 0x41, 0x42, 0x66, 0x60, 0x61, 0x62), SIGNATURE, RSA)
rows(0xd, SIGNATURE, RSA, parameter=made(0x250, 2, 32), data=bytes(32), changes=True)
for number, hash_, mgf in ((0xe, 0x220, 1), (0x47, 0x255, 5), (0x43, 0x250, 2), (0x44, 0x260, 3), (0x45, 0x270, 4), (0x67, 0x2b5, 6),
                           (0x63, 0x2b0, 7), (0x64, 0x2c0, 8), (0x65, 0x2d0, 9)):
    rows(number, SIGNATURE, RSA, parameter=made(hash_, mgf, 16), changes=True)
rows(0xb, SIGNATURE, RSA, data=hashlib.sha1(b'message').digest() + h('33cc'))
rows(0xc, SIGNATURE, RSA)
# curves
for number, kind in ((0x1040, EC), (0x1055, EDWARDS), (0x1056, MONTGOMERY)):
    rows(number, ('GeneratePair',), kind)
rows(0x1041, SIGNATURE, EC, data=bytes(range(32)), changes=True)
rows(range(0x1042, 0x104b), SIGNATURE, EC, changes=True)
rows(0x1057, SIGNATURE, EDWARDS)
agree = lambda walk: struct(1, 0, pointed(b''), len(walk.point), pointed(walk.point))
rows((0x1050, 0x1051), ('Derive',), EC, parameter=agree)
rows(0x1053, WRAPPING, EC, parameter=made(128, 1, 0, pointed(b'')))
# prime fields
for number, kind, bits in ((0x2000, DSA_KEY, 1024), (0x2001, DH, 2048), (0x2002, DHX, 2048)):
    rows(number, ('Generate',), kind, size=bits)
for number, kind in ((0x10, DSA_KEY), (0x20, DH), (0x30, DHX)):
    rows(number, ('GeneratePair',), kind)
rows(0x11, SIGNATURE, DSA_KEY, data=bytes(range(20)), changes=True)
rows((*range(0x12, 0x17), *range(0x18, 0x1c)), SIGNATURE, DSA_KEY, changes=True)
rows(0x21, ('Derive',), DH, parameter=lambda walk: walk.point)
rows(0x31, ('Derive',), DHX, parameter=agree)
# AES
rows(0x1080, ('Generate',), AES)
rows(0x1081, CIPHER + WRAPPING, AES)
rows((0x1082, 0x1085), CIPHER + WRAPPING, AES, parameter=bytes(16))
rows(0x1086, CIPHER + WRAPPING, AES, parameter=(128).to_bytes(8, 'little') + bytes(16))
GCM = made(bytes(12), 96, b'associated', 128)
rows(0x1087, MESSAGE + CIPHER + WRAPPING, AES, parameter=GCM)
rows(0x1088, MESSAGE + CIPHER + WRAPPING, AES, parameter=lambda walk: struct(walk.length, bytes(12), b'associated', 16))
rows(0x108e, SIGNATURE, AES, parameter=made(bytes(12), 96, b'', 128))
rows(0x1089, CIPHER, AES, parameter=bytes(16))
rows(0x1071, CIPHER, XTS_KEY, parameter=bytes(16))
rows(0x1072, ('Generate',), XTS_KEY)
rows((0x108a, 0x1083), SIGNATURE, AES)
rows((0x108b, 0x1084), SIGNATURE, AES, parameter=made(8))
rows((0x2109, 0x210a, 0x210b, 0x210c), CIPHER + WRAPPING, AES)
rows(0x1104, ('Derive',), AES, parameter=made(DATA[:32]))
rows(0x1105, ('Derive',), AES, parameter=made(PARTS, DATA[:32]))
# DES
for gen, kind in ((0x131, DES3), (0x130, DES2), (0x120, DES)):
    rows(gen, ('Generate',), kind)
for first, kind in ((0x132, DES3), (0x121, DES)):
    rows(first, CIPHER + WRAPPING, kind)
    rows((first + 1, first + 4), CIPHER + WRAPPING, kind, parameter=bytes(8))
rows((0x134, 0x138), SIGNATURE, DES3)
rows((0x135, 0x137), SIGNATURE, DES3, parameter=made(4))
for first, kind in ((0x1102, DES3), (0x1100, DES)):
    rows(first, ('Derive',), kind, parameter=made(DATA[:32]))
    rows(first + 1, ('Derive',), kind, parameter=made(PARTS_OF_8, DATA[:32]))
# ChaCha20, Poly1305
rows(0x1225, ('Generate',), CHACHA_KEY)
rows(0x1226, CIPHER, CHACHA_KEY, parameter=made(pointed(bytes(4)), 32, pointed(bytes(12)), 96))
rows(0x4021, MESSAGE + CIPHER, CHACHA_KEY, parameter=made(bytes(12), b'associated'))
rows(0x1227, ('Generate',), POLY_KEY)
rows(0x1228, SIGNATURE, POLY_KEY)
# secrets
rows((0x350, 0x402c), ('Generate',), GENERIC, 'bits')
rows((0x402a, 0x402b), ('Derive',), GENERIC, 'bits', parameter=made((BYTE, True), (BYTE, True), 0x250, 2, b'salt', 0, b'info'))
nonces = (P, pointer(DATA[:16])), 16, (P, pointer(DATA[16:])), 32
rows(0x402f, ('Derive',), GENERIC, 'bits', parameter=made(0x251, (BYTE, True), (BYTE, False), *nonces, 0))
rows(0x402e, ('Derive',), GENERIC, 'bits', parameter=made(0x251, (BYTE, False), 0, DATA))
rows(0x3b0, ('Generate',), GENERIC, parameter=made(1, b'salt', 10, 4, b'', pointed(b'password'), 8))
rows(0x360, ('Derive',), GENERIC, 'bits', parameter=lambda walk: struct(walk.other))
rows((0x362, 0x363), ('Derive',), GENERIC, 'bits', parameter=made(DATA))
rows(0x364, ('Derive',), GENERIC, 'bits', parameter=made(bytes(4096)))
rows(0x365, ('Derive',), GENERIC, 'bits', parameter=made(3))


class Prf(c.Structure):
    _fields_ = [('type', UL), ('value', P), ('length', UL)]


class CounterFormat(c.Structure):
    _fields_ = [('little_endian', BYTE), ('bits', UL)]


def kdf(format, *iv):
    """Of SP 800-108: the iteration variable, which has a format where it is a counter, and a label."""
    def parameter(walk):
        counter = CounterFormat(0, 32)
        variable = Prf(1, c.cast(c.pointer(counter), P), c.sizeof(counter)) if format else Prf(1, None, 0)
        fields = (Prf * 2)(variable, Prf(4, pointer(b'label'), 5))
        kept.extend((counter, fields))
        return struct(0x251, 2, (P, c.cast(fields, P)), *iv, 0, (P, None))
    return parameter


rows(0x3ac, ('Derive',), GENERIC, parameter=kdf(True))
rows(0x3ad, ('Derive',), GENERIC, parameter=kdf(False, 0, (P, None)))
rows(0x3ae, ('Derive',), GENERIC, parameter=kdf(False))


# TLS
class Randoms(c.Structure):
    _fields_ = [('client', P), ('client_len', UL), ('server', P), ('server_len', UL)]


def randoms():
    return (Randoms, Randoms(pointer(DATA[:32]), 32, pointer(DATA[16:]), 32))


def block(*hash_):
    def parameter(walk):
        out = (UL * 6)()
        iv = [c.create_string_buffer(16) for _ in range(2)]
        kept.extend(iv)
        out[4], out[5] = (c.cast(each, P).value for each in iv)
        return struct(160, 128, 128, (BYTE, 0), randoms(), (P, c.cast(out, P)), *hash_)
    return parameter


def prf(walk):
    room, length = c.create_string_buffer(16), UL(16)
    kept.extend((room, length))
    return struct(b'seed', b'label', (P, c.cast(room, P)), (P, c.cast(c.pointer(length), P)))


rows((0x370, 0x374), ('Generate',), GENERIC, parameter=b'\3\1', attributes={VALUE_LEN: 48})
rows((0x371, 0x373, 0x375, 0x377), ('Derive',), GENERIC, parameter=lambda walk: struct(randoms(), (P, None)), attributes={VALUE_LEN: 48})
rows((0x3e0, 0x3e2), ('Derive',), GENERIC, parameter=lambda walk: struct(randoms(), (P, None), 0x250), attributes={VALUE_LEN: 48})
rows((0x56, 0x57, 0xce534369, 0xce53436a), ('Derive',), GENERIC, parameter=made(0x250, DATA[:32], (P, None)), attributes={VALUE_LEN: 48})
rows((0x372, 0x376), ('Derive',), GENERIC, parameter=block(), attributes={VALUE_LEN: None})
rows((0x3e1, 0x3e3), ('Derive',), GENERIC, parameter=block(0x250), attributes={VALUE_LEN: None})
rows(0x378, ('Derive',), GENERIC, parameter=prf, attributes={VALUE_LEN: None})
rows((0x3d9, 0x3e5), ('Derive',), GENERIC, parameter=lambda walk: struct(0x250, b'label', randoms(), pointed(b''), 0))
rows((0x3d8, 0x3e4), SIGNATURE, GENERIC, parameter=made(0x250, 12, 1), data=bytes(32))
rows((0x380, 0x381), SIGNATURE, GENERIC, parameter=made(8))
# keys that are hashes of keys
rows((0x390, 0x392, 0x393, 0x394, 0x395, 0x396, 0x397, 0x398, 0x399, 0x39a, 0x39b, 0x39c, 0x4b, 0x4f, 0x400f, 0x4014, 0x4019, 0x401e),
     ('Derive',), GENERIC)
# hashes and their codes
rows((0x210, 0x220, 0x255, 0x250, 0x260, 0x270, 0x48, 0x4c, 0x2b5, 0x2b0, 0x2c0, 0x2d0, 0x400c, 0x4011, 0x4016, 0x401b), ('Digest',), None)
HMACS = (0x211, 0x221, 0x256, 0x251, 0x261, 0x271, 0x49, 0x4d, 0x2b6, 0x2b1, 0x2c1, 0x2d1)
rows(HMACS, SIGNATURE, GENERIC, 'bits')
rows([number + 1 for number in HMACS], SIGNATURE, GENERIC, 'bits', parameter=made(8))
rows((0x2b8, 0x2b3, 0x2c3, 0x2d3, *range(0x4003, 0x400a)), ('Generate',), GENERIC, 'bits')
for base in (0x400c, 0x4011, 0x4016, 0x401b):
    rows(base + 1, SIGNATURE, GENERIC)
    rows(base + 2, SIGNATURE, GENERIC, parameter=made(8))
    rows(base + 4, ('Generate',), GENERIC)
# PKCS#11 3.2
for number, kind in ((0xf, ML_KEM), (0x1c, ML_DSA), (0x2d, SLH_DSA)):
    rows(number, ('GeneratePair',), kind)
rows(0x17, ('Encapsulate', 'Decapsulate'), ML_KEM)
for first, kind in ((0x1d, ML_DSA), (0x2e, SLH_DSA)):
    rows(first, SIGNATURE, kind, changes=True)
for first, one, kind in ((0x23, 0x1f, ML_DSA), (0x36, 0x34, SLH_DSA)):
    rows(range(first, first + 10), SIGNATURE, kind, changes=True)
    rows(one, SIGNATURE, kind, parameter=made(0, b'', 0x250), data=bytes(32), changes=True)

# What has its published answers in known/ is walked by the first of them.
HALVES = {'Encrypt': CIPHER, 'Sign': SIGNATURE, 'Digest': ('Digest',)}
for entry in known():
    answer = entry['answers'][0]
    rows(int(entry['number'], 16), HALVES[answer['operation']], int(entry['keyType'], 16) if 'keyType' in entry else None,
         parameter=h(answer['parameter']) if 'parameter' in answer else None, data=h(answer['data']))
