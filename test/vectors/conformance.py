"""What every function answers to a wrong call (PKCS#11 3.1, 5): arguments, sessions, logins, templates, the order of calls."""
import hashlib

from cryptoki import *
from pq_module import use_3_2

ARGUMENTS, SLOT, HANDLE, NO_OPERATION, ACTIVE, TOO_SMALL = 0x7, 0x3, 0xb3, 0x91, 0x90, 0x150
READ_ONLY, TYPE, VALUE_INVALID, PROHIBITED = 0x10, 0x12, 0x13, 0x1b
INCOMPLETE, INCONSISTENT, OBJECT, KEY_HANDLE, MECHANISM, PARAM = 0xd0, 0xd1, 0x82, 0x60, 0x70, 0x71
NOT_LOGGED_IN, PIN_MISSING, ANOTHER, PIN_WRONG, PIN_RANGE, PIN_LOCKED = 0x101, 0x102, 0x104, 0xa0, 0xa2, 0xa4
RO_SESSION, RO_EXISTS, SO_EXISTS, EXISTS = 0xb5, 0xb7, 0xb8, 0xb6
CBC, CMAC, SHA256, AES_GEN = mechanism(0x1082, bytes(16)), mechanism(0x108a), mechanism(0x250), 0x1080
LABEL, PRIVATE_, MODULUS_BITS, EXPONENT, EC_PARAMS = 3, 2, 0x121, 0x122, 0x180
P256 = bytes.fromhex('06082a8648ce3d030107')
s = open_session()
n, h = UL(), UL()
PIN = os.environ['PIN'].encode()
SO = b'12345678'


def create(attributes, session=None):
    made = UL()
    s.call('CreateObject', session or s.session, *s.template(attributes), c.byref(made))
    return made.value


def change(key, attributes):
    s('SetAttributeValue', UL(key), *s.template(attributes))


def copy(key, attributes, session=None):
    s.call('CopyObject', session or s.session, UL(key), *s.template(attributes), c.byref(h))


def opened(flags):
    made = UL()
    s.call('OpenSession', UL(s.slot), UL(flags), None, None, c.byref(made))
    return made


def login(user, pin):
    s('Login', UL(user), pin, UL(len(pin or b'')))


def data(**more):
    return create({CLASS: 0, TOKEN: False, VALUE: b'x', **{int(k[1:], 16): v for k, v in more.items()}})


