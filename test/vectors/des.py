"""Triple DES, on a token that says `legacy: true`: published vectors and refusals."""
import os

from cryptoki import *

DES2, DES3 = 0x14, 0x15
DES2_GEN, DES3_GEN, ECB, CBC, PAD, CMAC, CMAC_GENERAL = 0x130, 0x131, 0x132, 0x133, 0x136, 0x138, 0x137
PARAM, DATA_LEN, ENC_DATA, ENC_LEN, SIG, VALUE_INVALID, TYPE = 0x71, 0x21, 0x40, 0x41, 0xc0, 0x13, 0x63
CHECK = 0x90
h = bytes.fromhex
s = open_session()


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


# NIST SP 800-67 rev. 1, appendix B.1
key = s.secret(DES3, h('0123456789abcdef23456789abcdef01456789abcdef0123'))
plain = h('5468652071756663 6b2062726f776e20 666f78206a756d70')
sealed = h('a826fd8ce53b855f cce21c8112256fe6 68d5c05dd9b6b900')
same(s.run('Encrypt', mechanism(ECB), key, plain), sealed, 'DES3_ECB: SP 800-67')
same(s.run('Decrypt', mechanism(ECB), key, sealed), plain, 'and back')
same(s.value(key, CHECK), s.run('Encrypt', mechanism(ECB), key, bytes(8))[:3], 'the check value is that of zeros')
refuses(DATA_LEN, lambda: s.run('Encrypt', mechanism(ECB), key, bytes(7)), 'DES3_ECB: less than a block')
refuses(ENC_LEN, lambda: s.run('Decrypt', mechanism(ECB), key, bytes(12)), 'DES3_ECB: half a block')
same(s.run('Encrypt', mechanism(ECB, bytes(8)), key, plain), sealed, 'DES3_ECB has no initial value, and looks at none')

