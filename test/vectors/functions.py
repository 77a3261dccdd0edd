"""Functions that pkcs11js does not have: two operations over the same data."""
import hashlib
import hmac
import os

from cryptoki import *

CBC, ECB, SHA256, HMAC = 0x1082, 0x1081, 0x250, 0x251
NOT_INITIALIZED, TOO_SMALL, ARGUMENTS, SIGNATURE = 0x91, 0x150, 0x7, 0xc0
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
done()
