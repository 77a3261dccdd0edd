"""AES_MAC, BLAKE2b with a key, RSA keys above 4096 bits: published vectors, Python beside them, and refusals."""
import hashlib
import os

from cryptoki import *

PARAM, SIZE, RANGE, TYPE, SIG, SIG_RANGE, INVALID = 0x71, 0x62, 0x21, 0x63, 0xc0, 0xc1, 0x70
h = bytes.fromhex
s = open_session()

# FIPS 113's construction: the last block of CBC with zeros before and behind
key = s.secret(AES, h('2b7e151628aed2a6abf7158809cf4f3c'))
same(s.run('Sign', mechanism(0x1084, struct(16)), key, h('6bc1bee22e409f96e93d7e117393172a')), h('3ad77bb40d7a3660a89ecaf32466ef97'),
     'AES_MAC: one block is SP 800-38A, F.1.1')
for size in (1, 15, 16, 17, 100, 1024, 5000, 70001):
    data = os.urandom(size)
    whole = s.run('Encrypt', mechanism(0x1082, bytes(16)), key, (data + bytes(-size % 16))[:65536])[-16:] if size <= 65536 else None
    code = s.run('Sign', mechanism(0x1084, struct(16)), key, data)
    same(code, whole or code, 'AES_MAC_GENERAL: %d bytes' % size)
    same(s.run('Sign', mechanism(0x1083), key, data), code[:8], 'AES_MAC is half of it')
    s.verify(mechanism(0x1084, struct(5)), key, data, code[:5])
    s('SignInit', mechanism(0x1083), UL(key))
    for at in range(0, size, 4097):
        s('SignUpdate', data[at:at + 4097], UL(len(data[at:at + 4097])))
    same(s.give('SignFinal'), code[:8], 'in parts')
refuses(SIG, lambda: s.verify(mechanism(0x1083), key, b'data', bytes(8)), 'another code')
refuses(SIG_RANGE, lambda: s.verify(mechanism(0x1083), key, b'data', bytes(16)), 'a longer one')
refuses(RANGE, lambda: s.run('Sign', mechanism(0x1083), key, b''), 'of nothing')
for size in (0, 17, 1 << 33):
    refuses(PARAM, lambda: s('SignInit', mechanism(0x1084, struct(size)), UL(key)), 'a code of %d bytes' % size)
same(s.run('Sign', mechanism(0x1083, struct(8)), key, b'data'), s.run('Sign', mechanism(0x1083), key, b'data'), 'AES_MAC has no parameter, and looks at none')

# the authors' test vectors: a key of 64 bytes, no data
same(s.run('Sign', mechanism(0x401c), s.secret(GENERIC, bytes(range(64))), b''),
     h('10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568'),
     'BLAKE2b with a key: blake2b-kat')
