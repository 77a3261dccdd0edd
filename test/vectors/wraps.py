"""ECDH_AES_KEY_WRAP, taken apart by the mechanisms that it is made of, and RSA with a modulus of 8192 bits."""
import hashlib

from cryptoki import *

EC_GEN, EC_WRAP, ECDH, KWP, RSA_GEN, EC, RSA = 0x1040, 0x1053, 0x1050, 0x210b, 0, 3, 0
SHA256_PKCS, OAEP = 0x40, 9
PARAM, WRAPPED, WRAPPED_LEN, WRAPPING_TYPE, SIZE, SIG, UNEXTRACTABLE = 0x71, 0x110, 0x112, 0x115, 0x62, 0xc0, 0x6a
EC_PARAMS, EC_POINT, SHA256_KDF = 0x180, 0x181, 6
h = bytes.fromhex
s = open_session()
OPEN = {CLASS: SECRET, KEY_TYPE: GENERIC, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}


def pair(number, public, private):
    a, b = UL(), UL()
    s('GenerateKeyPair', mechanism(number), *s.template({TOKEN: False, **public}), *s.template({TOKEN: False, **private}), c.byref(a), c.byref(b))
    return a.value, b.value


def unwrap(m, by, wrapped, attributes=OPEN):
    back = UL()
    s('UnwrapKey', m, UL(by), wrapped, UL(len(wrapped)), *s.template(attributes), c.byref(back))
    return back.value


