"""Post-quantum keys through the module: made, imported, exported, wrapped, encapsulated with, signed with; and refusals."""
import hashlib
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../vectors'))
from pq_module import *

s = use_3_2(open_session())
KWP = 0x210b
wrapping = s.secret(AES, bytes(range(32)), _106=True, _107=True)

# key pairs
LENGTHS = {ML_KEM: {1: 800, 2: 1184, 3: 1568}, ML_DSA: {1: 1312, 2: 1952, 3: 2592},
           SLH_DSA: {1: 32, 3: 32, 4: 32, 7: 48, 11: 64, 12: 64}}
PRIVATE_BYTES = {ML_KEM: {1: 1632, 2: 2400, 3: 3168}, ML_DSA: {1: 2560, 2: 4032, 3: 4896}}
pairs = {}
for key_type, sets in LENGTHS.items():
    for number, length in sets.items():
        public, private = pairs[key_type, number] = pair(s, key_type, number)
        name = '0x%x %d' % (key_type, number)
        value = s.value(public)
        same(len(value), length, name + ': public value')
        same(s.value(private, PARAMETER_SET), number.to_bytes(8, 'little'), name + ': the private half knows its set')
        ok(s.value(public, INFO).endswith(value) and s.value(private, INFO).endswith(value), name + ': CKA_PUBLIC_KEY_INFO')
        secret = s.value(private)
        same(len(secret), PRIVATE_BYTES.get(key_type, {}).get(number, 2 * length), name + ': private value')

        # out and in again, by seed, by value, by both
        seed = s.value(private, SEED) if key_type != SLH_DSA else b''
        same(len(seed), {ML_KEM: 64, ML_DSA: 32, SLH_DSA: 0}[key_type], name + ': seed')
        ways = [{VALUE: secret}] + ([{SEED: seed}, {SEED: seed, VALUE: secret}] if seed else [])
        for way in ways:
            again = private_key(s, key_type, number, way)
            same(s.value(again, INFO), s.value(public, INFO), name + ': imported by %d of its parts' % len(way))
            same(s.value(again), secret, name + ': the same value')
        if seed:
            bare = private_key(s, key_type, number, {VALUE: secret})
            refuses(TYPE_INVALID, lambda: s.value(bare, SEED), name + ': a key that was not made of a known seed has none')
            other = bytes([seed[0] ^ 1]) + seed[1:]
            refuses(VALUE_INVALID, lambda: private_key(s, key_type, number, {SEED: other, VALUE: secret}), name + ': two keys in one')
            refuses(VALUE_INVALID, lambda: private_key(s, key_type, number, {SEED: seed[:-1]}), name + ': a short seed')
        refuses(VALUE_INVALID, lambda: private_key(s, key_type, number, {VALUE: secret[:-1]}), name + ': a short value')
        refuses(VALUE_INVALID, lambda: public_key(s, key_type, number, value[:-1]), name + ': a short public value')
        refuses(0xd0, lambda: private_key(s, key_type, number, {}), name + ': no material')

        # wrapped and unwrapped
        wrapped = s.give('WrapKey', mechanism(KWP), UL(wrapping), UL(private))
        handle = UL()
        attributes = {CLASS: PRIVATE, KEY_TYPE: key_type, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}
        s('UnwrapKey', mechanism(KWP), UL(wrapping), wrapped, UL(len(wrapped)), *s.template(attributes), c.byref(handle))
        same(s.value(handle.value), secret, name + ': unwrapped')
        refuses(0x110, lambda: s('UnwrapKey', mechanism(KWP), UL(wrapping), wrapped, UL(len(wrapped)),
                                 *s.template({**attributes, KEY_TYPE: 3}), c.byref(handle)), name + ': as an EC key')

refuses(0x209, lambda: pair(s, ML_KEM, 4), 'a parameter set that there is not')
refuses(0xd0, lambda: s.pair(GEN[ML_DSA], {}, {}), 'no parameter set')
hidden = pair(s, ML_KEM, 2, private={SENSITIVE: True, EXTRACTABLE: False})[1]
refuses(0x11, lambda: s.value(hidden), 'a sensitive value')
refuses(0x11, lambda: s.value(hidden, SEED), 'a sensitive seed')

