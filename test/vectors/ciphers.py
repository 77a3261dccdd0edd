"""CCM, GMAC, CTS, XTS, KEY_WRAP_PKCS7, derivation by encryption, ChaCha20 and Poly1305: published vectors and refusals."""
import json
import os

from cryptoki import *

CCM, CTS, GMAC, XTS, XTS_GEN = 0x1088, 0x1089, 0x108e, 0x1071, 0x1072
WRAP, KWP, PKCS7, ECB_DATA, CBC_DATA = 0x2109, 0x210b, 0x210c, 0x1104, 0x1105
CHACHA, CHACHA_GEN, CHACHA_POLY, POLY, POLY_GEN = 0x1226, 0x1225, 0x4021, 0x1228, 0x1227
XTS_KEY, CHACHA_KEY, POLY_KEY = 0x35, 0x33, 0x34
PARAM, DATA_LEN, ENC_DATA, ENC_LEN, SIG, SIZE, VALUE_INVALID, INCOMPLETE = 0x71, 0x21, 0x40, 0x41, 0xc0, 0x62, 0x13, 0xd0
h = bytes.fromhex
s = open_session()


def ccm(length, nonce, aad, mac):
    return mechanism(CCM, struct(length, nonce, aad, mac))


def gcm(iv, bits, aad=b''):
    return mechanism(GMAC, struct(iv, len(iv) * 8, aad, bits))


def chacha(counter, nonce):
    return mechanism(CHACHA, struct((P, pointer(counter)), len(counter) * 8, (P, pointer(nonce)), len(nonce) * 8))


def poly(nonce, aad):
    return mechanism(CHACHA_POLY, struct(nonce, aad))


def opens(m, key, sealed, plain):
    try:
        return s.run('Decrypt', m, key, sealed) == plain
    except Refused:
        return False


def wycheproof(name, run):
    path = os.path.join(os.environ['VECTORS'], name + '.json')
    if not os.path.exists(path):
        return print('# %s is absent' % name)
    wrong, counts = [], {'valid': 0, 'invalid': 0}
    for group in json.load(open(path))['testGroups']:
        for v in group['tests']:
            if v['result'] == 'acceptable' or group['keySize'] == 384 and name == 'aes_xts':  # IEEE 1619 knows no AES-192
                continue
            counts[v['result']] += 1
            try:
                held = run(v, {k: h(x) for k, x in v.items() if k in ('key', 'iv', 'aad', 'msg', 'ct', 'tag')})
            except Refused:
                held = False
            if held != (v['result'] == 'valid'):
                wrong.append(v['tcId'])
    same(wrong, [], '%s: %d valid, %d invalid' % (name, counts['valid'], counts['invalid']))


def aead(key_type, made):
    def run(v, b):
        key = s.secret(key_type, b['key'])
        m = made(b)
        held = opens(m, key, b['ct'] + b['tag'], b['msg'])
        if v['result'] == 'valid':
            held = held and s.run('Encrypt', m, key, b['msg']) == b['ct'] + b['tag']
        s('DestroyObject', UL(key))
        return held
    return run


def run_gmac(v, b):
    key, m = s.secret(AES, b['key']), gcm(b['iv'], len(b['tag']) * 8)
    s.verify(m, key, b['msg'], b['tag'])
    return v['result'] != 'valid' or s.run('Sign', m, key, b['msg']) == b['tag']


def run_xts(v, b):
    key, m = s.secret(XTS_KEY, b['key']), mechanism(XTS, b['iv'].ljust(16, b'\0'))
    return opens(m, key, b['ct'], b['msg']) and s.run('Encrypt', m, key, b['msg']) == b['ct']


wycheproof('aes_ccm', aead(AES, lambda b: ccm(len(b['msg']), b['iv'], b['aad'], len(b['tag']))))
wycheproof('aes_gmac', run_gmac)
wycheproof('aes_xts', run_xts)
wycheproof('chacha20_poly1305', aead(CHACHA_KEY, lambda b: poly(b['iv'], b['aad'])))

