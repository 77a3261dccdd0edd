"""Functions that pkcs11js does not have: two operations over the same data, messages, digests of keys, seeds, states."""
import hashlib
import hmac
import os

from cryptoki import *

CBC, ECB, SHA256, HMAC = 0x1082, 0x1081, 0x250, 0x251
NOT_INITIALIZED, TOO_SMALL, ARGUMENTS, SIGNATURE, ACTIVE, KEY_HANDLE = 0x91, 0x150, 0x7, 0xc0, 0x90, 0x60
s = open_session()
aes = s.secret(AES, bytes(range(16)))
mac = s.secret(GENERIC, b'a key for a code')
data = os.urandom(48)
cbc = mechanism(CBC, bytes(16))
plain = s.run('Encrypt', cbc, aes, data)


def begin(cipher, other, m=None, key=None):
    s(cipher + 'Init', cbc, UL(aes))
    s(other + 'Init', m or mechanism(SHA256), *([UL(key)] if key else []))


def parts(function, whole, sizes=(16, 7, 25)):
    out, at = b'', 0
    for size in sizes:
        out += s.give(function, whole[at:at + size], UL(size))
        at += size
    return out


begin('Encrypt', 'Digest')
same(parts('DigestEncryptUpdate', data) + s.give('EncryptFinal'), plain, 'DigestEncryptUpdate encrypts')
same(s.give('DigestFinal'), hashlib.sha256(data).digest(), 'and digests')

begin('Decrypt', 'Digest')
opened = parts('DecryptDigestUpdate', plain)
same(opened + s.give('DecryptFinal'), data, 'DecryptDigestUpdate decrypts')
same(s.give('DigestFinal'), hashlib.sha256(opened).digest(), 'and digests what came out')

begin('Encrypt', 'Sign', mechanism(HMAC), mac)
same(parts('SignEncryptUpdate', data) + s.give('EncryptFinal'), plain, 'SignEncryptUpdate encrypts')
code = s.give('SignFinal')
same(code, hmac.digest(b'a key for a code', data, 'sha256'), 'and signs')

for good in (code, bytes(32)):
    begin('Decrypt', 'Verify', mechanism(HMAC), mac)
    same(parts('DecryptVerifyUpdate', plain) + s.give('DecryptFinal'), data, 'DecryptVerifyUpdate decrypts')
    if good == code:
        s('VerifyFinal', good, UL(32))
        ok(True, 'and verifies')
    else:
        refuses(SIGNATURE, lambda: s('VerifyFinal', good, UL(32)), 'and refuses')

# the ciphertext where the data lie
begin('Encrypt', 'Digest')
buffer, length = c.create_string_buffer(data, 48), UL(48)
s('DigestEncryptUpdate', buffer, UL(48), buffer, c.byref(length))
s.give('EncryptFinal')
same(buffer.raw, plain, 'in place')
same(s.give('DigestFinal'), hashlib.sha256(data).digest(), 'the digest is of the data')

# a buffer that is too small, then one that is not: the data are digested once
begin('Encrypt', 'Digest')
length = UL(0)
s('DigestEncryptUpdate', data, UL(48), None, c.byref(length))
ok(length.value >= 48, 'NULL asks for the length')
length = UL(3)
small = c.create_string_buffer(3)
refuses(TOO_SMALL, lambda: s('DigestEncryptUpdate', data, UL(48), small, c.byref(length)), 'a short buffer')
same(s.give('DigestEncryptUpdate', data, UL(48)), plain, 'and again')
s.give('EncryptFinal')
same(s.give('DigestFinal'), hashlib.sha256(data).digest(), 'digested once')

s('DigestInit', mechanism(SHA256))
refuses(NOT_INITIALIZED, lambda: s.give('DigestEncryptUpdate', data, UL(48)), 'one operation alone')
s('EncryptInit', cbc, UL(aes))
refuses(ARGUMENTS, lambda: s('DigestEncryptUpdate', None, UL(48), small, c.byref(length)), 'no data')
refuses(NOT_INITIALIZED, lambda: s.give('DigestFinal'), 'an error ends both')

