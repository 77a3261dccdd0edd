"""Rules of objects: what keys demand of other keys by templates, profiles and mechanisms as objects, dates, copies."""
from cryptoki import *

READ_ONLY, PROHIBITED, INCONSISTENT, NOT_WRAPPABLE, MECHANISM, FORBIDDEN = 0x10, 0x1b, 0xd1, 0x69, 0x70, 0x68
PROFILE, PROFILE_ID, MECHANISM_OBJECT, MECHANISM_TYPE = 9, 0x601, 7, 0x500
PRIVATE_, LABEL, UNIQUE_ID, TRUSTED, START, END, MODIFIABLE, COPYABLE, DESTROYABLE = 2, 3, 4, 0x86, 0x110, 0x111, 0x170, 0x171, 0x172
WITH_TRUSTED, WRAP_TEMPLATE, UNWRAP_TEMPLATE, DERIVE_TEMPLATE, ALLOWED = 0x210, 0x40000211, 0x40000212, 0x40000213, 0x40000600
KEY_WRAP, ECB, CBC, GEN, XOR = 0x2109, 0x1081, 0x1082, 0x1080, 0x364
s = open_session()


def nested(attributes):
    """A template as the value of an attribute."""
    made, count = template(attributes)
    return c.string_at(made, c.sizeof(made))


def find(attributes):
    s('FindObjectsInit', *s.template(attributes))
    found, count, all_found = (UL * 7)(), UL(), []
    while s('FindObjects', found, UL(7), c.byref(count)) or count.value:
        all_found += found[:count.value]
    s('FindObjectsFinal')
    return all_found


def number(handle, attribute):
    return int.from_bytes(s.value(handle, attribute), 'little')


def aes(**more):
    return s.secret(AES, bytes(range(16)), _162=True, **more)


def copy(handle, attributes):
    made = UL()
    s('CopyObject', UL(handle), *s.template(attributes), c.byref(made))
    return made.value


def unwrap(by, wrapped, attributes):
    made = UL()
    whole = {CLASS: SECRET, KEY_TYPE: AES, TOKEN: False, **attributes}
    s('UnwrapKey', mechanism(KEY_WRAP), UL(by), wrapped, UL(len(wrapped)), *s.template(whole), c.byref(made))
    return made.value


def wrap(by, key):
    return s.give('WrapKey', mechanism(KEY_WRAP), UL(by), UL(key))


# what a token says of itself
profiles = find({CLASS: PROFILE})
same([number(one, PROFILE_ID) for one in profiles], [1, 2, 3, 4, 6], 'the profiles are found by their class')
same(find({CLASS: PROFILE, PROFILE_ID: 3}), profiles[2:3], 'and one by its number')
count = UL(0)
s.call('GetMechanismList', UL(s.slot), None, c.byref(count))
listed = (UL * count.value)()
s.call('GetMechanismList', UL(s.slot), listed, c.byref(count))
mechanisms = find({CLASS: MECHANISM_OBJECT})
same([number(one, MECHANISM_TYPE) for one in mechanisms], sorted(listed), 'every mechanism of the list is an object')
same(find({CLASS: MECHANISM_OBJECT, MECHANISM_TYPE: ECB}), [one for one in mechanisms if number(one, MECHANISM_TYPE) == ECB], 'found by its type')
ok(not set(find({})) & set(profiles + mechanisms), 'who lists everything meets neither')
same((s.value(profiles[0], TOKEN), s.value(profiles[0], PRIVATE_)), (b'\1', b'\0'), 'they are public, and of the token')
refuses(PROHIBITED, lambda: s('DestroyObject', UL(profiles[0])), 'nobody destroys them')
refuses(PROHIBITED, lambda: s('SetAttributeValue', UL(profiles[0]), *s.template({PROFILE_ID: 9})), 'nor changes them')
refuses(PROHIBITED, lambda: copy(mechanisms[0], {}), 'nor copies them')
refuses(0x13, lambda: s.create({CLASS: PROFILE, PROFILE_ID: 1}), 'nor makes one')
refuses(0x82, lambda: s.value(profiles[0] + 100, PROFILE_ID), 'a number that no profile has')
refuses(0x60, lambda: s('EncryptInit', mechanism(ECB), UL(profiles[0])), 'it is no key')

# what a wrapping key demands of what it wraps
demanding = aes(_40000211=nested({LABEL: b'export', ENCRYPT: True}))
refuses(NOT_WRAPPABLE, lambda: wrap(demanding, aes()), 'CKA_WRAP_TEMPLATE keeps others in')
wrapped = wrap(demanding, aes(_3=b'export'))
same(len(wrapped), 24, 'and lets out what matches')

# what an unwrapping key, and a base key, make of new ones
strict = aes(_40000212=nested({EXTRACTABLE: False, ENCRYPT: False}))
made = unwrap(strict, wrap(strict, aes()), {})
same((s.value(made, EXTRACTABLE), s.value(made, ENCRYPT)), (b'\0', b'\0'), 'CKA_UNWRAP_TEMPLATE adds what the template lacks')
refuses(INCONSISTENT, lambda: unwrap(strict, wrapped, {EXTRACTABLE: True}), 'and stands against it')
same(s.value(unwrap(strict, wrapped, {EXTRACTABLE: False}), EXTRACTABLE), b'\0', 'but agrees with the same')
base = s.secret(GENERIC, bytes(16), _40000213=nested({SENSITIVE: True, VERIFY: False}), _103=False, _162=True)
data = lambda: mechanism(XOR, struct(bytes(range(16))))
derived = s.derive(data(), base, {SENSITIVE: None})
same((s.value(derived, SENSITIVE), s.value(derived, VERIFY)), (b'\1', b'\0'), 'CKA_DERIVE_TEMPLATE adds')
refuses(INCONSISTENT, lambda: s.derive(data(), base, {SENSITIVE: False}), 'and stands against the template')

