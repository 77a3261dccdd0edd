"""PBKDF2, keys of two keys, of a key's hash, and a salt that is a key: published vectors and refusals."""
import hashlib

from cryptoki import *

PBKD2, BASE_KEY, HKDF, HKDF_KEY, DES3, CHACHA = 0x3b0, 0x360, 0x402a, 0x42, 0x15, 0x33
PARAM, SIZE, INCONSISTENT, TYPE, INCOMPLETE, HANDLE, SENSITIVE_ = 0x71, 0x62, 0xd1, 0x63, 0xd0, 0x60, 0x11
LOCAL, ALWAYS_SENSITIVE, NEVER_EXTRACTABLE = 0x163, 0x165, 0x164
h = bytes.fromhex
s = open_session()
OPEN = {TOKEN: False, SENSITIVE: False, EXTRACTABLE: True, KEY_TYPE: GENERIC}


def pbkdf2(password, salt, iterations, prf, length, pointed=False, source=1, extra=b'', **more):
    size = pointer(len(password).to_bytes(8, 'little')).value if pointed else len(password)
    parameter = struct(source, salt, iterations, prf, extra, (P, pointer(password)), size)
    return s.generate(PBKD2, {**OPEN, VALUE_LEN: length, **more}, parameter)


# RFC 6070
for iterations, made in ((1, '0c60c80f961f0e71f3a9b524af6012062fe037a6'), (2, 'ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957'),
                         (4096, '4b007901b765489abead49d926f721d065a429c1')):
    same(s.value(pbkdf2(b'password', b'salt', iterations, 1, 20)), h(made), 'PBKDF2: RFC 6070, %d iterations' % iterations)
long = b'passwordPASSWORDpassword', b'saltSALTsaltSALTsaltSALTsaltSALTsalt', 4096, 1, 25
same(s.value(pbkdf2(*long)), h('3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038'), 'PBKDF2: RFC 6070, 25 bytes')
same(s.value(pbkdf2(*long, pointed=True)), s.value(pbkdf2(*long)), 'the older parameter, with a pointer to the length')
same(s.value(pbkdf2(b'pass\0word', b'sa\0lt', 4096, 1, 16)), h('56fa6aa75548099dcc37d7f03425e0c3'), 'PBKDF2: RFC 6070, zeros inside')
# RFC 7914, 11
same(s.value(pbkdf2(b'passwd', b'salt', 1, 4, 64)),
     h('55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783'),
     'PBKDF2: RFC 7914, SHA-256')
for prf, name in ((3, 'sha224'), (5, 'sha384'), (6, 'sha512'), (7, 'sha512_224'), (8, 'sha512_256')):
    same(s.value(pbkdf2(b'p', b's' * 16, 10, prf, 100)), hashlib.pbkdf2_hmac(name, b'p', b's' * 16, 10, 100), 'PBKDF2: ' + name)
key = s.generate(PBKD2, {TOKEN: False, KEY_TYPE: AES, VALUE_LEN: 32}, struct(1, b'salt', 1000, 4, b'', (P, pointer(b'password')), 8))
same([s.value(key, a) for a in (KEY_TYPE, LOCAL, ALWAYS_SENSITIVE)], [AES.to_bytes(8, 'little'), b'\1', b'\1'], 'an AES key of a password')
refuses(SENSITIVE_, lambda: s.value(key), 'which stays')
same(len(s.run('Encrypt', mechanism(0x1081), key, bytes(16))), 16, 'and works')
for name, call in {'no iterations': lambda: pbkdf2(b'p', b's', 0, 1, 20), 'more than there is time for': lambda: pbkdf2(b'p', b's', 2**40, 1, 20),
                   'many, each of many blocks': lambda: pbkdf2(b'p', b's', 10**6, 1, 4000), 'GOST': lambda: pbkdf2(b'p', b's', 1, 2, 20),
                   'a salt from elsewhere': lambda: pbkdf2(b'p', b's', 1, 1, 20, source=2), 'data for the PRF': lambda: pbkdf2(b'p', b's', 1, 1, 20, extra=b'1'),
                   'no password': lambda: pbkdf2(b'', b's', 1, 1, 20), 'a password of 5000 bytes': lambda: pbkdf2(b'p' * 5000, b's', 1, 1, 20)}.items():
    refuses(PARAM, call, 'PBKDF2: ' + name)
