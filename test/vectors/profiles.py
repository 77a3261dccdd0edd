"""What OASIS's conformance test cases ask of a provider (PKCS#11 Profiles 3.0 to 3.2: Baseline, Extended, Authentication Token, Public
Certificates Token, HKDF TLS Token), call by call, by each of the lists of functions that the module has."""
import hashlib

from cryptoki import *

LABEL, ID, PRIVATE_, SERIAL, SUBJECT, CERTIFICATE_TYPE, PROFILE, PROFILE_ID = 3, 0x102, 2, 0x82, 0x101, 0x80, 9, 0x601
MODULUS, EXPONENT, BITS, RSA_GEN, RSA_PKCS, SHA512, SHA256_RSA, CERTIFICATE = 0x120, 0x122, 0x121, 0, 1, 0x270, 0x40, 1
PIN = os.environ['PIN'].encode()
TOKEN_FLAGS = 0x1 | 0x4 | 0x8 | 0x20 | 0x200 | 0x400  # random numbers, login, its PIN, keys of no state, two operations at once, made
SUBJECT_DER = bytes.fromhex('300d310b3009060355040a0c024f55')

# what the cases presuppose: an RSA pair and a certificate of one CKA_ID
s = open_session()
public, private = UL(), UL()
s('GenerateKeyPair', mechanism(RSA_GEN), *s.template({TOKEN: True, BITS: 2048, LABEL: b'testrsa-pub', ID: b'\7', PRIVATE_: False}),
  *s.template({TOKEN: True, LABEL: b'testrsa-pri', ID: b'\7'}), c.byref(public), c.byref(private))
s.create({CLASS: CERTIFICATE, TOKEN: True, LABEL: b'testrsa-cert', CERTIFICATE_TYPE: 0, SUBJECT: SUBJECT_DER, ID: b'\7', VALUE: b'\x30\3\2\1\1'})
s.call('Finalize', None)


def padded(room, what):
    text = room.decode()
    ok(text.strip() and '\0' not in text, what + ' is filled up with blanks')


def number(room, at, size=8):
    return int.from_bytes(room[at:at + size], 'little')


def infos(slot, version):
    """C_GetInfo, C_GetSlotInfo, C_GetTokenInfo: what may vary is text, versions and time; the rest is as the cases have it."""
    room = c.create_string_buffer(88)
    s.call('GetInfo', room)
    same((tuple(room.raw[:2]), number(room.raw, 40)), (version, 0), 'C_GetInfo: the version of this list, and no flag')
    padded(room.raw[2:34], 'the manufacturer'), padded(room.raw[48:80], 'the description')
    room = c.create_string_buffer(112)
    s.call('GetSlotInfo', UL(slot), room)
    same(number(room.raw, 96), 1, 'C_GetSlotInfo: a token is present')
    padded(room.raw[:64], 'the description'), padded(room.raw[64:96], 'the manufacturer')
    room = c.create_string_buffer(208)
    s.call('GetTokenInfo', UL(slot), room)
    same(number(room.raw, 96), TOKEN_FLAGS, 'C_GetTokenInfo: the flags')
    same([number(room.raw, 104 + 8 * i) for i in (0, 2, 4, 5)], [0, 0, 255, 4], 'any number of sessions, PINs of 4 to 255')
    ok(all(number(room.raw, 152 + 8 * i) in (0, 2**64 - 1) for i in range(4)), 'no figure of memory')
    for at, size, what in ((0, 32, 'the label'), (32, 32, 'the manufacturer'), (64, 16, 'the model'), (80, 16, 'the serial number')):
        padded(room.raw[at:at + size], what)


def slot_of():
    count = UL()
    s.call('GetSlotList', BYTE(1), None, c.byref(count))
    slots = (UL * count.value)()
    s.call('GetSlotList', BYTE(1), slots, c.byref(count))
    same(count.value, 1, 'C_GetSlotList: asked how many, then which')
    return slots[0]


def opened(slot, flags):
    s.call('OpenSession', UL(slot), UL(flags), None, None, c.byref(s.session))


def closed(slot):
    s('CloseSession')
    s.call('CloseAllSessions', UL(slot))


def find(attributes, most):
    found, count = (UL * most)(), UL()
    s('FindObjectsInit', *s.template(attributes))
    s('FindObjects', found, UL(most), c.byref(count))
    s('FindObjectsFinal')
    return found[:count.value]


def value(handle, attribute):
    """Asked for the length, then for the value."""
    row = (Attribute * 1)(Attribute(attribute, None, 0))
    s('GetAttributeValue', UL(handle), row, UL(1))
    room = c.create_string_buffer(row[0].length)
    row[0].value = c.cast(room, P)
    s('GetAttributeValue', UL(handle), row, UL(1))
    return room.raw[:row[0].length]