target = s.secret(GENERIC, b'a key that is wrapped', _103=False, _162=True)
for name, oid, size in (('P-256', '06082a8648ce3d030107', 65), ('P-384', '06052b81040022', 97), ('P-521', '06052b81040023', 133), ('P-224', '06052b81040021', 57)):
    public, private = pair(EC_GEN, {EC_PARAMS: h(oid)}, {DERIVE: True})
    for bits, kdf, shared in ((128, 1, b''), (256, SHA256_KDF, b'shared'), (192, SHA256_KDF, b'')):
        m = mechanism(EC_WRAP, struct(bits, kdf, len(shared), (P, pointer(shared))))
        wrapped = s.give('WrapKey', m, UL(public), UL(target))
        same((len(wrapped), wrapped[0]), (size + 32, 4), 'ECDH_AES_KEY_WRAP: %s, %d bits' % (name, bits))
        same(s.value(unwrap(m, private, wrapped)), b'a key that is wrapped', 'and back')
        ecdh = struct(kdf, len(shared), (P, pointer(shared)), size, (P, pointer(wrapped[:size])))
        agreed = s.derive(mechanism(ECDH, ecdh), private, {KEY_TYPE: AES, VALUE_LEN: bits // 8})
        same(s.run('Decrypt', mechanism(KWP), agreed, wrapped[size:]), b'a key that is wrapped', 'it is ECDH and KWP')
        ok(s.give('WrapKey', m, UL(public), UL(target))[:size] != wrapped[:size], 'by a key that is new each time')
        for bad in (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), wrapped[:9] + bytes([wrapped[9] ^ 1]) + wrapped[10:]):
            refuses(WRAPPED, lambda: unwrap(m, private, bad), 'what was changed')
        refuses(WRAPPED_LEN, lambda: unwrap(m, private, wrapped[:size]), 'what was cut')
public, private = pair(EC_GEN, {EC_PARAMS: h('06082a8648ce3d030107')}, {DERIVE: True, EXTRACTABLE: True, SENSITIVE: False})
wrapped = s.give('WrapKey', m, UL(public), UL(private))
again = unwrap(m, private, wrapped, {CLASS: PRIVATE, KEY_TYPE: EC, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True})
same(s.value(again), s.value(private), 'a private key, in PKCS #8')
# RFC 5958: the public key may follow the private one. RFC 8032, 7.1, test 2, with the attributes of RFC 8410, 10.3
EDWARDS, EDDSA, CBC_PAD, of_aes = 0x40, 0x1057, 0x1085, s.secret(AES, bytes(range(16)))
seed, point = h('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb'), h('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')
signature = h('92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00')
followed, attributes = h('812100') + point, h('a01f301d060a2a864886f70d01090914310f0c0d437572646c6520436861697273')


def private_info(version, *rest, cut=0):
    body = bytes([2, 1, version]) + h('300506032b657004220420') + seed + b''.join(rest)
    return bytes([0x30, len(body)]) + body[:len(body) - cut]


def unwrap_info(info):
    m = lambda: mechanism(CBC_PAD, bytes(16))
    return unwrap(m(), of_aes, s.run('Encrypt', m(), of_aes, info), {CLASS: PRIVATE, KEY_TYPE: EDWARDS, TOKEN: False, SIGN: True})


for name, info in {'the private key alone': private_info(0), 'attributes': private_info(0, attributes), 'a public key': private_info(1, followed),
                   'both': private_info(1, attributes, followed)}.items():
    same(s.run('Sign', mechanism(EDDSA), unwrap_info(info), b'\x72'), signature, 'PKCS #8 with ' + name)
for name, info in {'a public key in version 0': private_info(0, followed), 'one that is cut': private_info(1, followed, cut=1),
                   'another element': private_info(1, h('8200')), 'no private key': h('3008020101810300aabb')}.items():
    refuses(WRAPPED, lambda: unwrap_info(info), 'PKCS #8 with ' + name)
for name, fields in {'an AES key of 64 bits': (64, 1), 'no such KDF': (128, 99)}.items():
    wrong = mechanism(EC_WRAP, struct(*fields, 0, (P, None)))
    refuses(PARAM, lambda: s.give('WrapKey', wrong, UL(public), UL(target)), name)
    refuses(PARAM, lambda: unwrap(wrong, private, wrapped), name)
refuses(UNEXTRACTABLE, lambda: s.give('WrapKey', m, UL(public), UL(s.secret(GENERIC, b'stays'))), 'a key that stays')
refuses(WRAPPING_TYPE, lambda: s.give('WrapKey', m, UL(s.secret(AES, bytes(16))), UL(target)), 'an AES key wraps not so')

KEY_WRAP, DATA_LEN, OF_21 = mechanism(0x2109), 0x21, {**OPEN, VALUE_LEN: 21}
by = s.secret(AES, bytes(range(16)))
wrapped = s.give('WrapKey', KEY_WRAP, UL(by), UL(target))
same(wrapped, s.run('Encrypt', KEY_WRAP, by, b'a key that is wrapped' + bytes(3)), 'CKM_AES_KEY_WRAP fills a key with zeros')
same(s.value(unwrap(KEY_WRAP, by, wrapped, OF_21)), b'a key that is wrapped', 'which CKA_VALUE_LEN takes off again')
same(s.value(unwrap(KEY_WRAP, by, wrapped)), b'a key that is wrapped' + bytes(3), 'and stay without')
refuses(DATA_LEN, lambda: s.run('Encrypt', KEY_WRAP, by, bytes(21)), 'data are not filled')
refuses(SIZE, lambda: s.give('WrapKey', KEY_WRAP, UL(by), UL(s.secret(GENERIC, b'short', _103=False, _162=True))), 'RFC 3394 wraps no 8 bytes')
whole = s.give('WrapKey', KEY_WRAP, UL(by), UL(private))
again = unwrap(KEY_WRAP, by, whole, {CLASS: PRIVATE, KEY_TYPE: EC, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True})
same(s.value(again), s.value(private), 'a private key, whose PKCS #8 has any length')


def pi(bits):
    """Machin's formula."""
    def arctan(x, one):
        term = total = one // x
        n, sign = 3, -1
        while term:
            term //= x * x
            total += sign * (term // n)
            n, sign = n + 2, -sign
        return total
    one = 1 << (bits + 64)
    return 4 * (4 * arctan(5, one) - arctan(239, one)) >> 64


def e(bits):
    total = term = 1 << (bits + 64)
    n = 1
    while term:
        term //= n
        total, n = total + term, n + 1
    return total >> 64


# A key of two published primes of 4096 bits: that of RFC 3526, 5 and that of RFC 7919, A.3
frame = 2**4096 - 2**4032 - 1
p, q = frame + 2**64 * (pi(3966) + 240904), frame + 2**64 * (e(3966) + 5736041)
n, d = p * q, pow(65537, -1, (p - 1) * (q - 1))
big = lambda number: number.to_bytes((number.bit_length() + 7) // 8, 'big')
public = s.create({CLASS: PUBLIC, KEY_TYPE: RSA, TOKEN: False, 0x120: big(n), 0x122: b'\1\0\1'})
private = s.create({CLASS: PRIVATE, KEY_TYPE: RSA, TOKEN: False, 0x120: big(n), 0x122: b'\1\0\1', 0x123: big(d), 0x124: big(p), 0x125: big(q)})
same((n.bit_length(), int.from_bytes(s.value(public, 0x121), 'little')), (8192, 8192), 'RSA of 8192 bits')
signature = s.run('Sign', mechanism(SHA256_PKCS), private, b'data')
info = h('3031300d060960864801650304020105000420') + hashlib.sha256(b'data').digest()
same(pow(int.from_bytes(signature, 'big'), 65537, n).to_bytes(1024, 'big'), b'\0\1' + b'\xff' * (1021 - len(info)) + b'\0' + info, 'signs by PKCS #1')
s.verify(mechanism(SHA256_PKCS), public, b'data', signature)
refuses(SIG, lambda: s.verify(mechanism(SHA256_PKCS), public, b'date', signature), 'other data')
oaep = mechanism(OAEP, struct(0x250, 2, 1, b''))
sealed = s.run('Encrypt', oaep, public, b'secret' * 100)
same((len(sealed), s.run('Decrypt', oaep, private, sealed)), (1024, b'secret' * 100), 'opens by OAEP')
both = mechanism(0x1054, struct(256, (P, c.cast(c.pointer(struct(0x250, 2, 1, b'')), P))))
same(s.value(unwrap(both, private, s.give('WrapKey', both, UL(public), UL(target)))), b'a key that is wrapped', 'wraps by RSA_AES_KEY_WRAP')
stored = UL()
s('CopyObject', UL(private), *s.template({TOKEN: True}), c.byref(stored))
same(s.run('Sign', mechanism(SHA256_PKCS), stored.value, b'data'), signature, 'is stored and opened again')
refuses(SIZE, lambda: pair(RSA_GEN, {0x121: 8200}, {}), 'a longer one is not made')
refuses(SIZE, lambda: s.create({CLASS: PUBLIC, KEY_TYPE: RSA, TOKEN: False, 0x120: b'\xff' * 1025, 0x122: b'\1\0\1'}), 'nothing longer')
done()