# a question for a length does nothing: what ends the operation signs nothing
s('SignInit', mechanism(HMAC), UL(mac))
length = UL(0)
s('Sign', data, UL(48), None, c.byref(length))
same(s.give('SignFinal'), hmac.digest(b'a key for a code', b'', 'sha256'), 'C_SignFinal after a question')

# but of a digest the question is the beginning of C_Digest
s('DigestInit', mechanism(SHA256))
s('Digest', data, UL(48), None, c.byref(length))
same(length.value, 32, 'the length of a digest')
refuses(ACTIVE, lambda: s.give('DigestFinal'), 'C_DigestFinal after a question')
refuses(NOT_INITIALIZED, lambda: s.give('Digest', data, UL(48)), 'and that ends it')

# who tries handles has no parameter: the handle is what is wrong
for kind in ('Encrypt', 'Decrypt'):
    refuses(KEY_HANDLE, lambda: s(kind + 'Init', mechanism(CBC), UL(77777)), '%s: no such key, no parameter' % kind)
    refuses(0x71, lambda: s(kind + 'Init', mechanism(CBC), UL(aes)), '%s: a key, no parameter' % kind)

# C_SignRecover and C_VerifyRecover: with padding and without
PKCS, X509, NOT_PERMITTED, SIGNATURE_RANGE = 0x1, 0x3, 0x68, 0xc1
SIGN_RECOVER, VERIFY_RECOVER, BITS, EXPONENT = 0x109, 0x10b, 0x121, 0x122
public, private = s.pair(0, {BITS: 2048, EXPONENT: b'\1\0\1'}, {})
code = s.run('SignRecover', mechanism(PKCS), private, b'recovered')
same(code, s.run('Sign', mechanism(PKCS), private, b'recovered'), 'with PKCS #1 it is the signature')
length = UL(0)
s('SignRecoverInit', mechanism(PKCS), UL(private))
s('SignRecover', b'recovered', UL(9), None, c.byref(length))
same(length.value, 256, 'NULL asks for the length')
same(s.give('SignRecover', b'recovered', UL(9)), code, 'and the operation is still there')
same(s.run('VerifyRecover', mechanism(PKCS), public, code), b'recovered', 'what was signed comes back')
length = UL(3)
s('VerifyRecoverInit', mechanism(PKCS), UL(public))
refuses(TOO_SMALL, lambda: s('VerifyRecover', code, UL(256), small, c.byref(length)), 'a short buffer')
same((length.value, s.give('VerifyRecover', code, UL(256))), (9, b'recovered'), 'is told the length, and loses nothing')
refuses(SIGNATURE, lambda: s.run('VerifyRecover', mechanism(PKCS), public, code[:-1] + bytes([code[-1] ^ 1])), 'a forged signature')
for m in (PKCS, X509):
    for size in (255, 257):
        refuses(SIGNATURE_RANGE, lambda: s.run('VerifyRecover', mechanism(m), public, bytes(size)), 'a signature of %d bytes' % size)
    for size in (1 << 20, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        s('VerifyRecoverInit', mechanism(m), UL(public))
        refuses(SIGNATURE_RANGE, lambda: s.give('VerifyRecover', bytes(1 << 20), UL(size)), 'nor one that says it has %d bytes' % size)
whole = b'\0' * 4 + os.urandom(252)
code = s.run('SignRecover', mechanism(X509), private, whole)
same(s.run('VerifyRecover', mechanism(X509), public, code), whole, 'without padding')
refuses(SIGNATURE, lambda: s.run('VerifyRecover', mechanism(X509), public, b'\xff' * 256), 'a number above the modulus')
refuses(0x70, lambda: s('SignRecoverInit', mechanism(0x40), UL(private)), 'a hash cannot be recovered from')
refuses(0x90 + 1, lambda: s.give('SignRecover', b'', UL(0)), 'no operation')
for forbidden in ({SIGN: False}, {SIGN_RECOVER: False}):
    _, other = s.pair(0, {BITS: 2048}, forbidden)
    refuses(NOT_PERMITTED, lambda: s('SignRecoverInit', mechanism(PKCS), UL(other)), 'a key that may not')

# C_DigestKey
INDIGESTIBLE, KEY_HANDLE = 0x67, 0x60
readable = s.secret(AES, bytes(range(32)), _103=False, _162=True)
s('DigestInit', mechanism(SHA256))
s('DigestUpdate', b'before', UL(6))
s('DigestKey', UL(readable))
s('DigestUpdate', b'after', UL(5))
same(s.give('DigestFinal'), hashlib.sha256(b'before' + bytes(range(32)) + b'after').digest(), 'a key in a digest')
refuses(NOT_INITIALIZED, lambda: s('DigestKey', UL(readable)), 'C_DigestKey without a digest')
for rv, key, name in ((INDIGESTIBLE, aes, 'a sensitive key'), (KEY_HANDLE, 999999, 'no key'),
                      (KEY_HANDLE, s.create({CLASS: 0, TOKEN: False, VALUE: b'data'}), 'data')):
    s('DigestInit', mechanism(SHA256))
    refuses(rv, lambda: s('DigestKey', UL(key)), name + ' is not digested')
    s('DigestUpdate', b'more', UL(4))
    same(s.give('DigestFinal'), hashlib.sha256(b'more').digest(), 'and the digest goes on')

# C_SeedRandom, C_GetOperationState, C_SetOperationState
s('SeedRandom', bytes(5000), UL(5000))
ok(True, 'a seed is mixed in')
refuses(ARGUMENTS, lambda: s('SeedRandom', None, UL(1)), 'a seed that is not there')
length = UL(0)
refuses(NOT_INITIALIZED, lambda: s('GetOperationState', None, c.byref(length)), 'no operation has no state')
UNSAVEABLE, INVALID, NOT_NEEDED = 0x180, 0x160, 0x64


def restore(state, *keys):
    s('SetOperationState', state, UL(len(state)), *map(UL, keys or (0, 0)))


text, states = bytes(range(256)) * 5, {}
for number, name in ((0x220, 'sha1'), (0x255, 'sha224'), (SHA256, 'sha256'), (0x260, 'sha384'), (0x270, 'sha512')):
    for size in (0, 1, 55, 63, 64, 111, 127, 128, 129, 1000):
        s('DigestInit', mechanism(number))
        if size:
            s('DigestUpdate', text[:size], UL(size))
        s('GetOperationState', None, c.byref(length))
        state = s.give('GetOperationState')
        same(length.value, len(state), 'the state of %s after %d bytes has %d' % (name, size, len(state)))
        s('DigestUpdate', b'more', UL(4))
        same(s.give('DigestFinal'), hashlib.new(name, text[:size] + b'more').digest(), 'which goes on')
        for tail in (b'', b'other', text):
            restore(state)
            if tail:
                s('DigestUpdate', tail, UL(len(tail)))
            same(s.give('DigestFinal'), hashlib.new(name, text[:size] + tail).digest(), 'and is taken up, as often as one likes')
        states[name, size] = state
s('DigestInit', mechanism(SHA256))
s('EncryptInit', cbc, UL(aes))
refuses(UNSAVEABLE, lambda: s.give('GetOperationState'), 'two operations have no state')
restore(states['sha256', 1000])
s('EncryptInit', cbc, UL(aes))
s('EncryptInit', None, UL(0))
ok(True, 'which ends what was under way')
refuses(0x90, lambda: s.give('Digest', b'more', UL(4)), 'a digest that was begun in parts')
refuses(NOT_INITIALIZED, lambda: s.give('DigestFinal'), 'ends when it is asked in one')
for number in (0x2b0, 0x48, 0x401b):
    s('DigestInit', mechanism(number))
    s('DigestUpdate', b'data', UL(4))
    refuses(UNSAVEABLE, lambda: s.give('GetOperationState'), 'digest 0x%x has none' % number)
    s('DigestUpdate', b'data', UL(4))
    s.give('DigestFinal')
s('SignInit', mechanism(HMAC), UL(mac))
refuses(UNSAVEABLE, lambda: s.give('GetOperationState'), 'nor has anything with a key')
s('SignInit', None, UL(0))
s('DigestInit', mechanism(SHA256))
s('DigestKey', UL(readable))
refuses(UNSAVEABLE, lambda: s.give('GetOperationState'), 'nor has a digest of a key')
same(s.give('DigestFinal'), hashlib.sha256(bytes(range(32))).digest(), 'which goes on')
s('DigestInit', mechanism(SHA256))
small_length = UL(10)
refuses(TOO_SMALL, lambda: s('GetOperationState', c.create_string_buffer(10), c.byref(small_length)), 'a short buffer')
same(small_length.value, len(states['sha256', 0]), 'is told the length')
refuses(ARGUMENTS, lambda: s('GetOperationState', None, None), 'no length')
refuses(ARGUMENTS, lambda: s('SetOperationState', None, UL(5), UL(0), UL(0)), 'no state')
good = states['sha512', 1000]
for name, bad in {'nothing': b'', 'words': b'state', 'a short one': good[:-1], 'a longer one': good + b'.', 'another magic': b'X' + good[1:],
                  'another mechanism': good[:4] + (0x2b0).to_bytes(8, 'little') + good[12:], 'another size': good[:4] + (SHA256).to_bytes(8, 'little') + good[12:],
                  'another count': good[:12] + (1001).to_bytes(8, 'little') + good[20:], 'a count without end': good[:12] + b'\xff' * 8 + good[20:],
                  'a page': b'SKD1' * 1024}.items():
    refuses(INVALID, lambda: restore(bad), 'a state that is ' + name)
refuses(NOT_NEEDED, lambda: restore(good, aes, 0), 'it needs no key')
same(s.give('DigestFinal'), hashlib.sha256(b'').digest(), 'what is refused ends nothing')
other = UL()
s.call('OpenSession', UL(s.slot), UL(4), None, None, c.byref(other))
s.call('SetOperationState', other, good, UL(len(good)), UL(0), UL(0))
buffer, length = c.create_string_buffer(64), UL(64)
s.call('DigestFinal', other, buffer, c.byref(length))
same(buffer.raw, hashlib.sha512(text[:1000]).digest(), 'another session goes on')
s.call('CloseSession', other)
refuses(ARGUMENTS, lambda: s('SetOperationState', None, UL(0), UL(0), UL(0)), 'a state that is not there')

# messages (PKCS#11 3.1, 5.9): McGrew and Viega's test case 4
GCM_, PARAM_, FAILED = 0x1087, 0x71, 0x42
h = bytes.fromhex
gcm_key = s.secret(AES, h('feffe9928665731c6d6a8f9467308308'))
text = h('d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39')
sealed = h('42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091')
aad = h('feedfacedeadbeeffeedfacedeadbeefabaddad2')


def message(kind, data, iv, tag, generator=0, fixed=0, bits=128):
    ivs, tags = c.create_string_buffer(iv, len(iv)), c.create_string_buffer(tag, 16)
    parameter = struct((P, c.cast(ivs, P)), len(iv), fixed, generator, (P, c.cast(tags, P)), bits)
    out = s.give(kind + 'Message', c.byref(parameter), UL(c.sizeof(parameter)), aad, UL(len(aad)), data, UL(len(data)))
    return out, ivs.raw, tags.raw


iv = h('cafebabefacedbaddecaf888')
refuses(NOT_INITIALIZED, lambda: message('Encrypt', text, iv, b''), 'no message before its Init')
s('MessageEncryptInit', mechanism(GCM_), UL(gcm_key))
refuses(0x90, lambda: s('MessageEncryptInit', mechanism(GCM_), UL(gcm_key)), 'one Init at a time')
same(message('Encrypt', text, iv, b''), (sealed, iv, h('5bc94fbc3221a5db94fae95ae7121a47')), 'a message with an initial value')
made = [message('Encrypt', text, bytes(12), b'', generator) for generator in (1, 3, 1, 3)]
same(len({iv_ for _, iv_, _ in made}), 4, 'initial values that are made differ')
for generator, fixed, length in ((2, 0, 12), (4, 0, 12), (1, 8, 12), (1, 0, 11), (3, 4, 16), (3, 200, 16)):
    refuses(PARAM_, lambda: message('Encrypt', text, bytes(length), b'', generator, fixed), 'no counter, nor too little randomness')
fixed = message('Encrypt', text, b'fix!' + bytes(12), b'', 3, 32)
same(fixed[1][:4], b'fix!', 'fixed bits stay')
refuses(PARAM_, lambda: message('Encrypt', text, iv, b'', bits=120 + 1), 'a tag of 121 bits')
s('MessageEncryptFinal')
refuses(NOT_INITIALIZED, lambda: s('MessageEncryptFinal'), 'it has ended')
s('MessageDecryptInit', mechanism(GCM_), UL(gcm_key))
for out, iv_, tag in made + [fixed]:
    same(message('Decrypt', out, iv_, tag)[0], text, 'and back')
refuses(FAILED, lambda: message('Decrypt', sealed, iv, bytes(16)), 'a wrong tag')
same(message('Decrypt', sealed, iv, h('5bc94fbc3221a5db94fae95ae7121a47'))[0], text, 'the next message is served')
s('MessageDecryptFinal')
refuses(0x70, lambda: s('MessageEncryptInit', mechanism(CBC, bytes(16)), UL(aes)), 'AES-GCM alone')
refuses(0x60, lambda: s('MessageEncryptInit', mechanism(GCM_), UL(999999)), 'no key')

# a message in parts
ACTIVE, END, TAG = 0x90, 1, h('5bc94fbc3221a5db94fae95ae7121a47')


class Message:
    def __init__(self, kind, tag=b'', associated=aad):
        self.kind = kind
        self.ivs, self.tags = c.create_string_buffer(iv, 12), c.create_string_buffer(tag, 16)
        self.parameter = struct((P, c.cast(self.ivs, P)), 12, 0, 0, (P, c.cast(self.tags, P)), 128)
        s(kind + 'MessageBegin', *self.given(), associated, UL(len(associated)))

    def given(self):
        return c.byref(self.parameter), UL(c.sizeof(self.parameter))

    def next(self, data, flags=0, room=100):
        buffer, length = c.create_string_buffer(room), UL(room)
        s(self.kind + 'MessageNext', *self.given(), data, UL(len(data)), buffer, c.byref(length), UL(flags))
        return buffer.raw[:length.value]


refuses(NOT_INITIALIZED, lambda: Message('Encrypt'), 'no message in parts before its Init')
s('MessageEncryptInit', mechanism(GCM_), UL(gcm_key))
m = Message('Encrypt')
refuses(ACTIVE, lambda: Message('Encrypt'), 'one message at a time')
refuses(ACTIVE, lambda: message('Encrypt', text, iv, b''), 'nor one at once')
out = m.next(text[:7]) + m.next(b'') + m.next(text[7:40])
length = UL(0)
s('EncryptMessageNext', *m.given(), text[40:], UL(20), None, c.byref(length), UL(END))
same(length.value, 20, 'NULL asks for the length of a part')
refuses(TOO_SMALL, lambda: m.next(text[40:], END, 19), 'a short buffer')
same((out + m.next(text[40:], END), m.tags.raw), (sealed, TAG), 'and again: ciphertext and tag of a message in parts')
refuses(NOT_INITIALIZED, lambda: m.next(b'x'), 'a part of no message')
Message('Encrypt')
s('MessageEncryptFinal')
s('EncryptInit', mechanism(ECB), UL(aes))
ok(True, 'Final in the middle of a message ends it')
s('EncryptInit', None, UL(0))

s('MessageDecryptInit', mechanism(GCM_), UL(gcm_key))
m = Message('Decrypt', TAG)
same(m.next(sealed[:33]), b'', 'nothing comes out before the tag was good')
refuses(TOO_SMALL, lambda: m.next(sealed[33:], END, 59), 'the last part gives all')
same(m.next(sealed[33:], END), text, 'and again: the text of a message in parts')
m = Message('Decrypt', bytes(16))
m.next(sealed)
refuses(FAILED, lambda: m.next(b'', END), 'a wrong tag of a message in parts')
m = Message('Decrypt', TAG)
same(m.next(sealed, END), text, 'the next message in parts is served')
s('SessionCancel', UL(0x4))
refuses(NOT_INITIALIZED, lambda: s('MessageDecryptFinal'), 'C_SessionCancel ends it')

# messages that are signed
NONE = None, UL(0)
s('MessageSignInit', mechanism(HMAC), UL(mac))
s('MessageVerifyInit', mechanism(HMAC), UL(mac))
for text in (b'one', b'another', b''):
    code = s.give('SignMessage', *NONE, text, UL(len(text)))
    same(code, hmac.digest(b'a key for a code', text, 'sha256'), 'a message is signed')
    s('VerifyMessage', *NONE, text, UL(len(text)), code, UL(32))
    refuses(SIGNATURE, lambda: s('VerifyMessage', *NONE, text + b'.', UL(len(text) + 1), code, UL(32)), 'another is not verified')
length = UL(0)
s('SignMessage', *NONE, b'one', UL(3), None, c.byref(length))
same(length.value, 32, 'NULL asks for the length')
refuses(PARAM_, lambda: s.give('SignMessage', b'p', UL(1), b'one', UL(3)), 'a message has no parameter')
refuses(NOT_INITIALIZED, lambda: s('SignMessageNext', *NONE, b'one', UL(3), None, None), 'a part of no message')
s('SignMessageBegin', *NONE)
refuses(ACTIVE, lambda: s.give('SignMessage', *NONE, b'one', UL(3)), 'in the middle of another')
s('SignMessageNext', *NONE, b'in ', UL(3), None, None)
s('SignMessageNext', *NONE, b'parts', UL(5), None, c.byref(length))
code = s.give('SignMessageNext', *NONE, b'parts', UL(5))
same(code, hmac.digest(b'a key for a code', b'in parts', 'sha256'), 'a message in parts is signed')
for good in (code, bytes(32), code):
    s('VerifyMessageBegin', *NONE)
    s('VerifyMessageNext', *NONE, b'in ', UL(3), None, UL(0))
    last = lambda: s('VerifyMessageNext', *NONE, b'parts', UL(5), good, UL(32))
    refuses(0 if good == code else SIGNATURE, last, 'and verified, or not')
s('MessageSignFinal')
s('MessageVerifyFinal')
refuses(NOT_INITIALIZED, lambda: s('MessageVerifyFinal'), 'it has ended')
refuses(NOT_INITIALIZED, lambda: s.give('SignMessage', *NONE, b'one', UL(3)), 'no message without its Init')
refuses(0x70, lambda: s('MessageSignInit', mechanism(CBC, bytes(16)), UL(aes)), 'a cipher signs nothing')
s('MessageSignInit', mechanism(PKCS), UL(private))
same(s.give('SignMessage', *NONE, b'rsa', UL(3)), s.run('Sign', mechanism(PKCS), private, b'rsa'), 'by RSA as by HMAC')

# chance
room = c.create_string_buffer(64)
s('GenerateRandom', room, UL(64))
ok(len(set(room.raw)) > 20, 'C_GenerateRandom')

# what runs beside its caller has not been there since 2.01
for function in ('GetFunctionStatus', 'CancelFunction'):
    refuses(0x51, lambda: s(function), 'C_%s' % function)

# users have no name here
PIN = os.environ['PIN'].encode()
s('Logout')
refuses(ARGUMENTS, lambda: s('LoginUser', UL(1), PIN, UL(len(PIN)), b'alice', UL(5)), 'C_LoginUser with a name')
refuses(0xa0, lambda: s('LoginUser', UL(1), b'wrong', UL(5), None, UL(0)), 'with a wrong PIN')
s('LoginUser', UL(1), PIN, UL(len(PIN)), None, UL(0))
refuses(0x100, lambda: s('LoginUser', UL(1), PIN, UL(len(PIN)), None, UL(0)), 'C_LoginUser without one logs in')
done()