# encapsulation
for number, length in {1: 768, 2: 1088, 3: 1568}.items():
    public, private = pairs[ML_KEM, number]
    name = 'ML-KEM %d' % number
    wanted = UL(0)
    s('EncapsulateKey', mechanism(KEM), UL(public), *s.template(SECRET_KEY), None, c.byref(wanted), None)
    same(wanted.value, length, name + ': NULL asks for the length')
    refuses(TOO_SMALL, lambda: encapsulate(s, public, room=length - 1), name + ': a short buffer')
    before = len(s.find({CLASS: SECRET}))
    key, ciphertext = encapsulate(s, public)
    same(len(s.find({CLASS: SECRET})), before + 1, name + ': one key, and none when there was no room')
    same(len(ciphertext), length, name + ': ciphertext')
    same(s.value(decapsulate(s, private, ciphertext)), s.value(key), name + ': both sides have one secret')
    same(len(s.value(key)), 32, name + ': of 32 bytes')
    torn = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    ok(s.value(decapsulate(s, private, torn)) != s.value(key), name + ': another one of a torn ciphertext, and no error')
    refuses(0x112, lambda: decapsulate(s, private, ciphertext[:-1]), name + ': a short ciphertext')
    far = public_key(s, ML_KEM, number, s.value(public))
    key, ciphertext = encapsulate(s, far, {**SECRET_KEY, KEY_TYPE: AES})
    shared = decapsulate(s, private, ciphertext, {**SECRET_KEY, KEY_TYPE: AES, VALUE_LEN: 32})
    same(s.run('Encrypt', mechanism(0x1081), key, bytes(16)), s.run('Encrypt', mechanism(0x1081), shared, bytes(16)), name + ': as an AES key')
    refuses(0x62, lambda: encapsulate(s, public, {**SECRET_KEY, VALUE_LEN: 16}), name + ': a part of the secret')
    same([s.value(key, 0x165), s.value(key, 0x164), s.value(key, 0x163)], [b'\0'] * 3, name + ': neither local nor always kept in')
public, private = pairs[ML_KEM, 2]
for function, key in ((encapsulate, private), (encapsulate, pairs[ML_DSA, 1][0])):
    try:
        function(s, key)
        ok(False, 'no key for it')
    except Refused as refusal:
        ok(refusal.rv in (0x63, NOT_PERMITTED), 'no key for it')
refuses(NOT_PERMITTED, lambda: encapsulate(s, pair(s, ML_KEM, 1, {ENCAPSULATE: False})[0]), 'CKA_ENCAPSULATE false')
closed = pair(s, ML_KEM, 1, {}, {DECAPSULATE: False})[1]
refuses(NOT_PERMITTED, lambda: decapsulate(s, closed, bytes(768)), 'CKA_DECAPSULATE false')
refuses(MECHANISM_INVALID, lambda: s('EncapsulateKey', mechanism(0x1087, struct(b'123456789012', 0, b'', 128)), UL(public), *s.template(SECRET_KEY), None,
                                     c.byref(UL()), None), 'a mechanism that encapsulates nothing')

# keys that stay: opened from their seals
stay = pair(s, ML_KEM, 3, {TOKEN: True, LABEL: b'stay'}, {TOKEN: True, LABEL: b'stay'})
key, ciphertext = encapsulate(s, stay[0])
same(s.value(decapsulate(s, stay[1], ciphertext)), s.value(key), 'keys of the token')
for handle in stay:
    s('DestroyObject', UL(handle))

# published figures
figures = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../vectors/post-quantum.json')))
digest = lambda data: hashlib.sha256(data).hexdigest()
for key_type, rows in ((ML_KEM, figures['mlkem']), (ML_DSA, figures['mldsa'])):
    for row in rows:
        key = private_key(s, key_type, row['set'], {SEED: bytes.fromhex(row['seed'])})
        public = s.value(key, INFO)[-LENGTHS[key_type][row['set']]:]
        same([digest(public), digest(s.value(key))], [row['public'], row['private']], 'NIST keyGen 0x%x %d %d' % (key_type, row['set'], row['tcId']))
done()