refuses(INCOMPLETE, lambda: s.generate(PBKD2, OPEN, struct(1, b's', 1, 1, b'', (P, pointer(b'p')), 1)), 'PBKDF2: no length')

first, second = s.secret(GENERIC, b'first', _103=False, _162=True), s.secret(AES, b'second, of sixt.', _103=False, _162=True)
same(s.value(s.derive(mechanism(BASE_KEY, struct(second)), first, {})), b'firstsecond, of sixt.', 'CONCATENATE_BASE_AND_KEY')
same(s.value(s.derive(mechanism(BASE_KEY, struct(first)), second, {})), b'second, of sixt.first', 'of an AES key')
same(s.value(s.derive(mechanism(BASE_KEY, struct(first)), first, {VALUE_LEN: 7})), b'firstfi', 'twice the same, cut')
refuses(HANDLE, lambda: s.derive(mechanism(BASE_KEY, struct(10**6)), first, {}), 'no second key')
refuses(PARAM, lambda: s.derive(mechanism(BASE_KEY, struct(0)), first, {}), 'a handle of none')
hidden = s.secret(GENERIC, b'hidden')
for base, other in ((first, hidden), (hidden, first)):
    refuses(INCONSISTENT, lambda: s.derive(mechanism(BASE_KEY, struct(other)), base, {}), 'one of them may not be read')
    refuses(SENSITIVE_, lambda: s.value(s.derive(mechanism(BASE_KEY, struct(other)), base, {SENSITIVE: None, EXTRACTABLE: None})), 'silence hides')
stays = s.create({CLASS: SECRET, KEY_TYPE: GENERIC, TOKEN: False, VALUE: b'stays', DERIVE: False})
refuses(0x68, lambda: s.derive(mechanism(BASE_KEY, struct(stays)), first, {}), 'the second may not derive')

# A part of one byte could be guessed by what is made with it, and then the next one.
closed = s.secret(GENERIC, bytes(range(32)), _103=True, _162=False)
mine = s.secret(GENERIC, b'fifteen of mine', _103=False, _162=True)
KEPT = {SENSITIVE: None, EXTRACTABLE: None}
for name, number, base, parameter, length in (
        ('a byte from its beginning', 0x365, closed, struct(0), 1), ('a byte of base and data', 0x362, closed, struct(b'data'), 1),
        ('a byte behind data', 0x363, closed, struct(b'fifteen of mine'), 16), ('a byte by XOR', 0x364, closed, struct(b'0'), None),
        ('a byte of it by XOR', 0x364, closed, struct(bytes(32)), 1), ('a byte behind a key', BASE_KEY, mine, struct(closed), 16),
        ('a byte before a key', BASE_KEY, closed, struct(mine), 1)):
    refuses(INCONSISTENT, lambda: s.derive(mechanism(number, parameter), base, {**KEPT, VALUE_LEN: length}), 'of a key that may not be read: ' + name)
for name, number, base, parameter, length in (
        ('half of it', 0x365, closed, struct(0), 16), ('all, and data', 0x362, closed, struct(b'data'), None),
        ('all by XOR', 0x364, closed, struct(bytes(32)), None), ('all, behind a key', BASE_KEY, mine, struct(closed), None)):
    ok(s.derive(mechanism(number, parameter), base, {**KEPT, VALUE_LEN: length}) > 0, 'of a key that may not be read: ' + name)

salted = mechanism(HKDF, struct((BYTE, True), (BYTE, True), 0x250, 4, b'', s.secret(GENERIC, bytes(range(13))), h('f0f1f2f3f4f5f6f7f8f9')))
same(s.value(s.derive(salted, s.secret(HKDF_KEY, b'\x0b' * 22), {VALUE_LEN: 42})),
     h('3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865'), 'HKDF: RFC 5869, A.1, the salt a key')

