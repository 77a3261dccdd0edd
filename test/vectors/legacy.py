"""What only old programs ask for: SSL 3.0, TLS 1.0 and 1.1, MD5, MACs of triple DES, RSA keys by X9.31. Published vectors and refusals."""
import hashlib
import hmac
import os
import subprocess
import tempfile

from cryptoki import *

MASTER, KEYS, MASTER_DH, PRF = 0x375, 0x376, 0x377, 0x378
PARAM, SIZE, RANGE, TYPE, SIG, SIG_RANGE, VALUE_INVALID, INVALID = 0x71, 0x62, 0x21, 0x63, 0xc0, 0xc1, 0x13, 0x70
DES3, DES2 = 0x15, 0x14
h = bytes.fromhex
s = open_session()


def half(name, secret, seed, length):
    out, a = b'', seed
    while len(out) < length:
        a = hmac.new(secret, a, name).digest()
        out += hmac.new(secret, a + seed, name).digest()
    return out[:length]


def prf(secret, label, seed, length):
    """RFC 2246, 5"""
    n = (len(secret) + 1) // 2
    both = half('md5', secret[:n], label + seed, length), half('sha1', secret[-n:], label + seed, length)
    return bytes(a ^ b for a, b in zip(*both))


class Randoms(c.Structure):
    _fields_ = [('client', P), ('client_len', UL), ('server', P), ('server_len', UL)]


class Out(c.Structure):
    _fields_ = [('keys', UL * 4), ('iv', P * 2)]


def randoms(client, server):
    return (Randoms, Randoms(pointer(client), len(client), pointer(server), len(server)))


def master(number, client, server, version=None):
    return mechanism(number, struct(randoms(client, server), (P, version)))


