"""Keys for walk.py: of each kind that a mechanism names, of a size in that mechanism's unit, for all that such a key may do."""
import os

from cryptoki import *

RSA, DSA_KEY, DH, EC, DHX, DES, DES2, DES3, XTS_KEY = 0, 1, 2, 3, 4, 0x13, 0x14, 0x15, 0x35
CHACHA_KEY, POLY_KEY, EDWARDS, MONTGOMERY, ML_KEM, ML_DSA, SLH_DSA = 0x33, 0x34, 0x40, 0x41, 0x49, 0x4a, 0x4b
BITS, EC_PARAMS, EC_POINT, SIGN_RECOVER, VERIFY_RECOVER, ENCAPSULATE, DECAPSULATE = 0x121, 0x180, 0x181, 0x109, 0x10b, 0x633, 0x634
PRIME, SUBPRIME, BASE, PARAMETER_SET = 0x130, 0x131, 0x132, 0x61d
h = bytes.fromhex

# which attribute lets a key do what, and which half of a pair does it
USES = {'Encrypt': (ENCRYPT, 0), 'Decrypt': (DECRYPT, 1), 'Sign': (SIGN, 1), 'Verify': (VERIFY, 0), 'SignRecover': (SIGN_RECOVER, 1),
        'VerifyRecover': (VERIFY_RECOVER, 0), 'Wrap': (WRAP, 0), 'Unwrap': (UNWRAP, 1), 'Derive': (DERIVE, 1),
        'MessageEncrypt': (ENCRYPT, 0), 'MessageDecrypt': (DECRYPT, 1), 'Encapsulate': (ENCAPSULATE, 0), 'Decapsulate': (DECAPSULATE, 1)}
CURVES = {224: '06052b81040021', 256: '06082a8648ce3d030107', 384: '06052b81040022', 521: '06052b81040023'}
NAMED = {EDWARDS: {255: '06032b6570', 448: '06032b6571'}, MONTGOMERY: {255: '06032b656e', 448: '06032b656f'}, EC: CURVES}
# by the length of the public key
SETS = {ML_KEM: {800: 1, 1184: 2, 1568: 3}, ML_DSA: {1312: 1, 1952: 2, 2592: 3}, SLH_DSA: {32: 2, 48: 6, 64: 10}}
PAIR_GEN = {RSA: 0, EC: 0x1040, EDWARDS: 0x1055, MONTGOMERY: 0x1056, ML_KEM: 0xf, ML_DSA: 0x1c, SLH_DSA: 0x2d}
PAIR_USES = {RSA: ('Encrypt', 'Decrypt', 'Sign', 'Verify', 'SignRecover', 'VerifyRecover', 'Wrap', 'Unwrap'),
             EC: ('Sign', 'Verify', 'Derive', 'Wrap', 'Unwrap'), EDWARDS: ('Sign', 'Verify'), MONTGOMERY: ('Derive',),
             DSA_KEY: ('Sign', 'Verify'), DH: ('Derive',), DHX: ('Derive',), ML_KEM: ('Encapsulate', 'Decapsulate'),
             ML_DSA: ('Sign', 'Verify'), SLH_DSA: ('Sign', 'Verify')}
SECRET_USES = (ENCRYPT, DECRYPT, SIGN, VERIFY, WRAP, UNWRAP, DERIVE)
OPEN = {TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}
RSA_MOST = 3072  # longer keys take too long to make
# RFC 5114, 2.1: 1024 bits with a subprime of 160
GROUP = (h('b10b8f96a080e01dde92de5eae5d54ec52c99fbcfb06a3c69a6a9dca52d23b616073e28675a23d189838ef1e2ee652c013ecb4aea906112324975c3cd49b83bf'
           'accbdd7d90c4bd7098488e9c219a73724effd6fae5644738faa31a4ff55bccc0a151af5f0dc8b4bd45bf37df365c1a65e68cfda76d4da708df1fb2bc2e4a4371'),
         h('f518aa8781a8df278aba4e7d64b7cb9d49462353'),
         h('a4d1cbd5c3fd34126765a442efb99905f8104dd258ac507fd6406cff14266d31266fea1e5c41564b777e690f5504f213160217b4b01b886a5e91547f9e2749f4'
           'd7fbd7d3b9a92ee1909d0d2263f80a76a6a24c087a091f531dbf0a0169b6a28ad662a4d18e73afa32d779d5918d08bc8858f4dcef97c2a24855e6eeb22b3b2e5'))


def domain(kind):
    p, q, g = GROUP
    return {PRIME: p, BASE: g, **({} if kind == DH else {SUBPRIME: q})}


def describe(kind, size):
    """What the public template says of a pair of this size."""
    if kind == RSA:
        return {BITS: size}
    if kind in NAMED:
        return {EC_PARAMS: h(NAMED[kind][size])}
    if kind in SETS:
        return {PARAMETER_SET: SETS[kind][size]}
    return domain(kind)


class Keys:
    def __init__(self, s):
        self.s, self.known = s, {}

    def pair(self, kind, size, without=None):
        """Both halves; `without` is the use that neither may be put to."""
        halves = [{}, {}]
        for use in PAIR_USES[kind]:
            attribute, half = USES[use]
            halves[half][attribute] = use != without
        private = {SENSITIVE: False, EXTRACTABLE: True, **halves[1]}
        number = {DSA_KEY: 0x10, DH: 0x20, DHX: 0x30, **PAIR_GEN}[kind]
        return self.s.pair(number, {**describe(kind, size), **halves[0]}, private)

    def secret(self, kind, size, without=None):
        kind = DES2 if (kind, size) == (DES3, 16) else kind
        uses = {attribute: without is None or attribute != USES[without][0] for attribute in SECRET_USES}
        handle = self.s.create({CLASS: SECRET, KEY_TYPE: kind, VALUE: os.urandom(size), **OPEN, **uses})
        return handle, handle

    def of(self, kind, size, without=None):
        """The public and the private half, or the one secret key twice."""
        known = kind, size, without
        if known not in self.known:
            self.known[known] = (self.pair if kind in PAIR_USES else self.secret)(kind, size, without)
        return self.known[known]

    def sizes(self, kind, unit, least, most):
        if kind in NAMED or kind in SETS:
            return least, most
        if kind in (DSA_KEY, DH, DHX):
            return (1024,)
        if kind == RSA:
            return least, RSA_MOST
        return (least, most) if unit == 'bytes' else ((least + 7) // 8, most // 8)
