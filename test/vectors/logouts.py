"""
What a handle is worth after C_Logout: to a private object nothing more, also when the user has logged in again (PKCS#11 3.1, 5.6.9), by each
function that takes one; to a public object what it was. Who looks again finds the object.
"""
import os

from cryptoki import *

OBJECT, KEY, WRAPPING, UNWRAPPING, TOKEN_, PRIVATE_, LABEL = 0x82, 0x60, 0x113, 0xf0, 1, 2, 3
ECB, CMAC, HMAC, KWP, XOR, CONCATENATE, HKDF, SHA256 = 0x1081, 0x108a, 0x251, 0x210b, 0x364, 0x360, 0x402a, 0x250
RIGHTS = {number: True for number in (0x104, 0x105, 0x108, 0x10a, 0x106, 0x107, 0x10c, 0x162)}  # to use and to take out
SECRET_KEY = {CLASS: SECRET, KEY_TYPE: GENERIC, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}
s = open_session()


def log_in():
    s('Login', UL(1), os.environ['PIN'].encode(), UL(6))


def make(label, **more):
    attributes = {CLASS: SECRET, KEY_TYPE: AES, TOKEN_: True, LABEL: label, VALUE: bytes(range(16)), SENSITIVE: False, **RIGHTS}
    return s.create({**attributes, **{int(name[1:], 16): value for name, value in more.items()}})


def copy(handle):
    made = UL()
    s('CopyObject', UL(handle), *s.template({TOKEN: False}), c.byref(made))
    return made.value


def size(handle):
    found = UL()
    s('GetObjectSize', UL(handle), c.byref(found))
    return found.value


def unwrap(by, wrapped):
    made = UL()
    s('UnwrapKey', mechanism(KWP), UL(by), wrapped, UL(len(wrapped)), *s.template(SECRET_KEY), c.byref(made))


def derive(number, parameter, base):
    return s.derive(mechanism(number, parameter), base, {VALUE_LEN: None})


def concatenated(base, other):
    return derive(CONCATENATE, other.to_bytes(8, 'little'), base)


def extracted(base, salt):
    return derive(HKDF, struct((BYTE, 1), (BYTE, 0), SHA256, 4, (P, None), 0, salt, (P, None), 0), base)


secret, shown, salt = make(b'private'), make(b'public', _2=False), make(b'salt', _100=GENERIC)
wrapped = s.give('WrapKey', mechanism(KWP), UL(secret), UL(secret))
doomed = make(b'doomed')
session_key = s.secret(AES, bytes(16))
public, private = s.pair(0x1040, {TOKEN_: True, 0x180: bytes.fromhex('06082a8648ce3d030107')}, {TOKEN_: True})
other = UL()
s.call('OpenSession', UL(s.slot), UL(6), None, None, c.byref(other))

s('Logout')
refuses(OBJECT, lambda: s.value(secret), 'logged out: a private object')
same(s.value(shown), bytes(range(16)), 'a public one')
log_in()

fresh = s.secret(GENERIC, b'a key of today', _103=False, _162=True)
USES = {
    'C_GetAttributeValue': (OBJECT, lambda key: s.value(key)),
    'C_SetAttributeValue': (OBJECT, lambda key: s('SetAttributeValue', UL(key), *s.template({LABEL: b'other'}))),
    'C_GetObjectSize': (OBJECT, size),
    'C_CopyObject': (OBJECT, copy),
    'C_EncryptInit': (KEY, lambda key: s.run('Encrypt', mechanism(ECB), key, bytes(16))),
    'C_DecryptInit': (KEY, lambda key: s.run('Decrypt', mechanism(ECB), key, bytes(16))),
    'C_SignInit': (KEY, lambda key: s.run('Sign', mechanism(CMAC), key, b'x')),
    'C_VerifyInit': (KEY, lambda key: s('VerifyInit', mechanism(CMAC), UL(key))),
    'C_WrapKey, by it': (WRAPPING, lambda key: s.give('WrapKey', mechanism(KWP), UL(key), UL(fresh))),
    'C_WrapKey, of it': (KEY, lambda key: s.give('WrapKey', mechanism(KWP), UL(aes), UL(key))),
    'C_UnwrapKey': (UNWRAPPING, lambda key: unwrap(key, wrapped)),
    'C_DeriveKey': (KEY, lambda key: derive(XOR, struct(bytes(range(16))), key)),
    'C_DeriveKey, with it': (OBJECT, lambda key: concatenated(fresh, key)),
}
aes = s.secret(AES, bytes(16), **{'_106': True})
for name, (code, use) in USES.items():
    refuses(code, lambda: use(secret), 'logged in again: ' + name)
refuses(KEY, lambda: s.run('Sign', mechanism(0x1044), private, b'x'), 'the private half of a pair')
s.value(public, 0x181)
ok(True, 'and not the public one')
refuses(OBJECT, lambda: s.value(session_key), 'a key of the session')
refuses(OBJECT, lambda: extracted(fresh, salt), 'the salt of CKM_HKDF_DERIVE')
refuses(OBJECT, lambda: s('DestroyObject', UL(doomed)), 'C_DestroyObject')
saved, s.session = s.session, other
refuses(OBJECT, lambda: s.value(secret), 'in another session as well')
s.session = saved
same(s.value(shown), bytes(range(16)), 'a public object is what it was')
same(s.run('Encrypt', mechanism(ECB), shown, bytes(16)), s.run('Encrypt', mechanism(ECB), s.secret(AES, bytes(range(16)), _104=True), bytes(16)), 'and encrypts')

found, = s.find({LABEL: b'private'})
for name, (code, use) in USES.items():
    if name == 'C_SetAttributeValue':
        continue
    use(found)
    ok(True, 'looked for and found: ' + name)
    if name == 'C_VerifyInit':
        refuses(0xc0, lambda: s('Verify', b'x', UL(1), bytes(16), UL(16)), 'and what was begun goes on')
same(len(s.value(extracted(fresh, *s.find({LABEL: b'salt'})))), 32, 'and the salt')
same(len(s.find({LABEL: b'doomed'})), 1, 'nothing was destroyed')
key, = s.find({CLASS: PRIVATE})
s.verify(mechanism(0x1044), public, b'x', s.run('Sign', mechanism(0x1044), key, b'x'))
ok(True, 'the private half, found again')

today = make(b'today')
same(s.value(today), bytes(range(16)), 'a new object')
s('DestroyObject', UL(today))
refuses(OBJECT, lambda: s.value(today), 'until it is destroyed')
s('Logout')
log_in()
refuses(OBJECT, lambda: s.value(found), 'and once more')
for label in (b'private', b'public', b'doomed', b'salt'):
    for handle in s.find({LABEL: label}):
        s('DestroyObject', UL(handle))
for handle in s.find({CLASS: PRIVATE}) + s.find({CLASS: PUBLIC}):
    s('DestroyObject', UL(handle))
same(s.find({TOKEN_: True}), [], 'what was found is destroyed')
done()
