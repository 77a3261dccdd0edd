"""HKDF, keys of a key and data, RSA without padding, RSA_AES_KEY_WRAP: published vectors and refusals."""
import json
import os

from cryptoki import *

HKDF, HKDF_GEN, HKDF_KEY = 0x402a, 0x402c, 0x42
BASE_DATA, DATA_BASE, XOR = 0x362, 0x363, 0x364
RSA_GEN, X509, RSA_AES, PKCS, KWP = 0, 3, 0x1054, 1, 0x210b
PARAM, SIZE, INCONSISTENT, TYPE, WRAPPED, WRAPPED_LEN, DATA_INVALID, DATA_LEN, SIG = (
    0x71, 0x62, 0xd1, 0x63, 0x110, 0x112, 0x20, 0x21, 0xc0)
SHA1, SHA256, SHA512 = 0x220, 0x250, 0x270
h = bytes.fromhex
s = open_session()


def hkdf(hash_, salt, info, extract=True, expand=True, salt_type=2):
    return mechanism(HKDF, struct((BYTE, extract), (BYTE, expand), hash_, salt_type, salt, 0, info))


for name, hash_ in (('hkdf_sha256', SHA256), ('hkdf_sha512', SHA512)):
    path = os.path.join(os.environ['VECTORS'], name + '.json')
    if not os.path.exists(path):
        print('# %s is absent' % name)
        continue
    wrong, counts = [], {'valid': 0, 'invalid': 0}
    for group in json.load(open(path))['testGroups']:
        for v in group['tests']:
            if v['result'] == 'valid' and v['size'] > 4096:  # longer than a key of Sidekey's
                continue
            key = s.secret(GENERIC, h(v['ikm']))
            try:
                made = s.derive(hkdf(hash_, h(v['salt']), h(v['info'])), key, {VALUE_LEN: v['size']})
                held = s.value(made) == h(v['okm'])
                s('DestroyObject', UL(made))
            except Refused:
                held = False
            s('DestroyObject', UL(key))
            counts[v['result']] += 1
            if held != (v['result'] == 'valid'):
                wrong.append(v['tcId'])
    same(wrong, [], '%s: %d valid, %d invalid' % (name, counts['valid'], counts['invalid']))

# RFC 5869, A.1 and A.3, in one step and in two
ikm, salt, info = b'\x0b' * 22, bytes(range(13)), h('f0f1f2f3f4f5f6f7f8f9')
prk = h('077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5')
okm = h('3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865')
key = s.secret(HKDF_KEY, ikm)
middle = s.derive(hkdf(SHA256, salt, b'', expand=False), key, {KEY_TYPE: HKDF_KEY, DERIVE: True})
same(s.value(middle), prk, 'HKDF: RFC 5869, A.1, extracted')
same(s.value(s.derive(hkdf(SHA256, b'', info, extract=False), middle, {VALUE_LEN: 42})), okm, 'and expanded')
same(s.value(s.derive(hkdf(SHA256, salt, info), key, {VALUE_LEN: 42})), okm, 'in one step')
same(s.value(s.derive(hkdf(SHA256, b'', b'', salt_type=1), key, {VALUE_LEN: 42})),
     h('8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8'), 'A.3, without a salt')
refuses(PARAM, lambda: s.derive(hkdf(SHA256, salt, b'', False, False), key, {}), 'HKDF: neither step')
refuses(PARAM, lambda: s.derive(hkdf(0x251, salt, b''), key, {}), 'HKDF: no hash')
refuses(PARAM, lambda: s.derive(hkdf(SHA256, salt, b'', salt_type=4), key, {}), 'HKDF: a salt that is a key, and none')
refuses(SIZE, lambda: s.derive(hkdf(SHA256, salt, b'', expand=False), key, {VALUE_LEN: 33}), 'HKDF: more than is extracted')
refuses(SIZE, lambda: s.derive(hkdf(SHA1, salt, b''), key, {VALUE_LEN: 4097}), 'HKDF: longer than a key can be')
refuses(TYPE, lambda: s.derive(mechanism(XOR, struct(b'1')), key, {}), 'an HKDF key is for HKDF alone')

# PKCS#11 3.1, 6.43: neither class nor key type nor length need be said
open_key = s.secret(GENERIC, b'base', _103=False, _162=True)
for number, made in ((BASE_DATA, b'basedata'), (DATA_BASE, b'database'), (XOR, bytes(a ^ b for a, b in zip(b'base', b'data')))):
    handle = s.derive(mechanism(number, struct(b'data')), open_key, {CLASS: None, KEY_TYPE: None})
    same((s.value(handle), s.value(handle, KEY_TYPE)), (made, GENERIC.to_bytes(8, 'little')), 'a generic secret key: 0x%x' % number)
made = s.generate(HKDF_GEN, {VALUE_LEN: 32, TOKEN: False, DERIVE: True})
same(len(s.value(s.derive(hkdf(0x2b0, b'', info, extract=False), made, {KEY_TYPE: AES, VALUE_LEN: 16}))), 16, 'an AES key by SHA-3')