ro = opened(4)
room = lambda size=64: (c.create_string_buffer(size), c.byref(UL(size)))
for code, name, call in (
    (ARGUMENTS, 'C_GetSlotList without a count', lambda: s.call('GetSlotList', BYTE(1), None, None)),
    (ARGUMENTS, 'C_GetSlotInfo into nothing', lambda: s.call('GetSlotInfo', UL(s.slot), None)),
    (SLOT, 'C_GetTokenInfo of no slot', lambda: s.call('GetTokenInfo', UL(9999), c.create_string_buffer(400))),
    (SLOT, 'C_GetMechanismList of no slot', lambda: s.call('GetMechanismList', UL(9999), None, c.byref(n))),
    (MECHANISM, 'C_GetMechanismInfo of no mechanism', lambda: s.call('GetMechanismInfo', UL(s.slot), UL(0x7fffffff), c.create_string_buffer(24))),
    (ARGUMENTS, 'C_GetMechanismInfo into nothing', lambda: s.call('GetMechanismInfo', UL(s.slot), UL(0x250), None)),
    (0xb4, 'C_OpenSession without CKF_SERIAL_SESSION', lambda: opened(2)),
    (SLOT, 'C_OpenSession on no slot', lambda: s.call('OpenSession', UL(9999), UL(4), None, None, c.byref(h))),
    (ARGUMENTS, 'C_OpenSession into nothing', lambda: s.call('OpenSession', UL(s.slot), UL(4), None, None, None)),
    (HANDLE, 'C_CloseSession of none', lambda: s.call('CloseSession', UL(1))),
    (SLOT, 'C_CloseAllSessions of no slot', lambda: s.call('CloseAllSessions', UL(9999))),
    (ARGUMENTS, 'C_GetSessionInfo into nothing', lambda: s('GetSessionInfo', None)),
    (ANOTHER, 'C_Login of another', lambda: login(0, SO)),
    (0x103, 'C_Login of no user', lambda: login(77, PIN)),
    (NO_OPERATION, 'C_Login for no operation', lambda: login(2, PIN)),
    (NOT_LOGGED_IN, 'C_InitPIN by the user', lambda: s('InitPIN', PIN, UL(6))),
    (PIN_RANGE, 'C_SetPIN to a short one', lambda: s('SetPIN', PIN, UL(6), b'1', UL(1))),
    (PIN_WRONG, 'C_SetPIN of a wrong one', lambda: s('SetPIN', b'999999', UL(6), PIN, UL(6))),
    (0, 'C_SetPIN', lambda: s('SetPIN', PIN, UL(6), PIN, UL(6))),
    (RO_SESSION, 'C_SetPIN in a read-only session', lambda: s.call('SetPIN', ro, PIN, UL(6), PIN, UL(6))),
    (EXISTS, 'C_InitToken beside a session', lambda: s.call('InitToken', UL(s.slot), SO, UL(8), b' ' * 32)),
    (SLOT, 'C_InitToken of no slot', lambda: s.call('InitToken', UL(9999), SO, UL(8), b' ' * 32)),
    (RO_SESSION, 'a token object in a read-only session', lambda: create({CLASS: 0, TOKEN: True, VALUE: b'x'}, ro)),
    (INCOMPLETE, 'an object of nothing', lambda: create({})),
    (ARGUMENTS, 'a template that is not there', lambda: s('CreateObject', None, UL(1), c.byref(h))),
    (VALUE_INVALID, 'a class of one byte', lambda: create({CLASS: b'\0'})),
    (READ_ONLY, 'CKA_LOCAL given', lambda: create({CLASS: SECRET, KEY_TYPE: AES, VALUE: bytes(16), 0x163: True})),
    (INCONSISTENT, 'another class', lambda: s.generate(AES_GEN, {CLASS: PRIVATE, VALUE_LEN: 16})),
    (INCONSISTENT, 'another key type', lambda: s.generate(AES_GEN, {KEY_TYPE: GENERIC, VALUE_LEN: 16})),
    (INCOMPLETE, 'an AES key of no length', lambda: s.generate(AES_GEN, {TOKEN: False})),
    (0, 'a parameter where there is none, which nobody looks at', lambda: s.generate(AES_GEN, {VALUE_LEN: 16}, b'xx')),
    (MECHANISM, 'a digest that makes keys', lambda: s.generate(0x250, {VALUE_LEN: 16})),
    (ARGUMENTS, 'C_GenerateKey by nothing', lambda: s('GenerateKey', None, None, UL(0), c.byref(h))),
    (ARGUMENTS, 'C_GenerateKey into nothing', lambda: s('GenerateKey', mechanism(AES_GEN), *s.template({VALUE_LEN: 16}), None)),
    (INCOMPLETE, 'an RSA pair of no length', lambda: s.pair(0, {}, {})),
    (VALUE_INVALID, 'an even exponent', lambda: s.pair(0, {MODULUS_BITS: 2048, EXPONENT: b'\2'}, {})),
    (INCOMPLETE, 'an EC pair of no curve', lambda: s.pair(0x1040, {}, {})),
    (INCONSISTENT, 'a private key as the public half', lambda: s.pair(0x1040, {CLASS: PRIVATE, EC_PARAMS: P256}, {})),
    (OBJECT, 'C_GetAttributeValue of no object', lambda: s('GetAttributeValue', UL(999), None, UL(0))),
    (OBJECT, 'C_CopyObject of no object', lambda: copy(9999, {})),
    (OBJECT, 'C_DestroyObject of no object', lambda: s('DestroyObject', UL(9999))),
    (OBJECT, 'C_GetObjectSize of no object', lambda: s('GetObjectSize', UL(9999), c.byref(n))),
    (0, 'a digest with a parameter', lambda: s('DigestInit', mechanism(0x250, b'x'))),
    (0, 'and its end', lambda: s('DigestInit', None)),
    (ARGUMENTS, 'C_GenerateRandom into nothing', lambda: s('GenerateRandom', None, UL(5))),
    (0, 'a seed of nothing', lambda: s('SeedRandom', None, UL(0))),
):
    refuses(code, call, name)