def keys(base, client, server, mac, key, iv, attributes, room=16, number=KEYS, export=False):
    out, buffers = Out(), [c.create_string_buffer(room) for _ in range(2)]
    out.iv = (P * 2)(*(c.cast(buffer, P) for buffer in buffers))
    m = mechanism(number, struct(mac, key, iv, (BYTE, export), randoms(client, server), (P, c.cast(c.pointer(out), P))))
    s('DeriveKey', m, UL(base), *s.template({CLASS: SECRET, TOKEN: False, **attributes}), None)
    return list(out.keys), [buffer.raw[:iv // 8] for buffer in buffers]


def prf_of(key, label, seed, length):
    buffer, size = c.create_string_buffer(max(length, 1)), UL(length)
    m = mechanism(PRF, struct(seed, label, (P, c.cast(buffer, P)), (P, c.cast(c.pointer(size), P))))
    s('DeriveKey', m, UL(key), None, UL(0), None)
    return buffer.raw[:length]


OPEN = {'_103': False, '_162': True}
# NIST's CAVS 11.1 for SP 800-135: TLS 1.0/1.1, count 0
PRE = h('bded7fa5c1699c010be23dd06ada3a48349f21e5f86263d512c0c5cc379f0e780ec55d9844b2f1db02a96453513568d0')
SERVER = h('135e4d557fdf3aa6406d82975d5c606a9734c9334b42136e96990fbd5358cdb2')
CLIENT = h('e5acaf549cd25c22d964c0d930fa4b5261d2507fad84c33715b7b9a864020693')
WANTED = h('2f6962dfbc744c4b2138bb6b3d33054c5ecc14f24851d9896395a44ab3964efc2090c5bf51a0891209f46c1e1e998f62')
pre = s.secret(GENERIC, PRE, **OPEN)
made = s.derive(master(MASTER, CLIENT, SERVER), pre, {DERIVE: True})
same(s.value(made), WANTED, 'the master secret: NIST CAVS, SP 800-135')
same(prf_of(pre, b'master secret', CLIENT + SERVER, 48), WANTED, 'CKM_TLS_PRF: the same')
same(s.value(s.derive(master(MASTER_DH, CLIENT, SERVER), pre, {})), WANTED, 'of a secret that was agreed on')
version = c.create_string_buffer(2)
s.derive(master(MASTER, CLIENT, SERVER, c.cast(version, P)), pre, {})
same(version.raw, PRE[:2], 'the version in the pre-master secret')
agreed = s.secret(GENERIC, bytes(range(100)))
same(s.value(s.derive(master(MASTER_DH, CLIENT, SERVER), agreed, {})), prf(bytes(range(100)), b'master secret', CLIENT + SERVER, 48), 'of 100 bytes')
for length in (1, 12, 48, 4096):
    same(prf_of(made, b'client finished', CLIENT + SERVER[:4], length), prf(WANTED, b'client finished', CLIENT + SERVER[:4], length), 'the PRF: %d bytes' % length)
odd = s.secret(GENERIC, bytes(range(51)))
same(prf_of(odd, b'l', b's', 40), prf(bytes(range(51)), b'l', b's', 40), 'of a secret of odd length')
same(prf_of(odd, b'', b's', 20), prf(bytes(range(51)), b'', b's', 20), 'without a label')
before = len(s.find({TOKEN: False}))
prf_of(made, b'l', b's', 20)
same(len(s.find({TOKEN: False})), before, 'nothing stays of it')

# CAVS: the key block of the same session, which had other randoms
CLIENT, SERVER = (h('d58a7b1cd4fedaa232159df652ce188f9d997e061b9bf48e83b62990440931f6'),
                  h('67267e650eb32444119d222a368c191af3082888dc35afe8368e638c828874be'))
block = h('3088825988e77fce68d19f756e18e43eb7fe672433504feaf99b3c503d9091b164f166db301d70c9fc0870b4a94563907bee1a61fb786cb717576890bcc51cb9'
          'ead97e01d0a2fea99c953377b195205ff07b369589178796edc963fd80fdbe518a2fc1c35c18ae8d')
handles, ivs = keys(made, CLIENT, SERVER, 160, 128, 128, {KEY_TYPE: AES})
same(b''.join(map(s.value, handles)) + b''.join(ivs), block, 'the key block: NIST CAVS')
same([s.value(x, KEY_TYPE)[0] for x in handles], [GENERIC, GENERIC, AES, AES], 'MAC secrets are generic')
same(s.run('Encrypt', mechanism(0x1082, ivs[0]), handles[2], bytes(16)),
     s.run('Encrypt', mechanism(0x1082, block[-32:-16]), s.secret(AES, block[40:56]), bytes(16)), 'and its keys encipher')
before = len(s.find({TOKEN: False}))
for attributes in ({KEY_TYPE: DES3}, {KEY_TYPE: AES, VALUE_LEN: 16}):
    refuses(SIZE, lambda: keys(made, CLIENT, SERVER, 160, 256, 128, attributes), 'a key that does not fit')
same(len(s.find({TOKEN: False})), before, 'and what was made before it is gone')

refuses(SIZE, lambda: s.derive(master(MASTER, CLIENT, SERVER), agreed, {}), 'a pre-master secret of 100 bytes')
refuses(PARAM, lambda: s.derive(master(MASTER_DH, CLIENT, SERVER, c.cast(version, P)), pre, {}), 'no version in what was agreed on')
refuses(PARAM, lambda: s.derive(mechanism(MASTER, struct(randoms(CLIENT, SERVER), (P, None), 0x250)), pre, {}), 'no hash here')
refuses(PARAM, lambda: s.derive(mechanism(0x3e0, struct(randoms(CLIENT, SERVER), (P, None), PRF)), pre, {}), 'nor the old PRF in TLS 1.2')
for number in (0x3d9, 0x3e5):
    refuses(PARAM, lambda: s.derive(mechanism(number, struct(PRF, b'label', randoms(CLIENT, SERVER), (P, None), 0)), pre, {VALUE_LEN: 16}), 'by no door')
refuses(PARAM, lambda: s('SignInit', mechanism(0x3e4, struct(PRF, 12, 1)), UL(pre)), 'nor in a Finished message')
for length in (0, 4097):
    refuses(SIZE, lambda: prf_of(pre, b'l', b's', length), 'a PRF of %d bytes' % length)
refuses(PARAM, lambda: prf_of(pre, b'l', b's' * 5000, 10), 'more seed than there is room for')
refuses(PARAM, lambda: s('DeriveKey', mechanism(PRF, struct(b's', b'l', (P, None), (P, None))), UL(pre), None, UL(0), None), 'no place for it')
refuses(TYPE, lambda: prf_of(s.secret(AES, bytes(16)), b'l', b's', 10), 'of a key of AES')

# SSL 3.0 (RFC 6101, 6.1, 6.2.2 and 5.2.3.1) by Python's hashes; test/apps/java-tls.test.ts has the JDK beside it
SSL_PRE, SSL_MASTER, SSL_KEYS, SSL_DH = 0x370, 0x371, 0x372, 0x373
SSL_MACS = {0x380: ('md5', 48), 0x381: ('sha1', 40)}


def ssl3(secret, seed, length):
    letters = [bytes([65 + i]) * (i + 1) for i in range((length + 15) // 16)]
    return b''.join(hashlib.md5(secret + hashlib.sha1(x + secret + seed).digest()).digest() for x in letters)[:length]


def ssl3_mac(name, pad, secret, data):
    inner = hashlib.new(name, secret + b'\x36' * pad + data).digest()
    return hashlib.new(name, secret + b'\x5c' * pad + inner).digest()


MASTER3 = ssl3(PRE, CLIENT + SERVER, 48)
made3 = s.derive(master(SSL_MASTER, CLIENT, SERVER, c.cast(version, P)), pre, {DERIVE: True})
same(s.value(made3), MASTER3, 'SSL3_MASTER_KEY_DERIVE')
same(version.raw, PRE[:2], 'and its version')
same(s.value(s.derive(master(SSL_DH, CLIENT, SERVER), agreed, {})), ssl3(bytes(range(100)), CLIENT + SERVER, 48), 'SSL3_MASTER_KEY_DERIVE_DH')
for sizes in ((160, 128, 128), (128, 192, 64), (512, 256, 128)):
    handles, ivs = keys(made3, CLIENT, SERVER, *sizes, {KEY_TYPE: GENERIC}, number=SSL_KEYS)
    same(b''.join(map(s.value, handles)) + b''.join(ivs), ssl3(MASTER3, SERVER + CLIENT, sum(sizes) // 4), 'SSL3_KEY_AND_MAC_DERIVE %d %d %d' % sizes)
refuses(PARAM, lambda: keys(made3, CLIENT, SERVER, 160, 40, 64, {KEY_TYPE: GENERIC}, number=SSL_KEYS, export=True), 'no keys for export')
refuses(SIZE, lambda: keys(agreed, CLIENT, SERVER, 160, 128, 128, {KEY_TYPE: AES}, number=SSL_KEYS), 'SSL 3.0: a master secret of 100 bytes')
refuses(SIZE, lambda: s.derive(master(SSL_MASTER, CLIENT, SERVER), agreed, {}), 'SSL 3.0: a pre-master secret of 100 bytes')
refuses(SIZE, lambda: s.derive(master(SSL_MASTER, CLIENT, SERVER), pre, {VALUE_LEN: 47}), 'SSL 3.0: a master secret of 47')
refuses(PARAM, lambda: s.derive(master(SSL_DH, CLIENT, SERVER, c.cast(version, P)), agreed, {}), 'SSL 3.0: no version in what was agreed on')
refuses(TYPE, lambda: s.derive(master(SSL_MASTER, CLIENT, SERVER), s.secret(AES, bytes(32)), {}), 'SSL 3.0: of a key of AES')
refuses(PARAM, lambda: s.derive(mechanism(0x3e0, struct(randoms(CLIENT, SERVER), (P, None), SSL_MASTER)), pre, {}), 'nor its hashes in TLS 1.2')
for number in (0x3d9, 0x3e5):
    refuses(PARAM, lambda: s.derive(mechanism(number, struct(SSL_MASTER, b'label', randoms(CLIENT, SERVER), (P, None), 0)), pre, {VALUE_LEN: 16}), 'by no door')
made = s.generate(SSL_PRE, {TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}, b'\3\0')
same((len(s.value(made)), s.value(made)[:2]), (48, b'\3\0'), 'SSL3_PRE_MASTER_KEY_GEN')
refuses(SIZE, lambda: s.generate(SSL_PRE, {TOKEN: False, VALUE_LEN: 47}, b'\3\0'), 'SSL 3.0: a pre-master secret of 47')
for number, (name, pad) in SSL_MACS.items():
    for size in (1, 20, 4096):
        secret = bytes(i % 251 for i in range(size))
        mac_key = s.secret(GENERIC, secret)
        for data in (b'', b'record', bytes(70000)):
            code = ssl3_mac(name, pad, secret, data)
            for length in (4, 8, len(code)):
                same(s.run('Sign', mechanism(number, struct(length)), mac_key, data), code[:length], 'SSL3 MAC, %s, key of %d: %d of %d' % (name, size, length, len(data)))
            s.verify(mechanism(number, struct(len(code))), mac_key, data, code)
    whole3 = mechanism(number, struct(len(code)))
    s('SignInit', whole3, UL(mac_key))
    s('SignUpdate', b'rec', UL(3))
    s('SignUpdate', b'ord', UL(3))
    same(s.give('SignFinal'), ssl3_mac(name, pad, secret, b'record'), 'SSL3 MAC in parts: ' + name)
    refuses(SIG, lambda: s.verify(whole3, mac_key, b'record', bytes(len(code))), 'SSL3 MAC: a wrong one')
    refuses(SIG_RANGE, lambda: s.verify(whole3, mac_key, b'record', bytes(len(code) - 1)), 'SSL3 MAC: a short one')
    for length in (0, 3, len(code) + 1):
        refuses(PARAM, lambda: s('SignInit', mechanism(number, struct(length)), UL(mac_key)), 'SSL3 MAC: %d bytes' % length)
    refuses(PARAM, lambda: s('SignInit', mechanism(number), UL(mac_key)), 'SSL3 MAC: no length')
    refuses(TYPE, lambda: s('SignInit', whole3, UL(s.secret(AES, bytes(16)))), 'SSL3 MAC: a key of AES')

# RFC 1321, A.5; RFC 2202, 2
s('DigestInit', mechanism(0x210))
same(s.give('Digest', b'abc', UL(3)), h('900150983cd24fb0d6963f7d28e17f72'), 'MD5: RFC 1321')
same(s.value(s.derive(mechanism(0x390), s.secret(GENERIC, b'abc'), {})), h('900150983cd24fb0d6963f7d28e17f72'), 'MD5_KEY_DERIVATION: RFC 1321')
for key_type in (GENERIC, 0x27):
    key = s.secret(key_type, b'Jefe\0\0\0\0')
    text = b'what do ya want for nothing?'
    same(s.run('Sign', mechanism(0x211), key, text), h('750c783e6ab0b503eaa86e310a5db738'), 'HMAC-MD5: RFC 2202, 2')
    same(s.run('Sign', mechanism(0x212, struct(5)), key, text), h('750c783e6a'), 'five bytes of it')

# FIPS 113, appendix 2: with three keys that are one, triple DES is DES
des = s.secret(DES3, h('0123456789abcdef') * 3)
text = b'7654321 Now is the time for '
whole = h('f1d30f6849312ca4')
same(s.run('Sign', mechanism(0x134), des, text), whole[:4], 'DES3_MAC: FIPS 113')
for size in range(1, 9):
    m = mechanism(0x135, struct(size))
    same(s.run('Sign', m, des, text), whole[:size], 'DES3_MAC_GENERAL: %d bytes' % size)
    s.verify(m, des, text, whole[:size])
two = s.secret(DES2, h('0123456789abcdef') * 2)
same(s.run('Sign', mechanism(0x135, struct(8)), two, text), whole, 'a key of CKK_DES2')
s('SignInit', mechanism(0x134), UL(des))
for at in range(0, len(text), 3):
    s('SignUpdate', text[at:at + 3], UL(len(text[at:at + 3])))
same(s.give('SignFinal'), whole[:4], 'in parts')
refuses(SIG, lambda: s.verify(mechanism(0x134), des, text, bytes(4)), 'another code')
refuses(SIG_RANGE, lambda: s.verify(mechanism(0x134), des, text, whole), 'a longer one')
for size in (0, 9, 1 << 40):
    refuses(PARAM, lambda: s('SignInit', mechanism(0x135, struct(size)), UL(des)), 'a code of %d bytes' % size)
refuses(RANGE, lambda: s.run('Sign', mechanism(0x134), des, b''), 'of nothing')

# X9.31 pairs
BITS, EXPONENT, MODULUS = 0x121, 0x122, 0x120
public, private = s.pair(0xa, {BITS: 2048, EXPONENT: b'\1\0\1'}, {})
s.verify(mechanism(0x40), public, b'message', s.run('Sign', mechanism(0x40), private, b'message'))
same(len(s.value(public, MODULUS)), 256, 'a pair by X9.31')
for rv, bits, exponent in ((SIZE, 1024, b'\1\0\1'), (SIZE, 2304 + 8, b'\1\0\1'), (VALUE_INVALID, 2048, b'\3'), (VALUE_INVALID, 2048, b'\xff\xff')):
    refuses(rv, lambda: s.pair(0xa, {BITS: bits, EXPONENT: exponent}, {}), 'X9.31: %d bits, an exponent of %s' % (bits, exponent.hex()))

# MD5 with RSA: what RFC 8017, 9.2 puts into the signature
code = s.run('Sign', mechanism(5), private, b'message')
inside = h('3020300c06082a864886f70d020505000410') + hashlib.md5(b'message').digest()
same(pow(int.from_bytes(code, 'big'), 65537, int.from_bytes(s.value(public, MODULUS), 'big')).to_bytes(256, 'big'), b'\0\1' + b'\xff' * (253 - len(inside)) + b'\0' + inside, 'MD5_RSA_PKCS')
s.verify(mechanism(5), public, b'message', code)

# X9.31 signatures, which OpenSSL verifies and makes; NIST's answers: nist_cavp.py
def openssl(*arguments):
    return subprocess.run(('openssl', 'pkeyutl') + arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20, check=False)


X931, SHA1_X931, hashed = mechanism(0xb), mechanism(0xc), hashlib.sha1(b'message').digest()
with tempfile.TemporaryDirectory() as place:
    def file(name, data):
        path = os.path.join(place, name)
        with open(path, 'wb') as f:
            f.write(data)
        return path

    info = file('key', s.value(public, 0x129))
    mode = ('-pkeyopt', 'digest:sha1', '-pkeyopt', 'rsa_padding_mode:x931')
    for at in range(6):
        text = b'message %d' % at
        digest = hashlib.sha1(text).digest()
        code = s.run('Sign', SHA1_X931, private, text)
        same(s.run('Sign', X931, private, digest + h('33cc')), code, 'X9.31: of a hash and its trailer')
        same(s.run('Sign', X931, private, digest + h('33')), code, 'and of one without its last byte')
        s.verify(X931, public, digest + h('33'), code)
        s.verify(SHA1_X931, public, text, code)
        s.verify(X931, public, digest + h('33cc'), code)
        done_ = openssl('-verify', '-pubin', '-keyform', 'DER', '-inkey', info, '-sigfile', file('sig', code), '-in', file('hash', digest), *mode)
        same(done_.returncode, 0, 'which OpenSSL verifies')
        refuses(SIG, lambda: s.verify(SHA1_X931, public, text + b'.', code), 'another message')
        refuses(SIG, lambda: s.verify(SHA1_X931, public, text, bytes(256)), 'no signature')
    refuses(SIG_RANGE, lambda: s.verify(SHA1_X931, public, text, code[1:]), 'a short one')
    refuses(0x20, lambda: s.run('Sign', X931, private, digest), 'a hash without its trailer')
    for size in (0, 255):
        refuses(0x21, lambda: s.run('Sign', X931, private, b'\xcc' * size), 'a hash of %d bytes' % size)
done()