def baseline(slot):
    opened(slot, 4)
    same(len(find({TOKEN: True}, 1)), 1, 'Baseline: an object of the token, without a login')
    profiles = find({CLASS: PROFILE}, 9)
    same([number(value(one, PROFILE_ID), 0) for one in profiles], [1, 2, 3, 4, 6], 'the profiles are objects')
    same([value(one, TOKEN) + value(one, PRIVATE_) for one in profiles], [b'\1\0'] * 5, 'public ones of the token')
    closed(slot)


def mechanisms(slot):
    count = UL()
    s.call('GetMechanismList', UL(slot), None, c.byref(count))
    types = (UL * count.value)()
    s.call('GetMechanismList', UL(slot), types, c.byref(count))
    for number_, flags in ((SHA512, 0x400), (RSA_GEN, 0x10000), (RSA_PKCS, 0x62b00)):
        info = (UL * 3)()
        s.call('GetMechanismInfo', UL(slot), UL(number_), info)
        ok(number_ in types and info[2] & flags == flags and info[0] <= info[1], 'Extended: mechanism %d and what it can do' % number_)


def extended(slot):
    mechanisms(slot)
    opened(slot, 6)
    s('Login', UL(1), PIN, UL(len(PIN)))
    same(len(find({TOKEN: True}, 1)), 1, 'an object of the token')
    s('Logout')
    closed(slot)


def authentication(slot):
    opened(slot, 6)
    s('Login', UL(1), PIN, UL(len(PIN)))
    pub, = find({TOKEN: True, LABEL: b'testrsa-pub', CLASS: PUBLIC}, 1)
    n, e = (int.from_bytes(value(pub, attribute), 'big') for attribute in (MODULUS, EXPONENT))
    key, = find({TOKEN: True, LABEL: b'testrsa-pri', CLASS: PRIVATE}, 1)
    signature = s.run('Sign', mechanism(SHA256_RSA), key, b'to be signed')
    block = pow(int.from_bytes(signature, 'big'), e, n).to_bytes(256, 'big')
    same(block[-32:], hashlib.sha256(b'to be signed').digest(), 'Authentication: a signature that the modulus opens')
    s('Logout')
    closed(slot)


def certificates(slot):
    opened(slot, 4)
    found = find({TOKEN: True}, 5)
    same(sorted(value(one, LABEL) for one in found), [b'testrsa-cert', b'testrsa-pub'], 'Certificates: what is public, without a login')
    certificate, = find({CLASS: CERTIFICATE}, 5)
    same(value(certificate, VALUE), b'\x30\3\2\1\1', 'the certificate')
    match = find({CLASS: PUBLIC, ID: value(certificate, ID)}, 5)
    same([value(one, LABEL) for one in match], [b'testrsa-pub'], 'and its public key, by CKA_ID')
    closed(slot)


def hkdf_tls(slot):
    opened(slot, 6)
    s('Login', UL(1), PIN, UL(len(PIN)))
    base = s.secret(GENERIC, bytes(32))
    for label in (b'tls iv', b'tls quic iv'):
        info = (12).to_bytes(2, 'big') + label + b'\0'
        parameter = struct((BYTE, False), (BYTE, True), 0x250, 1, b'', 0, info)
        made = UL()
        s('DeriveKey', mechanism(0x402b, parameter), UL(base), *s.template({CLASS: 0, TOKEN: False, 0x161: 12}), c.byref(made))
        same(len(value(made.value, VALUE)), 12, 'HKDF TLS: ' + label.decode())
    s('Logout')
    closed(slot)


library = c.CDLL(os.environ['MODULE'])
for version in ((2, 40), (3, 0), (3, 2)):
    interface, wanted = P(), (BYTE * 2)(*version)
    assert library.C_GetInterface(b'PKCS 11', wanted, c.byref(interface), UL(0)) == 0
    functions = c.cast(interface, c.POINTER(P))[1]
    table = c.cast(functions + 8, c.POINTER(P))
    s.at = {name: c.CFUNCTYPE(UL)(table[i]) for i, name in enumerate(NAMES[:68])}
    for case in (infos, baseline, extended, authentication, certificates, hkdf_tls):
        s.call('Initialize', None)
        slot = slot_of()
        case(slot, *([version] if case is infos else []))
        s.call('Finalize', None)
listed = P()
assert library.C_GetFunctionList(c.byref(listed)) == 0
room = c.create_string_buffer(88)
at = c.cast(listed.value + 8, c.POINTER(P))
c.CFUNCTYPE(UL)(at[0])(None)
c.CFUNCTYPE(UL)(at[2])(room)
same(tuple(room.raw[:2]), (2, 40), 'C_GetFunctionList gives the list of 2.40')
done()