# several wrong attributes at once: every entry is filled
aes = s.generate(AES_GEN, {TOKEN: False, VALUE_LEN: 16, EXTRACTABLE: True, SENSITIVE: False})
closed = s.generate(AES_GEN, {TOKEN: False, VALUE_LEN: 16, EXTRACTABLE: False, SENSITIVE: True})


def lengths(key, *wanted):
    rows = (Attribute * len(wanted))(*[Attribute(number, pointer(bytes(size)), size) for number, size in wanted])
    try:
        s('GetAttributeValue', UL(key), rows, UL(len(wanted)))
    except Refused as refusal:
        return refusal.rv, [c.c_long(row.length).value for row in rows]
    return 0, [c.c_long(row.length).value for row in rows]


rv, told = lengths(closed, (VALUE, 16), (KEY_TYPE, 4), (0x9999, 8), (LABEL, 0), (MODULUS_BITS, 8), (VALUE_LEN, 8))
ok(rv in (0x11, TYPE, TOO_SMALL), 'one of the three codes')
same(told, [-1, -1, -1, 0, -1, 8], 'and each entry says how it went')
same([s.value(closed, number) for number in (0x165, 0x164, 0x163)], [b'\1'] * 3, 'made here, always sensitive, never extractable')
same([s.value(aes, number) for number in (0x165, 0x164, 0x163)], [b'\0', b'\0', b'\1'], 'made here, neither')

# changes
for code, name, call in (
    (0, 'CKA_SENSITIVE to true', lambda: change(aes, {SENSITIVE: True})),
    (0, 'and once more', lambda: change(aes, {SENSITIVE: True})),
    (READ_ONLY, 'and back', lambda: change(aes, {SENSITIVE: False})),
    (0, 'CKA_EXTRACTABLE to false', lambda: change(aes, {EXTRACTABLE: False})),
    (READ_ONLY, 'and back', lambda: change(aes, {EXTRACTABLE: True})),
    (TYPE, 'what nobody knows', lambda: change(aes, {0x9999: 4})),
    (0, 'nothing', lambda: change(aes, {})),
    (ARGUMENTS, 'a template that is not there', lambda: s('SetAttributeValue', UL(aes), None, UL(1))),
    (READ_ONLY, 'a label and the class', lambda: change(aes, {LABEL: b'new', CLASS: SECRET})),
    (PROHIBITED, 'what is not CKA_MODIFIABLE', lambda: change(data(_170=False), {LABEL: b'a'})),
    (PROHIBITED, 'a copy of what is not CKA_COPYABLE', lambda: copy(data(_171=False), {})),
    (PROHIBITED, 'the end of what is not CKA_DESTROYABLE', lambda: s('DestroyObject', UL(data(_172=False)))),
    (READ_ONLY, 'a copy that is not sensitive', lambda: copy(closed, {SENSITIVE: False})),
    (READ_ONLY, 'a copy that is extractable', lambda: copy(closed, {EXTRACTABLE: True})),
    (RO_SESSION, 'a token copy in a read-only session', lambda: copy(closed, {TOKEN: True}, ro)),
):
    refuses(code, call, name)
same(s.value(aes, LABEL), b'', 'of a template that is refused nothing is done')