# NIST SP 800-38C, example 1, whose code has four bytes
key = s.secret(AES, h('404142434445464748494a4b4c4d4e4f'))
example = ccm(4, h('10111213141516'), h('0001020304050607'), 4)
same(s.run('Encrypt', example, key, h('20212223')), h('7162015b4dac255d'), 'CCM: SP 800-38C, example 1')
same(s.run('Decrypt', example, key, h('7162015b4dac255d')), h('20212223'), 'and back')
refuses(ENC_DATA, lambda: s.run('Decrypt', example, key, h('7162015b4dac255e')), 'CCM: a wrong code')
refuses(DATA_LEN, lambda: s.run('Encrypt', example, key, h('2021222324')), 'CCM: more data than was said')
refuses(DATA_LEN, lambda: s.run('Encrypt', example, key, h('202122')), 'CCM: less data than was said')
for name, m in {'a nonce of 6': ccm(4, bytes(6), b'', 4), 'a nonce of 14': ccm(4, bytes(14), b'', 4),
                'a code of 5': ccm(4, bytes(7), b'', 5), 'a code of 2': ccm(4, bytes(7), b'', 2),
                'a code of 18': ccm(4, bytes(7), b'', 18), 'more than a frame': ccm(65537, bytes(7), b'', 4),
                'a length over what the nonce leaves': ccm(65536, bytes(13), b'', 4)}.items():
    refuses(PARAM, lambda: s('EncryptInit', m, UL(key)), 'CCM: ' + name)
large = os.urandom(65536)
m = ccm(65536, bytes(7), b'aad', 16)
sealed = s.run('Encrypt', m, key, large)
same(len(sealed), 65552, 'CCM: a whole frame of data')
ok(s.run('Decrypt', m, key, sealed) == large, 'and back')

# RFC 3962, appendix B, in the order of CS1
key = s.secret(AES, h('636869636b656e207465726979616b69'))
text = b'I would like the General Gau\'s Chicken, please, and wonton soup.'
cts = mechanism(CTS, bytes(16))
same(s.run('Encrypt', cts, key, text[:17]), h('97c6353568f2bf8cb4d8a580362da7ff7f'), 'CTS: 17 bytes')
same(s.run('Encrypt', cts, key, text[:31]), h('97687268d6ecccc0c07b25e25ecfe5fc00783e0efdb2c1d445d4c8eff7ed22'), 'CTS: 31 bytes')
same(s.run('Encrypt', cts, key, text[:32]), h('97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a8'), 'CTS: whole blocks are CBC')
for size in (16, 17, 40, 64, 40000):
    data = os.urandom(size)
    ok(s.run('Decrypt', cts, key, s.run('Encrypt', cts, key, data)) == data, 'CTS: %d bytes and back' % size)
refuses(DATA_LEN, lambda: s.run('Encrypt', cts, key, text[:15]), 'CTS: less than a block')
refuses(PARAM, lambda: s('EncryptInit', mechanism(CTS, bytes(15)), UL(key)), 'CTS: a short initial value')

refuses(VALUE_INVALID, lambda: s.secret(XTS_KEY, bytes(64)), 'XTS: a key of equal halves')
refuses(VALUE_INVALID, lambda: s.secret(XTS_KEY, bytes(range(48))), 'XTS: a key of 48 bytes')
made = s.generate(XTS_GEN, {VALUE_LEN: 64, TOKEN: False})
refuses(DATA_LEN, lambda: s.run('Encrypt', mechanism(XTS, bytes(16)), made, bytes(15)), 'XTS: less than a block')
ok(len(s.run('Encrypt', mechanism(XTS, bytes(16)), made, bytes(50))) == 50, 'XTS: a generated key')
refuses(INCOMPLETE, lambda: s.generate(XTS_GEN, {TOKEN: False}), 'XTS: a length must be said')

# RFC 3394 of what PKCS #7 pads
key = s.secret(AES, h('000102030405060708090a0b0c0d0e0f'))
for size in (8, 9, 15, 16, 20, 500):
    data = os.urandom(size)
    pad = 8 - size % 8
    wrapped = s.run('Encrypt', mechanism(PKCS7), key, data)
    same(wrapped, s.run('Encrypt', mechanism(WRAP), key, data + bytes([pad]) * pad), 'KEY_WRAP_PKCS7: %d bytes' % size)
    same(s.run('Decrypt', mechanism(PKCS7), key, wrapped), data, 'and back')