for base, bits, key_type in ((0x400c, 160, 0x3a), (0x4011, 256, 0x3b), (0x4016, 384, 0x3c), (0x401b, 512, 0x3d)):
    one, general, generate = mechanism(base + 1), base + 2, base + 4
    for length in (1, 32, 64):
        secret, data = os.urandom(length), os.urandom(300)
        wanted = hashlib.blake2b(data, key=secret, digest_size=bits // 8).digest()
        for kind in (GENERIC, key_type):
            key = s.secret(kind, secret)
            same(s.run('Sign', one, key, data), wanted, 'BLAKE2b-%d with a key of %d bytes' % (bits, length))
            same(s.run('Sign', mechanism(general, struct(7)), key, data), wanted[:7], 'seven bytes of it')
        s.verify(one, key, data, wanted)
        s('SignInit', one, UL(key))
        for at in range(0, 300, 77):
            s('SignUpdate', data[at:at + 77], UL(len(data[at:at + 77])))
        same(s.give('SignFinal'), wanted, 'in parts')
        refuses(SIG, lambda: s.verify(one, key, data, bytes(bits // 8)), 'another code')
    for length in (0, bits // 8 + 1):
        refuses(PARAM, lambda: s('SignInit', mechanism(general, struct(length)), UL(key)), 'a code of %d bytes' % length)
    refuses(SIZE, lambda: s('SignInit', one, UL(s.secret(GENERIC, bytes(65)))), 'a key of 65 bytes')
    made = s.generate(base + 4, {VALUE_LEN: 40, TOKEN: False})
    refuses(TYPE, lambda: s('SignInit', mechanism(0x251), UL(made)), 'a key of one hash is for no other')
    same((s.value(made, KEY_TYPE)[0], len(s.run('Sign', one, made, b'data'))), (key_type, bits // 8), 'a key that is made for it')

# BLAKE2b without a key
for base, bits in ((0x400c, 160), (0x4011, 256), (0x4016, 384), (0x401b, 512)):
    for size in (0, 1, 127, 128, 129, 255, 256, 257, 1000, 100000):
        data = os.urandom(size)
        wanted = hashlib.blake2b(data, digest_size=bits // 8).digest()
        s('DigestInit', mechanism(base))
        same(s.give('Digest', data, UL(size)), wanted, 'BLAKE2b-%d of %d bytes' % (bits, size))
        s('DigestInit', mechanism(base))
        for at in range(0, size, 1 + size // 3):
            s('DigestUpdate', data[at:at + 1 + size // 3], UL(len(data[at:at + 1 + size // 3])))
        same(s.give('DigestFinal'), wanted, 'in parts')
    secret = os.urandom(200)
    base_key = s.secret(GENERIC, secret, _103=False, _162=True)
    wanted = hashlib.blake2b(secret, digest_size=bits // 8).digest()
    same(s.value(s.derive(mechanism(base + 3), base_key, {})), wanted, 'of a key')
    same(s.value(s.derive(mechanism(base + 3), base_key, {KEY_TYPE: AES, VALUE_LEN: 16})), wanted[:16], 'an AES key of it')
    refuses(SIZE, lambda: s.derive(mechanism(base + 3), base_key, {VALUE_LEN: bits // 8 + 1}), 'more than there is')

# PKCS#11 3.1, 6.43.7, the standard's example
example = s.secret(GENERIC, h('329f84a9'), _103=False, _162=True)
same(s.value(s.derive(mechanism(0x365, struct(21)), example, {VALUE_LEN: 2})), h('9526'), 'EXTRACT_KEY_FROM_KEY: the standard\'s example')
number, bits = int.from_bytes(h('329f84a9'), 'big'), 32
for at in range(32):
    turned = ((number << at | number >> (bits - at)) & 0xffffffff).to_bytes(4, 'big')
    same(s.value(s.derive(mechanism(0x365, struct(at)), example, {VALUE_LEN: 4})), turned, 'from bit %d' % at)
for at in (32, 1 << 31, 1 << 40):
    refuses(PARAM, lambda: s.derive(mechanism(0x365, struct(at)), example, {VALUE_LEN: 2}), 'from bit %d' % at)
refuses(SIZE, lambda: s.derive(mechanism(0x365, struct(0)), example, {VALUE_LEN: 5}), 'more than there is')
refuses(0xd0, lambda: s.derive(mechanism(0x365, struct(0)), example, {}), 'a length must be said')
refuses(0xd1, lambda: s.derive(mechanism(0x365, struct(0)), s.secret(GENERIC, b'hidden'), {VALUE_LEN: 2}), 'what may not be read is not read so')

# what only a token with `legacy: true` has
for number in (0x210, 0x211, 0x134, 0x375, 0x378, 0x10, 0x11, 0x20, 0x21, 0x30, 0x31, 0x2000, 0x2001, 0xa):
    refuses(INVALID, lambda: s.call('GetMechanismInfo', UL(s.slot), UL(number), c.create_string_buffer(24)), 'legacy: 0x%x' % number)
refuses(INVALID, lambda: s('DigestInit', mechanism(0x210)), 'no MD5')
refuses(INVALID, lambda: s.generate(0x2001, {0x133: 2048, TOKEN: False}), 'no domain parameters')
refuses(INVALID, lambda: s.pair(0xa, {0x121: 2048}, {}), 'no X9.31')

# longer than 4096 bits
public, private = s.pair(0, {0x121: 5120, 0x122: b'\1\0\1'}, {})
same(len(s.value(public, 0x120)), 640, 'an RSA key of 5120 bits is made')
s.verify(mechanism(0x40), public, b'message', s.run('Sign', mechanism(0x40), private, b'message'))
for bits in (8200, 512, 4097, 1 << 40):
    refuses(SIZE, lambda: s.pair(0, {0x121: bits}, {}), 'one of %d bits is not' % bits)
done()