# finding
for code, name, call in (
    (NO_OPERATION, 'C_FindObjects before its Init', lambda: s('FindObjects', c.byref(h), UL(1), c.byref(n))),
    (NO_OPERATION, 'C_FindObjectsFinal before it', lambda: s('FindObjectsFinal')),
    (ARGUMENTS, 'a template that is not there', lambda: s('FindObjectsInit', None, UL(1))),
    (0, 'no template', lambda: s('FindObjectsInit', None, UL(0))),
    (ACTIVE, 'once more', lambda: s('FindObjectsInit', None, UL(0))),
    (0, 'none at all', lambda: s('FindObjects', c.byref(h), UL(0), c.byref(n))),
    (ARGUMENTS, 'no count', lambda: s('FindObjects', c.byref(h), UL(1), None)),
    (0, 'one', lambda: s('FindObjects', c.byref(h), UL(1), c.byref(n))),
    (0, 'the end', lambda: s('FindObjectsFinal')),
):
    refuses(code, call, 'finding: ' + name)
same(s.find({0x9999: b'x'}), [], 'what nobody knows nothing has')

# the order of calls
for kind, m, key in (('Encrypt', CBC, aes), ('Decrypt', CBC, aes), ('Sign', CMAC, aes), ('Digest', SHA256, None)):
    gives = room if kind in ('Encrypt', 'Decrypt') else lambda: ()
    begin = lambda: s(kind + 'Init', m, *([UL(key)] if key else []))
    single = lambda given=bytes(16): s(kind, given, UL(16), *room())
    update = lambda size=16: s(kind + 'Update', bytes(size) or None, UL(size), *gives())
    final = lambda: s(kind + 'Final', *room())
    cancel = lambda: s('SessionCancel', UL(0xffffffff))
    for code, name, call in (
        (NO_OPERATION, 'before its Init', single), (NO_OPERATION, 'Update before it', update), (NO_OPERATION, 'Final before it', final),
        (0, 'Init', begin), (ACTIVE, 'Init again', begin),
        (ARGUMENTS, 'without a length', lambda: s(kind, bytes(16), UL(16), c.create_string_buffer(64), None)),
        (NO_OPERATION, 'which ends it', single),
        (0, 'Init', begin), (ARGUMENTS, 'without data', lambda: single(None)), (0, 'cancel', cancel),
        (0, 'Init', begin), (0, 'the length', lambda: s(kind, bytes(16), UL(16), None, c.byref(n))),
        (TOO_SMALL, 'a short buffer', lambda: s(kind, bytes(16), UL(16), *room(4))), (0, 'and all', single),
        (0, 'Init', begin), (0, 'Update of nothing', lambda: update(0)), (0, 'Update', update), (ACTIVE, 'all after a part', single),
        (0, 'cancel', cancel), (0, 'Init', begin), (0, 'the length of the end', lambda: s(kind + 'Final', None, c.byref(n))),
        (0, 'the end', final), (NO_OPERATION, 'the end again', final),
    ):
        refuses(code, call, '%s: %s' % (kind, name))
    if key:
        refuses(KEY_HANDLE, lambda: s(kind + 'Init', m, UL(data())), kind + ' with data for a key')
        refuses(MECHANISM, lambda: s(kind + 'Init', mechanism(0x7fffffff), UL(key)), kind + ' by no mechanism')
s('VerifyInit', CMAC, UL(aes))
refuses(ARGUMENTS, lambda: s('Verify', bytes(16), UL(16), None, UL(16)), 'a signature that is not there')

