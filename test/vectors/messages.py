"""Messages (PKCS#11 3.1, 5.9 to 5.12) of AES-CCM and ChaCha20-Poly1305, at once and in parts: published vectors and refusals."""
from cryptoki import *

CCM, CHACHA_POLY, CHACHA_KEY = 0x1088, 0x4021, 0x33
NOT_INITIALIZED, ACTIVE, TOO_SMALL, PARAM, DATA_LEN, FAILED, END = 0x91, 0x90, 0x150, 0x71, 0x21, 0x42, 1
h = bytes.fromhex
s = open_session()


class Ccm:
    """CK_CCM_MESSAGE_PARAMS"""
    def __init__(self, length, nonce, tag=b'', generator=0, fixed=0, tag_bytes=8):
        self.nonce, self.tag = c.create_string_buffer(nonce, len(nonce)), c.create_string_buffer(tag, 16)
        self.c = struct(length, (P, c.cast(self.nonce, P)), len(nonce), fixed, generator, (P, c.cast(self.tag, P)), tag_bytes)


class Poly:
    """CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS"""
    def __init__(self, length, nonce, tag=b''):
        self.nonce, self.tag = c.create_string_buffer(nonce, len(nonce)), c.create_string_buffer(tag, 16)
        self.c = struct((P, c.cast(self.nonce, P)), len(nonce), (P, c.cast(self.tag, P)))


def given(p):
    return c.byref(p.c), UL(c.sizeof(p.c))


def once(kind, p, aad, data):
    return s.give(kind + 'Message', *given(p), aad, UL(len(aad)), data, UL(len(data)))


def begin(kind, p, aad):
    s(kind + 'MessageBegin', *given(p), aad, UL(len(aad)))


def part(kind, p, data, flags=0, room=200):
    buffer, length = c.create_string_buffer(room), UL(room)
    s(kind + 'MessageNext', *given(p), data, UL(len(data)), buffer, c.byref(length), UL(flags))
    return buffer.raw[:length.value]


VECTORS = {
    'RFC 3610, packet vector 1': (
        CCM, Ccm, s.secret(AES, bytes(range(0xc0, 0xd0))), h('00000003020100a0a1a2a3a4a5'), bytes(range(8)),
        bytes(range(8, 0x1f)), h('588c979a61c663d2f066d0c2c0f989806d5f6b61dac384'), h('17e8d12cfdf926e0')),
    'RFC 8439, 2.8.2': (
        CHACHA_POLY, Poly, s.secret(CHACHA_KEY, bytes(range(0x80, 0xa0))), h('070000004041424344454647'), h('50515253c0c1c2c3c4c5c6c7'),
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
        h('d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36'
          '92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116'),
        h('1ae10b594f09e26a7e902ecbd0600691')),
}

