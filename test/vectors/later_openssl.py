"""What depends on OpenSSL's version: PKCS#11 3.2, whose list says what there is, EdDSA's variants, and how a bad padding of RSA is told."""
from pq_module import *

s = use_3_2(open_session())
version = c.CDLL(os.environ.get('LIBCRYPTO', 'libcrypto.so.3')).OpenSSL_version_num()
has = version >= 0x30500000
count = UL(0)
s.call('GetMechanismList', UL(s.slot), None, c.byref(count))
numbers = (UL * count.value)()
s.call('GetMechanismList', UL(s.slot), numbers, c.byref(count))
NAMES = {0xf, 0x17, 0x1c, 0x1d, 0x1f, *range(0x23, 0x2f), 0x34, *range(0x36, 0x40)}
same(sorted(NAMES & set(numbers)), sorted(NAMES) if has else [], 'what OpenSSL %x has' % version)
for number in sorted(NAMES):
    info = (UL * 3)()
    if has:
        s.call('GetMechanismInfo', UL(s.slot), UL(number), info)
    else:
        refuses(MECHANISM_INVALID, lambda: s.call('GetMechanismInfo', UL(s.slot), UL(number), info), 'no 0x%x' % number)
aes = s.secret(AES, bytes(16))
if not has:
    for key_type in GEN:
        refuses(MECHANISM_INVALID, lambda: pair(s, key_type, 1), 'no pair of 0x%x' % key_type)
        refuses(0x209, lambda: public_key(s, key_type, 1, bytes(800)), 'and none imported')
    for number in (0x1d, 0x2e, 0x24):
        refuses(MECHANISM_INVALID, lambda: s('SignInit', mechanism(number), UL(aes)), 'no signature by 0x%x' % number)
    refuses(MECHANISM_INVALID, lambda: encapsulate(s, aes), 'no encapsulation')
    refuses(MECHANISM_INVALID, lambda: decapsulate(s, aes, bytes(768)), 'and no decapsulation')
refuses(0x7, lambda: s('EncapsulateKey', mechanism(KEM), UL(aes), *s.template(SECRET_KEY), None, None, None), 'nowhere for a length')
refuses(0x7, lambda: s('DecapsulateKey', mechanism(KEM), UL(aes), *s.template(SECRET_KEY), bytes(9), UL(9), None), 'nor for a handle')
refuses(0x112, lambda: decapsulate(s, aes, bytes(5000)), 'too long a ciphertext')

# EdDSA with context and prehash: from 3.2 on
public, private = s.pair(0x1055, {0x180: bytes.fromhex('06032b6570')}, {})
for text, prehash in ((b'foo', 0), (b'', 1), (b'foo', 1)):
    variant = lambda: mechanism(0x1057, struct((c.c_ubyte, prehash), len(text), (P, pointer(text))))
    if version >= 0x30200000:
        s.verify(variant(), public, b'data', s.run('Sign', variant(), private, b'data'))
        ok(True, 'context and prehash')
    else:
        refuses(PARAM_INVALID, lambda: s.run('Sign', variant(), private, b'data'), 'neither context nor prehash')
plain = mechanism(0x1057, struct((c.c_ubyte, 0), 0, (P, None)))
s.verify(mechanism(0x1057), public, b'data', s.run('Sign', plain, private, b'data'))
ok(True, 'a parameter without either is none')
s.run('Sign', mechanism(0x1057), private, b'data')

# PKCS #1 v1.5: from 3.2 on a bad padding gives bytes that only the key's holder could tell from others (implicit rejection)
public, private = s.pair(0, {0x121: 2048}, {})
sealed = s.run('Encrypt', mechanism(1), public, b'seventeen camels')
same(s.run('Decrypt', mechanism(1), private, sealed), b'seventeen camels', 'RSA')
torn = sealed[:-1] + bytes([sealed[-1] ^ 1])
if version >= 0x30200000:
    found = [s.run('Decrypt', mechanism(1), private, torn) for _ in range(2)]
    ok(found[0] == found[1] != b'seventeen camels', 'a bad padding gives the same bytes each time, and no error')
else:
    refuses(0x40, lambda: s.run('Decrypt', mechanism(1), private, torn), 'a bad padding')
done()