# the two kinds of verification are apart
use_3_2(s)
tag = s.run('Sign', CMAC, aes, b'verified')
s('VerifySignatureInit', CMAC, UL(aes), tag, UL(16))
refuses(NO_OPERATION, lambda: s('VerifyUpdate', b'no', UL(2)), 'C_VerifyUpdate of what has its signature')
refuses(NO_OPERATION, lambda: s('VerifyFinal', tag, UL(16)), 'C_VerifyFinal of it')
s('DecryptInit', CBC, UL(aes))
refuses(NO_OPERATION, lambda: s('DecryptVerifyUpdate', bytes(32), UL(32), *room()), 'C_DecryptVerifyUpdate of it, which ends both')
s('VerifySignatureInit', CMAC, UL(aes), tag, UL(16))
s('VerifySignatureUpdate', b'veri', UL(4))
refuses(NO_OPERATION, lambda: s('VerifyUpdate', b'no', UL(2)), 'C_VerifyUpdate in the middle of it')
s('VerifySignatureUpdate', b'fied', UL(4))
s('VerifySignatureFinal')
ok(True, 'which goes on')
s('VerifyInit', CMAC, UL(aes))
s('VerifyUpdate', b'verified', UL(8))
refuses(NO_OPERATION, lambda: s('VerifySignatureUpdate', b'no', UL(2)), 'C_VerifySignatureUpdate of what has none')
s('VerifyFinal', tag, UL(16))

# no session is asynchronous
ident = UL()
for rv, name in ((ARGUMENTS, None), (ARGUMENTS, b''), (NO_OPERATION, b'C_Sign')):
    refuses(rv, lambda: s('AsyncGetID', name, c.byref(ident)), 'C_AsyncGetID of %s' % name)
    refuses(rv, lambda: s('AsyncComplete', name, None), 'C_AsyncComplete of %s' % name)
refuses(ARGUMENTS, lambda: s('AsyncGetID', b'C_Sign', None), 'C_AsyncGetID into nothing')
refuses(0x160, lambda: s('AsyncJoin', b'C_Sign', UL(1), None, UL(0)), 'C_AsyncJoin')

# values that are too long, and curves that are none
for size in (4097, 16384, 16385, 65536):
    refuses(0x62, lambda: s.secret(GENERIC, bytes(size)), 'a secret of %d bytes' % size)
refuses(VALUE_INVALID, lambda: s.secret(GENERIC, bytes(65537)), 'a longer value than an attribute has')
for rv, params in ((0x140, '06052b81040006'), (0x130, '06052b810400'), (0x130, '06'), (0x130, '0600'), (0x130, '06052b8104002200'), (0x130, '3003020101')):
    refuses(rv, lambda: s.pair(0x1040, {EC_PARAMS: bytes.fromhex(params)}, {}), 'the curve ' + params)

# ECDH without a KDF: no shared data, and a shorter key loses its first bytes
public, private = s.pair(0x1040, {EC_PARAMS: P256}, {DERIVE: True})
point = s.value(public, 0x181)


def agree(shared, at, attributes):
    return s.derive(mechanism(0x1050, struct(1, len(shared), (P, pointer(shared)), len(at), (P, pointer(at)))), private, attributes)


refuses(PARAM, lambda: agree(b'x', point, {}), 'shared data without a KDF')
same(s.value(agree(b'', point[2:], {VALUE_LEN: 16})), s.value(agree(b'', point, {}))[-16:], 'a shorter agreed key, by a bare point')
refuses(0x62, lambda: agree(b'', point, {VALUE_LEN: 33}), 'a longer one than there is')
refuses(PARAM, lambda: agree(b'', b'\4' + bytes(64), {}), 'a point beside the curve')

# logging out
hidden, shown, kept = data(_2=True), data(_2=False), create({CLASS: 0, TOKEN: True, PRIVATE_: True, VALUE: b'x'})
s('EncryptInit', CBC, UL(aes))
s('SignInit', CMAC, UL(aes))
s('Logout')
refuses(NO_OPERATION, lambda: s('Encrypt', bytes(16), UL(16), *room()), 'an operation of a private key ends with the login')
refuses(NO_OPERATION, lambda: s('SignUpdate', bytes(16), UL(16)), 'in parts as well')
refuses(OBJECT, lambda: s.value(hidden), 'a private object of the session')
refuses(OBJECT, lambda: s.value(kept), 'a private object of the token')
same(s.value(shown), b'x', 'a public one stays')
refuses(NOT_LOGGED_IN, lambda: data(_2=True), 'a private object')
same(s.find({PRIVATE_: True}), [], 'nothing private is found')
refuses(NOT_LOGGED_IN, lambda: s('Logout'), 'logging out again')
refuses(RO_EXISTS, lambda: login(0, SO), 'the security officer beside a read-only session')
s.call('CloseSession', ro)
login(0, SO)
refuses(SO_EXISTS, lambda: opened(4), 'a read-only session beside the security officer')
refuses(PIN_RANGE, lambda: s('InitPIN', b'1', UL(1)), 'a short PIN')
s('Logout')