# the same blocks, chained: each is what CBC gives to ECB
iv = h('f69f2445df4f9b17')
chained = xor(plain[:8], iv) + xor(plain[8:16], sealed[:8]) + xor(plain[16:], sealed[8:16])
same(s.run('Encrypt', mechanism(CBC, iv), key, chained), sealed, 'DES3_CBC of the same blocks')
same(s.run('Decrypt', mechanism(CBC, iv), key, sealed), chained, 'and back')
refuses(PARAM, lambda: s('EncryptInit', mechanism(CBC, bytes(16)), UL(key)), 'DES3_CBC: an initial value of 16')
refuses(PARAM, lambda: s('EncryptInit', mechanism(CBC), UL(key)), 'DES3_CBC: none')
for size in (0, 1, 7, 8, 9, 4096, 50001):
    data = os.urandom(size)
    out = s.run('Encrypt', mechanism(PAD, iv), key, data)
    same(len(out), size // 8 * 8 + 8, 'DES3_CBC_PAD: %d bytes' % size)
    same(s.run('Decrypt', mechanism(CBC, iv), key, out)[size:], bytes([8 - size % 8]) * (8 - size % 8), 'what pads is its own number')
    ok(s.run('Decrypt', mechanism(PAD, iv), key, out) == data, 'and back')
refuses(ENC_DATA, lambda: s.run('Decrypt', mechanism(PAD, iv), key, sealed), 'DES3_CBC_PAD: no padding')

# NIST SP 800-38B (2005), D.4 and D.5
message = h('6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51')
three = s.secret(DES3, h('8aa83bf8cbda10620bc1bf19fbb6cd58bc313d4a371ca8b5'))
two = s.secret(DES2, h('4cf15134a2850dd58a3d10ba80570d38'))
for name, with_, codes in (('three keys', three, ('b7a688e122ffaf95', '8e8f293136283797', '743ddbe0ce2dc2ed', '33e6b1092400eae5')),
                           ('two keys', two, ('bd2ebf9a3ba00361', '4ff2ab813c53ce83', '62dd1b471902bd4e', '31b1e431dabc4eb8'))):
    for size, code in zip((0, 8, 20, 32), codes):
        same(s.run('Sign', mechanism(CMAC), with_, message[:size]), h(code), 'DES3_CMAC: %s, %d bytes' % (name, size))
        s.verify(mechanism(CMAC), with_, message[:size], h(code))
general = mechanism(CMAC_GENERAL, struct(4))
same(s.run('Sign', general, three, message), h('33e6b109'), 'DES3_CMAC_GENERAL')
refuses(PARAM, lambda: s.run('Sign', mechanism(CMAC_GENERAL, struct(9)), three, b''), 'more than there is')
refuses(SIG, lambda: s.verify(mechanism(CMAC), three, message, bytes(8)), 'DES3_CMAC: a wrong code')

# keying option 2 is option 3 with the first key again
again = s.secret(DES3, h('4cf15134a2850dd58a3d10ba80570d384cf15134a2850dd5'))
same(s.run('Encrypt', mechanism(CBC, iv), two, message), s.run('Encrypt', mechanism(CBC, iv), again, message), 'two keys')

# DES alone: the example of FIPS 46's tests, and what is the same in triple DES
DES, DES_GEN, ONE_ECB, ONE_CBC, ONE_PAD = 0x13, 0x120, 0x121, 0x122, 0x125
one = s.secret(DES, h('0123456789abcdef'))
same(s.run('Encrypt', mechanism(ONE_ECB), one, b'Now is the time for all '), h('3fa40e8a984d48156a271787ab8883f9893d51ec4b563b53'), 'DES_ECB: FIPS 81')
same(s.run('Decrypt', mechanism(ONE_ECB), one, h('3fa40e8a984d4815')), b'Now is t', 'and back')
chain = mechanism(ONE_CBC, h('1234567890abcdef'))
same(s.run('Encrypt', chain, one, b'Now is the time for all '), h('e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6'), 'DES_CBC: FIPS 81')
padded = mechanism(ONE_PAD, iv)
same(s.run('Decrypt', padded, one, s.run('Encrypt', padded, one, b'eleven byte')), b'eleven byte', 'DES_CBC_PAD')
same(s.value(one, CHECK), s.run('Encrypt', mechanism(ONE_ECB), one, bytes(8))[:3], 'its check value')
refuses(TYPE, lambda: s('EncryptInit', mechanism(ECB), UL(one)), 'not for triple DES')
refuses(DATA_LEN, lambda: s.run('Encrypt', mechanism(ONE_ECB), one, bytes(9)), 'DES_ECB: more than a block')
refuses(VALUE_INVALID, lambda: s.secret(DES, bytes(7)), 'a key of seven bytes')

# keys that are the ciphertext of data (PKCS#11 3.1, 6.14); a derived key of DES has its parity
block = bytes(range(1, 33))
for name, base, ecb, cbc, first in (('one key', one, ONE_ECB, ONE_CBC, 0x1100), ('two keys', two, ECB, CBC, 0x1102), ('three keys', three, ECB, CBC, 0x1102)):
    plain_data, chained_data = mechanism(first, struct(block)), mechanism(first + 1, struct((BYTE * 8, (BYTE * 8)(*iv)), block))
    for m, cipher in ((plain_data, mechanism(ecb)), (chained_data, mechanism(cbc, iv))):
        same(s.value(s.derive(m, base, {})), s.run('Encrypt', cipher, base, block), name + ': a key is the ciphertext')
        same(s.value(s.derive(m, base, {VALUE_LEN: 20})), s.run('Encrypt', cipher, base, block)[:20], 'its first bytes')
        for kind, size in ((DES, 8), (DES2, 16), (DES3, 24)):
            value = s.value(s.derive(m, base, {KEY_TYPE: kind}))
            same(([b & 0xfe for b in value], {bin(b).count('1') % 2 for b in value}),
                 ([b & 0xfe for b in s.run('Encrypt', cipher, base, block)[:size]], {1}), 'a key of %d bytes' % size)
    refuses(PARAM, lambda: s.derive(mechanism(first, struct(block[:9])), base, {}), name + ': half a block')
    refuses(PARAM, lambda: s.derive(mechanism(first + 1, struct(block)), base, {}), name + ': no initial value')
    refuses(TYPE, lambda: s.derive(mechanism(first, struct(block)), s.secret(AES, bytes(16)), {}), name + ': a key of AES')
refuses(TYPE, lambda: s.derive(mechanism(0x1102, struct(block)), one, {}), 'not by a key of DES')
refuses(TYPE, lambda: s.derive(mechanism(0x1100, struct(block)), three, {}), 'nor by one of triple DES')

for number, size in ((DES3_GEN, 24), (DES2_GEN, 16), (DES_GEN, 8)):
    value = s.value(s.generate(number, {TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}))
    same((len(value), {bin(byte).count('1') % 2 for byte in value}), (size, {1}), 'a key of %d bytes with its parity' % size)
same(s.value(s.generate(DES3_GEN, {TOKEN: False, SENSITIVE: False, VALUE_LEN: 24}), VALUE_LEN), (24).to_bytes(8, 'little'), 'a length that is said')
refuses(VALUE_INVALID, lambda: s.secret(DES3, bytes(16)), 'a key of another length')
refuses(TYPE, lambda: s('EncryptInit', mechanism(0x1081), UL(key)), 'not for AES')

target = s.secret(GENERIC, b'twenty bytes of a key', _103=False, _162=True)
for m, size in ((mechanism(CBC, iv), 24), (mechanism(PAD, iv), 24), (mechanism(ECB), 24)):
    wrapped = s.give('WrapKey', m, UL(key), UL(target))
    back = UL()
    t = s.template({CLASS: SECRET, KEY_TYPE: GENERIC, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True, VALUE_LEN: 21})
    s('UnwrapKey', m, UL(key), wrapped, UL(len(wrapped)), *t, c.byref(back))
    same((len(wrapped), s.value(back.value)), (size, b'twenty bytes of a key'), 'wraps, and back')
done()