# trust is the security officer's to give
shy = aes(_210=True)
refuses(NOT_WRAPPABLE, lambda: wrap(aes(), shy), 'CKA_WRAP_WITH_TRUSTED keeps a key from one that nobody trusts')
refuses(READ_ONLY, lambda: s('SetAttributeValue', UL(shy), *s.template({WITH_TRUSTED: False})), 'and is not taken back')
refuses(READ_ONLY, lambda: aes(_86=True), 'the user trusts nobody')
trusted = aes(_2=False, _1=True)
s('Logout')
s('Login', UL(0), b'12345678', UL(8))
s('SetAttributeValue', UL(trusted), *s.template({TRUSTED: True}))
s('Logout')
s('Login', UL(1), os.environ['PIN'].encode(), UL(6))
same(len(wrap(trusted, aes(_210=True))), 24, 'a trusted key wraps it')

# mechanisms, dates, identity
only = aes(_40000600=ECB.to_bytes(8, 'little'))
s.run('Encrypt', mechanism(ECB), only, bytes(16))
refuses(MECHANISM, lambda: s('EncryptInit', mechanism(CBC, bytes(16)), UL(only)), 'CKA_ALLOWED_MECHANISMS leaves one')
same(number(only, ALLOWED), ECB, 'and is told')
old = aes(_110=b'20000101', _111=b'20010101')
same((s.value(old, START), s.value(old, END)), (b'20000101', b'20010101'), 'dates are kept')
refuses(FORBIDDEN, lambda: s('EncryptInit', mechanism(ECB), UL(old)), 'a key past its end protects nothing new')
s.run('Decrypt', mechanism(ECB), old, bytes(16))
refuses(0xd1, lambda: aes(_110=b'20010101', _111=b'20000101'), 'an end before the start')
refuses(0x13, lambda: aes(_110=b'tomorrow'), 'no date')
ok(len({s.value(one, UNIQUE_ID) for one in (only, old, trusted)}) == 3, 'each object has an identity')
refuses(READ_ONLY, lambda: aes(_4=b'mine'), 'which the token gives')

# copies and changes
key = aes(_3=b'first')
twin = copy(key, {LABEL: b'second', EXTRACTABLE: False})
same((s.value(twin, LABEL), s.value(twin, EXTRACTABLE)), (b'second', b'\0'), 'a copy differs where it was told to')
same(s.run('Encrypt', mechanism(ECB), twin, bytes(16)), s.run('Encrypt', mechanism(ECB), key, bytes(16)), 'and is the same key')
ok(s.value(twin, UNIQUE_ID) != s.value(key, UNIQUE_ID), 'by another identity')
refuses(READ_ONLY, lambda: copy(twin, {EXTRACTABLE: True}), 'a copy is not freer')
refuses(READ_ONLY, lambda: copy(key, {KEY_TYPE: GENERIC}), 'nor of another type')
for flag, change in ((COPYABLE, lambda one: copy(one, {})), (DESTROYABLE, lambda one: s('DestroyObject', UL(one))),
                     (MODIFIABLE, lambda one: s('SetAttributeValue', UL(one), *s.template({LABEL: b'x'})))):
    refuses(PROHIBITED, lambda: change(aes(**{'_%x' % flag: False})), 'attribute 0x%x' % flag)
refuses(READ_ONLY, lambda: s('SetAttributeValue', UL(key), *s.template({KEY_TYPE: AES})), 'what cannot change')
s('SetAttributeValue', UL(key), *s.template({EXTRACTABLE: False}))
refuses(READ_ONLY, lambda: s('SetAttributeValue', UL(key), *s.template({EXTRACTABLE: True})), 'what changes one way only')

# a check value that is given must be right, and one without bytes keeps it away (PKCS#11 3.1, 4.10.2)
CHECK, right = 0x90, s.value(aes(), 0x90)
same(len(right), 3, 'an AES key has a check value when nobody asks for it')
same(s.value(aes(_90=right), CHECK), right, 'the right one may be given')
before = set(s.find({}))
for wrong in (bytes(3), right[:2], right + b'\0'):
    refuses(0x13, lambda: aes(_90=wrong), 'CKA_CHECK_VALUE that is not the key’s: %s' % wrong.hex())
refuses(0x13, lambda: s.generate(GEN, {TOKEN: False, VALUE_LEN: 16, CHECK: bytes(3)}), 'nor that of a key that is generated')
same(set(s.find({})), before, 'and no key is left of it')
none = aes(_90=b'')
same((s.value(none, CHECK), s.value(copy(none, {}), CHECK)), (b'', b''), 'none is kept of a key that shall have none, nor of its copy')
same(len(s.value(s.generate(GEN, {TOKEN: False, VALUE_LEN: 16, CHECK: b''}), CHECK)), 0, 'generated')
same(s.value(copy(aes(), {}), CHECK), right, 'a copy has that of its key')
done()