refuses(DATA_LEN, lambda: s.run('Encrypt', mechanism(PKCS7), key, bytes(7)), 'KEY_WRAP_PKCS7: too short')
bad = s.run('Encrypt', mechanism(WRAP), key, bytes(16))
refuses(ENC_DATA, lambda: s.run('Decrypt', mechanism(PKCS7), key, bad), 'KEY_WRAP_PKCS7: no padding')
same(s.run('Encrypt', mechanism(KWP), s.secret(AES, h('5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8')), h('466f7250617369')),
     h('afbeb0f07dfbf5419200f2ccb50bb24f'), 'KEY_WRAP_KWP: RFC 5649')

# FIPS 197, C.1 and SP 800-38A, F.2.1
block = h('00112233445566778899aabbccddeeff')
data = mechanism(ECB_DATA, struct(block))
same(s.value(s.derive(data, key, {})), h('69c4e0d86a7b0430d8cdb78070b4c55a'), 'ECB_ENCRYPT_DATA: FIPS 197')
same(s.value(s.derive(data, key, {VALUE_LEN: 5})), h('69c4e0d86a'), 'the trailing end is dropped')
same(len(s.value(s.derive(data, key, {KEY_TYPE: AES}))), 16, 'an AES key of it')
refuses(PARAM, lambda: s.derive(data, key, {VALUE_LEN: 17}), 'more than there is')
refuses(PARAM, lambda: s.derive(mechanism(ECB_DATA, struct(block[:15])), key, {}), 'less than a block')
other = s.secret(AES, h('2b7e151628aed2a6abf7158809cf4f3c'))
cbc = mechanism(CBC_DATA, struct((BYTE * 16, (BYTE * 16)(*range(16))), h('6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51')))
same(s.value(s.derive(cbc, other, {})), h('7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2'), 'CBC_ENCRYPT_DATA: SP 800-38A')
same(len(s.value(s.derive(cbc, other, {KEY_TYPE: CHACHA_KEY}))), 32, 'a key of a type with one length')

# RFC 8439, 2.4.2 and 2.5.2
key = s.secret(CHACHA_KEY, bytes(range(32)))
text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
sealed = h('6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0bf91b65c5524733ab8f593dabcd62b357'
           '1639d624e65152ab8f530c359f0861d807ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736'
           '5af90bbf74a35be6b40b8eedf2785e42874d')
nonce = h('000000000000004a00000000')
m = chacha((1).to_bytes(4, 'little'), nonce)
same(s.run('Encrypt', m, key, text), sealed, 'ChaCha20: RFC 8439')
same(s.run('Decrypt', m, key, sealed), text, 'and back')
original = chacha((1).to_bytes(8, 'little'), nonce[4:])
same(s.run('Encrypt', original, key, text), sealed, 'the original with eight and eight: here the same block')
for name, m in {'a counter of 3': chacha(bytes(3), nonce), '8 and 12': chacha(bytes(8), nonce), '4 and 8': chacha(bytes(4), nonce[4:])}.items():
    refuses(PARAM, lambda: s('EncryptInit', m, UL(key)), 'ChaCha20: ' + name)
last = chacha(b'\xff' * 4, nonce)
ok(len(s.run('Encrypt', last, key, bytes(64))) == 64, 'ChaCha20: the last block')
refuses(DATA_LEN, lambda: s.run('Encrypt', last, key, bytes(65)), 'ChaCha20: a counter that would wrap')
refuses(PARAM, lambda: s('EncryptInit', poly(bytes(8), b''), UL(key)), 'ChaCha20-Poly1305: a nonce of 8')
same(len(s.value(s.generate(CHACHA_GEN, {TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}))), 32, 'a ChaCha20 key without a length')
key = s.secret(POLY_KEY, h('85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b'))
text = b'Cryptographic Forum Research Group'
for _ in range(3):
    same(s.run('Sign', mechanism(POLY), key, text), h('a8061dc1305136c6c22b8baf0c0127a9'), 'Poly1305: RFC 8439')