def flags():
    info = (UL * 26)()
    s.call('GetTokenInfo', UL(s.slot), info)
    return info[12] & 0x70000


# CKF_USER_PIN_COUNT_LOW, _FINAL_TRY, _LOCKED
same(flags(), 0, 'no wrong PIN')
for i in range(10):
    refuses(PIN_WRONG, lambda: login(1, b'999999'), 'wrong PIN %d' % i)
    same(flags() & 0x70000 != 0 and hex(flags() & 0x60000), hex({8: 0x20000, 9: 0x40000}.get(i, 0)), 'the token says how many tries are left')
refuses(PIN_LOCKED, lambda: login(1, PIN), 'the right one then')
login(0, SO)
s('InitPIN', PIN, UL(6))
s('Logout')
login(1, PIN)
same(flags(), 0, 'a new PIN unlocks')
refuses(OBJECT, lambda: s('DestroyObject', UL(kept)), 'a handle of the login before')
for handle in s.find({CLASS: 0, TOKEN: True, PRIVATE_: True}):
    s('DestroyObject', UL(handle))
s.call('CloseAllSessions', UL(s.slot))
s.session.value = opened(6).value
info = (UL * 4)()
s('GetSessionInfo', info)
same(info[1] & 0xffffffff, 2, 'C_CloseAllSessions logs out')
s.call('CloseAllSessions', UL(s.slot))
refuses(PIN_WRONG, lambda: s.call('InitToken', UL(s.slot), b'99999999', UL(8), b' ' * 32), 'C_InitToken by a wrong PIN')

# the token anew
s.session.value = opened(6).value
login(1, PIN)
create({CLASS: 0, TOKEN: True, VALUE: b'private'})
s('Logout')
create({CLASS: 0, TOKEN: True, PRIVATE_: False, VALUE: b'public'})
s.call('CloseAllSessions', UL(s.slot))
s.call('InitToken', UL(s.slot), SO, UL(8), b'anew'.ljust(32))
info = (BYTE * 208)()
s.call('GetTokenInfo', UL(s.slot), info)
same(bytes(info)[:32], b'anew'.ljust(32), 'C_InitToken gives another label')
s.session.value = opened(6).value
same(s.find({TOKEN: True}), [], 'public objects are gone')
refuses(PIN_MISSING, lambda: login(1, PIN), 'the user has no PIN')
login(0, SO)
s('InitPIN', PIN, UL(6))
s('Logout')
login(1, PIN)
same(s.find({TOKEN: True}), [], 'and the private ones')
s.call('CloseAllSessions', UL(s.slot))

# the end, and no beginning
UNINITIALIZED = 0x190
refuses(ARGUMENTS, lambda: s.call('Finalize', P(1)), 'C_Finalize of something')
s.call('Finalize', None)
refuses(UNINITIALIZED, lambda: s.call('Finalize', None), 'C_Finalize again')
refuses(UNINITIALIZED, lambda: s.call('GetInfo', None), 'not initialised comes before bad arguments')
refuses(UNINITIALIZED, lambda: s.call('OpenSession', UL(9), UL(0), None, None, None), 'and before a bad slot')
for name, given in (('pReserved', (P * 6)(None, None, None, None, None, P(1))), ('one callback of four', (P * 6)(P(1), None, None, None, None, None))):
    refuses(ARGUMENTS, lambda: s.call('Initialize', given), 'C_Initialize with ' + name)
done()