# the same as data
okm, data_key = h('3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865'), s.secret(HKDF_KEY, b'\x0b' * 22)
as_data = mechanism(0x402b, struct((BYTE, True), (BYTE, True), 0x250, 2, bytes(range(13)), 0, h('f0f1f2f3f4f5f6f7f8f9')))
DATA = {CLASS: 0, KEY_TYPE: None, SENSITIVE: None, EXTRACTABLE: None}
made = s.derive(as_data, data_key, {**DATA, VALUE_LEN: 42, 3: b'derived'})
same([s.value(made), s.value(made, CLASS), s.value(made, 3)], [okm, bytes(8), b'derived'], 'HKDF_DATA: RFC 5869, A.1')
same(s.value(s.derive(as_data, data_key, {**DATA, CLASS: None})), okm[:32], 'as long as the hash')
stored = s.derive(as_data, data_key, {**DATA, VALUE_LEN: 42, TOKEN: True, 2: True})
same(s.value(stored), okm, 'a private object of the token')
s('DestroyObject', UL(stored))
refuses(INCONSISTENT, lambda: s.derive(as_data, data_key, {CLASS: SECRET}), 'HKDF_DATA makes no key')
refuses(INCONSISTENT, lambda: s.derive(as_data, data_key, {**DATA, VALUE: b'mine'}), 'of a value that is given')
refuses(SIZE, lambda: s.derive(as_data, data_key, {**DATA, VALUE_LEN: 4097}), 'too much')

# FIPS 180-4 and 202, RFC 7693: the hash of "abc"
abc = s.secret(GENERIC, b'abc')
HASHES = {0x392: 'sha1', 0x396: 'sha224', 0x393: 'sha256', 0x394: 'sha384', 0x395: 'sha512', 0x4b: 'sha512_224', 0x4f: 'sha512_256',
          0x398: 'sha3_224', 0x397: 'sha3_256', 0x399: 'sha3_384', 0x39a: 'sha3_512', 0x401e: 'blake2b'}
for number, name in HASHES.items():
    wanted = hashlib.new(name.replace('sha512_', 'sha512-') if name.startswith('sha512_') else name, b'abc').digest()
    same(s.value(s.derive(mechanism(number), abc, {})), wanted, 'the key that is the hash: ' + name)
sha256 = h('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
same(s.value(s.derive(mechanism(0x393), abc, {})), sha256, 'FIPS 180-4: SHA-256 of "abc"')
same(s.value(s.derive(mechanism(0x393), abc, {KEY_TYPE: AES, VALUE_LEN: 16})), sha256[:16], 'the leading bytes')
same(len(s.value(s.derive(mechanism(0x393), abc, {KEY_TYPE: CHACHA}))), 32, 'a type with one length')
refuses(SIZE, lambda: s.derive(mechanism(0x393), abc, {VALUE_LEN: 33}), 'more than there is')
for number, parameter in ((0x393, None), (0x4014, None), (0x364, struct(bytes(32))), (0x362, struct(bytes(32)))):
    readable = s.secret(GENERIC, bytes(32), _103=False, _162=True)
    refuses(INCOMPLETE, lambda: s.derive(mechanism(number, parameter), readable, {KEY_TYPE: AES}), '0x%x: an AES key of no said length' % number)
same(s.value(s.derive(mechanism(0x393, b'1'), abc, {})), s.value(s.derive(mechanism(0x393), abc, {})), 'a parameter that nobody looks at')
# FIPS 202: SHAKE of nothing longer than 64 bytes here; the first bytes of "abc"
same(s.value(s.derive(mechanism(0x39b), abc, {VALUE_LEN: 200})), hashlib.shake_128(b'abc').digest(200), 'SHAKE128, 200 bytes')
same(s.value(s.derive(mechanism(0x39c), abc, {VALUE_LEN: 32})), h('483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739'), 'SHAKE256 of "abc"')
refuses(INCOMPLETE, lambda: s.derive(mechanism(0x39c), abc, {}), 'SHAKE: a length must be said')
made = s.derive(mechanism(0x393), second, {KEY_TYPE: DES3})
same({bin(byte).count('1') % 2 for byte in s.value(made)}, {1}, 'a DES key that is derived has its parity')
s('DigestInit', mechanism(0x401b))
same(s.give('Digest', b'abc', UL(3)), h('ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1'
     '7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923'), 'BLAKE2b: RFC 7693, appendix A')
done()