for name, (number, Made, key, nonce, aad, text, sealed, tag) in VECTORS.items():
    size = len(tag)
    s('MessageEncryptInit', mechanism(number), UL(key))
    p = Made(len(text), nonce)
    same((once('Encrypt', p, aad, text), p.tag.raw[:size]), (sealed, tag), name + ': a message')
    length = UL(0)
    s('EncryptMessage', *given(p), aad, UL(len(aad)), text, UL(len(text)), None, c.byref(length))
    same(length.value, len(text), 'NULL asks for the length')
    p = Made(len(text), nonce)
    begin('Encrypt', p, aad)
    refuses(ACTIVE, lambda: once('Encrypt', p, aad, text), 'one message at a time')
    first = part('Encrypt', p, text[:7]) + part('Encrypt', p, b'') + part('Encrypt', p, text[7:15])
    same(first, b'' if number == CCM else sealed[:15], 'what comes before the end')
    refuses(TOO_SMALL, lambda: part('Encrypt', p, text[15:], END, 7), 'a short buffer')
    same((first + part('Encrypt', p, text[15:], END), p.tag.raw[:size]), (sealed, tag), 'and again: a message in parts')
    refuses(NOT_INITIALIZED, lambda: part('Encrypt', p, b'x'), 'a part of no message')
    for other in (Made(len(text), nonce).c, struct(1, 2)):
        wrong = c.byref(other), UL(c.sizeof(other) - 8)
        refuses(PARAM, lambda: s.give('EncryptMessage', *wrong, aad, UL(len(aad)), text, UL(len(text))), 'another structure')
    s('MessageEncryptFinal')

    s('MessageDecryptInit', mechanism(number), UL(key))
    same(once('Decrypt', Made(len(text), nonce, tag), aad, sealed), text, 'and back')
    refuses(FAILED, lambda: once('Decrypt', Made(len(text), nonce, bytes(size)), aad, sealed), 'a wrong tag')
    refuses(FAILED, lambda: once('Decrypt', Made(len(text), nonce, tag), aad + b'.', sealed), 'other associated data')
    p = Made(len(text), nonce, tag)
    begin('Decrypt', p, aad)
    same(part('Decrypt', p, sealed[:9]), b'', 'nothing before the tag was good')
    same(part('Decrypt', p, sealed[9:], END), text, 'a message in parts and back')
    p = Made(len(text), nonce, bytes(16))
    begin('Decrypt', p, aad)
    refuses(FAILED, lambda: part('Decrypt', p, sealed, END), 'a wrong tag of a message in parts')
    same(once('Decrypt', Made(len(text), nonce, tag), aad, sealed), text, 'the next message is served')
    s('MessageDecryptFinal')
    refuses(NOT_INITIALIZED, lambda: once('Decrypt', Made(len(text), nonce, tag), aad, sealed), 'it has ended')

# nonces that are made, and lengths that are not what was said
number, _, key, nonce, aad, text, sealed, tag = VECTORS['RFC 3610, packet vector 1']
s('MessageEncryptInit', mechanism(CCM), UL(key))
s('MessageDecryptInit', mechanism(CCM), UL(key))
nonces = set()
for generator, made in ((1, bytes(12)), (3, bytes(13)), (1, bytes(13)), (3, bytes(12))):
    p = Ccm(len(text), made, generator=generator, tag_bytes=16)
    out = once('Encrypt', p, aad, text)
    nonces.add(p.nonce.raw)
    same(once('Decrypt', Ccm(len(text), p.nonce.raw, p.tag.raw, tag_bytes=16), aad, out), text, 'a nonce that is made')
same(len(nonces), 4, 'no two of them are one')
p = Ccm(len(text), b'\x07' + bytes(12), generator=3, fixed=8)
once('Encrypt', p, aad, text)
same(p.nonce.raw[:1], b'\x07', 'fixed bits stay')
for generator, fixed, size in ((2, 0, 13), (4, 0, 13), (3, 0, 11), (1, 16, 13), (1, 4, 13), (1, 200, 13)):
    refuses(PARAM, lambda: once('Encrypt', Ccm(len(text), bytes(size), generator=generator, fixed=fixed), aad, text),
            'no counter, nor too little randomness')
for wrong in (Ccm(len(text), bytes(6)), Ccm(len(text), bytes(14)), Ccm(65537, nonce), Ccm(1 << 62, nonce), Ccm(len(text), nonce, tag_bytes=5),
              Ccm(len(text), nonce, tag_bytes=2), Ccm(len(text), nonce, tag_bytes=17), Ccm(len(text), nonce, tag_bytes=1 << 61)):
    refuses(PARAM, lambda: once('Encrypt', wrong, aad, text), 'a parameter out of bounds')
for said in (len(text) - 1, len(text) + 1):
    refuses(DATA_LEN, lambda: once('Encrypt', Ccm(said, nonce), aad, text), 'another length than was said')
    p = Ccm(said, nonce)
    begin('Encrypt', p, aad)
    refuses(DATA_LEN, lambda: part('Encrypt', p, text, END), 'in parts as well')
p = Ccm(0, nonce)
same((once('Encrypt', p, aad, b''), once('Decrypt', Ccm(0, nonce, p.tag.raw), aad, b'')), (b'', b''), 'a message of no data')
s('MessageEncryptFinal')
s('MessageDecryptFinal')
refuses(0x63, lambda: s('MessageEncryptInit', mechanism(CHACHA_POLY), UL(key)), 'a key of another type')
done()