s.verify(mechanism(POLY), key, text, h('a8061dc1305136c6c22b8baf0c0127a9'))
refuses(SIG, lambda: s.verify(mechanism(POLY), key, text, bytes(16)), 'Poly1305: a wrong code')
refuses(VALUE_INVALID, lambda: s.generate(POLY_GEN, {VALUE_LEN: 16, TOKEN: False}), 'Poly1305: another length')

# a question for the length is refused as the operation would be, and ends it
def asks(kind, m, key, length):
    found = UL()
    s(kind + 'Init', m, UL(key))
    s(kind, bytes(length), UL(length), None, c.byref(found))
    answer = found.value
    s(kind, bytes(length), UL(length), c.create_string_buffer(length + 16), c.byref(UL(length + 16)))
    return answer


def ctr(bits, block):
    return mechanism(0x1086, bits.to_bytes(8, 'little') + block)


aes = s.secret(AES, bytes(16))
almost = bytes(15) + b'\1'
for m in (mechanism(0x1081), mechanism(0x1082, bytes(16))):
    same(asks('Encrypt', m, aes, 32), 32, 'ECB and CBC: the length of two blocks')
    refuses(DATA_LEN, lambda: asks('Encrypt', m, aes, 33), 'and of a byte more')
    refuses(ENC_LEN, lambda: asks('Decrypt', m, aes, 31), 'or less')
    refuses(0x91, lambda: s.give('Encrypt', bytes(32), UL(32)), 'which ended it')
same(asks('Encrypt', mechanism(0x1085, bytes(16)), aes, 33), 48, 'CBC_PAD: any length')
refuses(ENC_LEN, lambda: asks('Decrypt', mechanism(0x1085, bytes(16)), aes, 33), 'CBC_PAD: what is deciphered is whole blocks')
same(asks('Encrypt', ctr(2, almost), aes, 48), 48, 'CTR: three blocks until the counter wraps')
refuses(DATA_LEN, lambda: asks('Encrypt', ctr(2, almost), aes, 49), 'CTR: a byte more')
refuses(ENC_LEN, lambda: asks('Decrypt', ctr(2, almost), aes, 49), 'CTR: either way')
same(asks('Encrypt', ctr(128, almost), aes, 4096), 4096, 'CTR: a counter of 128 bits')
refuses(DATA_LEN, lambda: asks('Encrypt', ctr(128, b'\xff' * 16), aes, 17), 'CTR: that is at its end')


def parts(kind, m, *sizes):
    """Parts that are taken."""
    s(kind + 'Init', m, UL(aes))
    for size in sizes:
        s.give(kind + 'Update', bytes(size), UL(size))


def ask(function, *arguments):
    answer = UL(0)
    s(function, *arguments, None, c.byref(answer))
    return answer.value


# the same in parts
for m in (mechanism(0x1081), mechanism(0x1082, bytes(16))):
    for kind, code in (('Encrypt', DATA_LEN), ('Decrypt', ENC_LEN)):
        parts(kind, m, 20, 13)
        refuses(code, lambda: ask(kind + 'Final'), 'ECB and CBC: the length of an end that there is none of')
        refuses(0x91, lambda: s.give(kind + 'Final'), 'which ended it')
        parts(kind, m, 20, 12)
        same(ask(kind + 'Final'), 0, 'the length of an end')
        same(s.give(kind + 'Final'), b'', 'and the end')
parts('Decrypt', mechanism(0x1085, bytes(16)), 17)
refuses(ENC_LEN, lambda: ask('DecryptFinal'), 'CBC_PAD: the end of what is no whole blocks')
for kind, code in (('Encrypt', DATA_LEN), ('Decrypt', ENC_LEN)):
    parts(kind, ctr(2, almost), 48)
    refuses(code, lambda: ask(kind + 'Update', b'x', UL(1)), 'CTR: the length of a part beyond the counter')
    refuses(0x91, lambda: s.give(kind + 'Final'), 'which ended it')
    parts(kind, ctr(2, almost), 47)
    same(ask(kind + 'Update', b'x', UL(1)), 1, 'CTR: of the last byte')
    s.give(kind + 'Final')
done()
