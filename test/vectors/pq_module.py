"""What the post-quantum programs share: the 3.2 function list, numbers of PKCS#11 3.2, and key pairs."""
import os

import cryptoki
from cryptoki import *

ML_KEM, ML_DSA, SLH_DSA, EDWARDS = 0x49, 0x4a, 0x4b, 0x40
PARAMETER_SET, ENCAPSULATE, DECAPSULATE, SEED, INFO, LABEL = 0x61d, 0x633, 0x634, 0x637, 0x129, 3
GEN = {ML_KEM: 0xf, ML_DSA: 0x1c, SLH_DSA: 0x2d}
SIGN_WITH = {ML_DSA: 0x1d, SLH_DSA: 0x2e}
HASHED_BY_CALLER = {ML_DSA: 0x1f, SLH_DSA: 0x34}
HASHING = {ML_DSA: 0x23, SLH_DSA: 0x36}  # the first of ten: SHA224, 256, 384, 512, SHA3-224, ..., SHAKE128, SHAKE256
KEM = 0x17
PREFERRED, HEDGED, DETERMINISTIC = 0, 1, 2
MECHANISM_INVALID, PARAM_INVALID, NOT_PERMITTED, VALUE_INVALID = 0x70, 0x71, 0x68, 0x13
SIGNATURE_INVALID, SIGNATURE_LEN, TOO_SMALL, TYPE_INVALID = 0xc0, 0xc1, 0x150, 0x12

LIST_3_2 = cryptoki.NAMES + '''EncapsulateKey DecapsulateKey VerifySignatureInit VerifySignature VerifySignatureUpdate
VerifySignatureFinal GetSessionValidationFlags AsyncComplete AsyncGetID AsyncJoin WrapKeyAuthenticated
UnwrapKeyAuthenticated'''.split()


class Version(c.Structure):
    _fields_ = [('major', BYTE), ('minor', BYTE)]


def use_3_2(s):
    """The longer list, asked for by its version, as the standard has it; the shorter ones stay what they were."""
    library = c.CDLL(os.environ['MODULE'])
    found = {}
    for version in (None, Version(2, 40), Version(3, 0), Version(3, 2)):
        interface = P()
        rv = library.C_GetInterface(b'PKCS 11', c.byref(version) if version else None, c.byref(interface), UL(0))
        functions = c.cast(interface, c.POINTER(P))[1]
        found[(version.major, version.minor) if version else None] = (rv, c.cast(functions, c.POINTER(Version))[0], functions)
    same([found[None][1].major, found[None][1].minor], [3, 0], 'who asks for no version gets 3.0')
    same([found[2, 40][1].minor, found[3, 0][1].minor, found[3, 2][1].minor], [40, 0, 2], 'each version by its own list')
    table = c.cast(found[3, 2][2] + 8, c.POINTER(P))
    s.at = {name: c.CFUNCTYPE(UL)(table[i]) for i, name in enumerate(LIST_3_2)}
    return s


def pair(s, key_type, number, public=None, private=None):
    return s.pair(GEN[key_type], {PARAMETER_SET: number, **(public or {})},
                  {SENSITIVE: False, EXTRACTABLE: True, **(private or {})})


def public_key(s, key_type, number, value, **more):
    return s.create({CLASS: PUBLIC, KEY_TYPE: key_type, TOKEN: False, PARAMETER_SET: number, VALUE: value})


def private_key(s, key_type, number, attributes):
    return s.create({CLASS: PRIVATE, KEY_TYPE: key_type, TOKEN: False, PARAMETER_SET: number, SENSITIVE: False,
                     EXTRACTABLE: True, **attributes})


SECRET_KEY = {CLASS: SECRET, KEY_TYPE: GENERIC, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}


def encapsulate(s, to, attributes=SECRET_KEY, room=2000):
    buffer, length, handle = c.create_string_buffer(room or 1), UL(room), UL()
    s('EncapsulateKey', mechanism(KEM), UL(to), *s.template(attributes), buffer, c.byref(length), c.byref(handle))
    return handle.value, buffer.raw[:length.value]


def decapsulate(s, by, ciphertext, attributes=SECRET_KEY):
    handle = UL()
    s('DecapsulateKey', mechanism(KEM), UL(by), *s.template(attributes), ciphertext, UL(len(ciphertext)), c.byref(handle))
    return handle.value


def context(text=b'', hedge=PREFERRED, hash=None):
    return struct(hedge, text, *([hash] if hash else []))


def sign(s, number, parameter, key, data):
    return s.run('Sign', mechanism(number, parameter), key, data)


def verify(s, number, parameter, key, data, signature):
    s.verify(mechanism(number, parameter), key, data, signature)