key = s.secret(GENERIC, h('0123456789abcdef'), _103=False, _162=True)
same(s.value(s.derive(mechanism(BASE_DATA, struct(h('0011'))), key, {})), h('0123456789abcdef0011'), 'CONCATENATE_BASE_AND_DATA')
same(s.value(s.derive(mechanism(DATA_BASE, struct(h('0011'))), key, {})), h('00110123456789abcdef'), 'CONCATENATE_DATA_AND_BASE')
same(s.value(s.derive(mechanism(XOR, struct(h('ffff00'))), key, {})), h('fedc45'), 'XOR_BASE_AND_DATA, as long as the shorter')
same(s.value(s.derive(mechanism(BASE_DATA, struct(h('0011'))), key, {VALUE_LEN: 3})), h('012345'), 'the leading bytes')
refuses(SIZE, lambda: s.derive(mechanism(XOR, struct(h('ff'))), key, {VALUE_LEN: 2}), 'more than there is')
refuses(PARAM, lambda: s.derive(mechanism(XOR, struct(b'')), key, {}), 'no data')
hidden = s.secret(GENERIC, bytes(range(8)))
for number in (BASE_DATA, DATA_BASE, XOR):
    m = mechanism(number, struct(bytes(8)))
    refuses(INCONSISTENT, lambda: s.derive(m, hidden, {}), 'what may not be read is not read by derivation %x' % number)
    refuses(INCONSISTENT, lambda: s.derive(m, hidden, {SENSITIVE: None}), 'nor made extractable')
    refuses(0x11, lambda: s.value(s.derive(m, hidden, {SENSITIVE: None, EXTRACTABLE: None})), 'silence hides')


def pair(bits):
    public, private = UL(), UL()
    s('GenerateKeyPair', mechanism(RSA_GEN), *s.template({0x121: bits, TOKEN: False}), *s.template({TOKEN: False}),
      c.byref(public), c.byref(private))
    return public.value, private.value


public, private = pair(2048)
modulus = int.from_bytes(s.value(public, 0x120), 'big')
raw = mechanism(X509)
number = 0x1234567890
sealed = s.run('Encrypt', raw, public, number.to_bytes(5, 'big'))
same(int.from_bytes(sealed, 'big'), pow(number, 65537, modulus), 'RSA_X_509: m to the e')
same(s.run('Decrypt', raw, private, sealed), number.to_bytes(256, 'big'), 'and back')
signature = s.run('Sign', raw, private, b'data')
same(pow(int.from_bytes(signature, 'big'), 65537, modulus), int.from_bytes(b'data', 'big'), 'RSA_X_509: s to the e')
s.verify(raw, public, b'data', signature)
refuses(SIG, lambda: s.verify(raw, public, b'date', signature), 'RSA_X_509: other data')
refuses(DATA_INVALID, lambda: s.run('Sign', raw, private, b'\xff' * 256), 'RSA_X_509: not below the modulus')
refuses(DATA_LEN, lambda: s.run('Sign', raw, private, bytes(257)), 'RSA_X_509: longer than the modulus')
# the padding of PKCS #1 by hand
info_ = h('3031300d060960864801650304020105000420') + bytes(range(32))
block = b'\0\1' + b'\xff' * (253 - len(info_)) + b'\0' + info_
same(s.run('Sign', raw, private, block), s.run('Sign', mechanism(PKCS), private, info_), 'RSA_X_509 and RSA_PKCS agree')

oaep = struct(SHA256, 2, 1, b'')
target = s.secret(GENERIC, b'a key that is wrapped, of any length', _103=False, _162=True)
for bits in (128, 192, 256):
    m = mechanism(RSA_AES, struct(bits, (P, c.cast(c.pointer(oaep), P))))
    wrapped = s.give('WrapKey', m, UL(public), UL(target))
    same(len(wrapped), 256 + 40 + 8, 'RSA_AES_KEY_WRAP with %d bits' % bits)
    back = UL()
    t = s.template({CLASS: SECRET, KEY_TYPE: GENERIC, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True})
    s('UnwrapKey', m, UL(private), wrapped, UL(len(wrapped)), *t, c.byref(back))
    same(s.value(back.value), b'a key that is wrapped, of any length', 'and back')
    temporary = s.run('Decrypt', mechanism(9, oaep), private, wrapped[:256])
    same(len(temporary), bits // 8, 'what OAEP holds is an AES key')
    same(s.run('Decrypt', mechanism(KWP), s.secret(AES, temporary), wrapped[256:]), s.value(target), 'and the rest is KWP by it')
    for bad in (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), bytes([wrapped[0] ^ 1]) + wrapped[1:]):
        refuses(WRAPPED, lambda: s('UnwrapKey', m, UL(private), bad, UL(len(bad)), *t, c.byref(back)), 'what was changed')
    refuses(WRAPPED_LEN, lambda: s('UnwrapKey', m, UL(private), wrapped[:256], UL(256), *t, c.byref(back)), 'cut')
refuses(PARAM, lambda: s.give('WrapKey', mechanism(RSA_AES, struct(64, (P, c.cast(c.pointer(oaep), P)))), UL(public), UL(target)), '64 bits')
refuses(PARAM, lambda: s.give('WrapKey', mechanism(RSA_AES, struct(128, (P, None))), UL(public), UL(target)), 'no OAEP')
_, other = pair(2048)
refuses(0x6a, lambda: s.give('WrapKey', m, UL(public), UL(other)), 'a key that stays')
done()
