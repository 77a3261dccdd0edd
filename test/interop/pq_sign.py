"""Post-quantum signatures and the variants of EdDSA, through the module; verification with the signature first; wrapping with associated data."""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../vectors'))
from pq_module import *

s = use_3_2(open_session())
DATA = os.urandom(3000)
HASHES = [(0x255, 'sha224'), (0x250, 'sha256'), (0x260, 'sha384'), (0x270, 'sha512'), (0x2b5, 'sha3_224'), (0x2b0, 'sha3_256'),
          (0x2c0, 'sha3_384'), (0x2d0, 'sha3_512'), (None, 'shake128'), (None, 'shake256')]
BYTES = {ML_DSA: {1: 2420, 2: 3309, 3: 4627},
         SLH_DSA: {1: 7856, 2: 7856, 3: 17088, 4: 17088, 5: 16224, 7: 35664, 8: 35664, 9: 29792, 11: 49856, 12: 49856}}

for key_type, sets in BYTES.items():
    number = SIGN_WITH[key_type]
    for parameters, length in sets.items():
        name = '0x%x %d' % (key_type, parameters)
        public, private = pair(s, key_type, parameters)
        signature = sign(s, number, None, private, DATA)
        same(len(signature), length, name + ': length')
        verify(s, number, None, public, DATA, signature)
        ok(True, name + ': verifies')
        verify(s, number, context(), public, DATA, signature)
        ok(True, name + ': an empty context is none')
        torn = signature[:-1] + bytes([signature[-1] ^ 1])
        refuses(SIGNATURE_INVALID, lambda: verify(s, number, None, public, DATA, torn), name + ': a torn signature')
        refuses(SIGNATURE_INVALID, lambda: verify(s, number, None, public, DATA + b'x', signature), name + ': other data')
        refuses(SIGNATURE_INVALID, lambda: verify(s, number, context(b'c'), public, DATA, signature), name + ': another context')
        refuses(SIGNATURE_LEN, lambda: verify(s, number, None, public, DATA, signature[:-1]), name + ': a short signature')
        far = public_key(s, key_type, parameters, s.value(public))
        verify(s, number, None, far, DATA, signature)
        ok(True, name + ': by the public value alone')

for key_type, parameters in ((ML_DSA, 2), (SLH_DSA, 3)):
    number, made, hashing = SIGN_WITH[key_type], HASHED_BY_CALLER[key_type], HASHING[key_type]
    public, private = pair(s, key_type, parameters)
    name = '0x%x' % key_type
    fixed = [sign(s, number, context(b'ctx', DETERMINISTIC), private, DATA) for _ in range(2)]
    same(fixed[0], fixed[1], name + ': deterministic')
    hedged = [sign(s, number, context(b'ctx', HEDGED), private, DATA) for _ in range(2)]
    ok(hedged[0] != hedged[1] != fixed[0], name + ': hedged')
    for each in fixed[:1] + hedged:
        verify(s, number, context(b'ctx', HEDGED), public, DATA, each)
        ok(True, name + ': with its context')
    longest = context(bytes(range(255)), DETERMINISTIC)
    verify(s, number, longest, public, DATA, sign(s, number, longest, private, DATA))
    ok(True, name + ': a context of 255 bytes')
    for bad in (context(bytes(256)), context(b'', 3), struct(0, 0), bytes(24)):
        refuses(PARAM_INVALID if not isinstance(bad, bytes) else 0, lambda: s('SignInit', mechanism(number, bad), UL(private)),
                name + ': a parameter') if not isinstance(bad, bytes) else None
    # parts, empty data, data of several frames
    for data in (b'', b'x', os.urandom(70000), os.urandom(1000001)):
        m = mechanism(number, context(b'', DETERMINISTIC))
        whole = s.run('Sign', m, private, data)
        s('SignInit', m, UL(private))
        for at in range(0, len(data), 40000):
            s('SignUpdate', data[at:at + 40000], UL(len(data[at:at + 40000])))
        same(s.give('SignFinal'), whole, name + ': %d bytes in parts' % len(data))
        verify(s, number, None, public, data, whole)
        s('VerifySignatureInit', mechanism(number), UL(public), whole, UL(len(whole)))
        for at in range(0, len(data), 40000):
            s('VerifySignatureUpdate', data[at:at + 40000], UL(len(data[at:at + 40000])))
        s('VerifySignatureFinal')
        ok(True, name + ': %d bytes, the signature first' % len(data))
    # prehash: here, and by the caller
    for i, (hash, algorithm) in enumerate(HASHES):
        parameter = context(b'pre', DETERMINISTIC)
        signature = sign(s, hashing + i, parameter, private, DATA)
        verify(s, hashing + i, parameter, public, DATA, signature)
        ok(signature != sign(s, number, parameter, private, DATA), name + ': %s is not the message itself' % algorithm)
        if hash:
            made_by_caller = hashlib.new(algorithm, DATA).digest()
            same(sign(s, made, context(b'pre', DETERMINISTIC, hash), private, made_by_caller), signature, name + ': %s by the caller' % algorithm)
            refuses(0x21, lambda: sign(s, made, context(b'', 0, hash), private, DATA), name + ': what is no %s' % algorithm)
    refuses(PARAM_INVALID, lambda: s('SignInit', mechanism(made, context(b'', 0, 0x210)), UL(private)), name + ': MD5')
    refuses(PARAM_INVALID, lambda: s('SignInit', mechanism(made), UL(private)), name + ': no hash')
    refuses(NOT_PERMITTED, lambda: s('SignInit', mechanism(number), UL(pair(s, key_type, parameters, {}, {SIGN: False})[1])), name + ': CKA_SIGN false')
    refuses(0x63, lambda: s('SignInit', mechanism(0x1041), UL(private)), name + ': ECDSA with it')

# verification with the signature first: of any mechanism, and apart from the other kind
mac = s.secret(GENERIC, b'a key for a code')
code = s.run('Sign', mechanism(0x251), mac, DATA)
s('VerifySignatureInit', mechanism(0x251), UL(mac), code, UL(32))
refuses(0x91, lambda: s('Verify', DATA, UL(len(DATA)), code, UL(32)), 'C_Verify of it')
s('VerifySignature', DATA, UL(len(DATA)))
ok(True, 'an HMAC')
s('VerifySignatureInit', mechanism(0x251), UL(mac), bytes(32), UL(32))
refuses(SIGNATURE_INVALID, lambda: s('VerifySignature', DATA, UL(len(DATA))), 'a wrong one')
refuses(0x91, lambda: s('VerifySignature', DATA, UL(len(DATA))), 'and it is over')
s('VerifyInit', mechanism(0x251), UL(mac))
refuses(0x91, lambda: s('VerifySignatureUpdate', DATA, UL(len(DATA))), 'the other kind')
refuses(0x91, lambda: s('VerifySignatureFinal'), 'and its end')
s('Verify', DATA, UL(len(DATA)), code, UL(32))
s('VerifySignatureInit', mechanism(0x251), UL(mac), code, UL(32))
s('VerifySignatureInit', None, UL(0), None, UL(0))
refuses(0x91, lambda: s('VerifySignatureFinal'), 'cancelled')
refuses(7, lambda: s('VerifySignatureInit', mechanism(0x251), UL(mac), None, UL(32)), 'no signature')
refuses(SIGNATURE_LEN, lambda: s('VerifySignatureInit', mechanism(0x251), UL(mac), bytes(50000), UL(50000)), 'too long a signature')

# EdDSA with context and prehash: RFC 8032, 7.2, 7.3, 7.4, 7.5
ED25519, ED448 = bytes.fromhex('06032b6570'), bytes.fromhex('06032b6571')
SEEDS = {
    'Ed25519ctx': (ED25519, '0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6', 'f726936d19c800494e3fdaff20b276a8', b'foo', False,
                   '55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a8b36950b95130022907a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d'),
    'Ed25519ph': (ED25519, '833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42', '616263', b'', True,
                  '98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406'),
    'Ed448 with context': (ED448, 'c4eab05d357007c632f3dbb48489924d552b08fe0c353a0d4a1f00acda2c463afbea67c5e8d2877c5e3bc397a659949ef8021e954e0a12274e', '03', b'foo', False,
                           'd4f8f6131770dd46f40867d6fd5d5055de43541f8c5e35abbcd001b32a89f7d2151f7647f11d8ca2ae279fb842d607217fce6e042f6815ea000c85741de5c8da1144a6a1aba7f96de42505d7a7298524fda538fccbbb754f578c1cad10d54d0d5428407e85dcbc98a49155c13764e66c3c00'),
    'Ed448ph': (ED448, '833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42ef7822e0d5104127dc05d6dbefde69e3ab2cec7c867c6e2c49', '616263', b'', True,
                '822f6901f7480f3d5f562c592994d9693602875614483256505600bbc281ae381f54d6bce2ea911574932f52a4e6cadd78769375ec3ffd1b801a0d9b3f4030cd433964b6457ea39476511214f97469b57dd32dbc560a9a94d00bff07620464a3ad203df7dc7ce360c3cd3696d9d9fab90f00'),
}
for name, (curve, secret, message, text, prehash, wanted) in SEEDS.items():
    key = s.create({CLASS: PRIVATE, KEY_TYPE: EDWARDS, TOKEN: False, 0x180: curve, VALUE: bytes.fromhex(secret)})
    point = s.value(key, INFO)[-len(secret) // 2:]
    public = s.create({CLASS: PUBLIC, KEY_TYPE: EDWARDS, TOKEN: False, 0x180: curve, 0x181: point})
    layout = struct((c.c_ubyte, int(prehash)), len(text), (P, pointer(text)))
    m = lambda: mechanism(0x1057, layout)
    same(s.run('Sign', m(), key, bytes.fromhex(message)).hex(), wanted, name)
    s.verify(m(), public, bytes.fromhex(message), bytes.fromhex(wanted))
    ok(True, name + ' verifies')
    refuses(SIGNATURE_INVALID, lambda: s.verify(mechanism(0x1057), public, bytes.fromhex(message), bytes.fromhex(wanted)), name + ' is not the plain one')

# wrapping with associated data: the tag apart, the initial value made here
aes = s.secret(AES, bytes(range(32)), _106=True, _107=True)
inner = s.secret(AES, bytes(range(16)), _162=True, _103=False)
iv, tag = c.create_string_buffer(12), c.create_string_buffer(16)
message = lambda generator: struct((P, c.cast(iv, P)), 12, 0, generator, (P, c.cast(tag, P)), 128)
wrapped = s.give('WrapKeyAuthenticated', mechanism(0x1087, message(1)), UL(aes), UL(inner), b'who', UL(3))
same(len(wrapped), 16, 'without its tag')
ok(iv.raw != bytes(12) and tag.raw != bytes(16), 'initial value and tag come back')
length = UL(0)
s('WrapKeyAuthenticated', mechanism(0x1087, message(1)), UL(aes), UL(inner), b'who', UL(3), None, c.byref(length))
same(length.value, 16, 'NULL asks for the length')
saved = iv.raw, tag.raw
wrapped = s.give('WrapKeyAuthenticated', mechanism(0x1087, message(1)), UL(aes), UL(inner), b'who', UL(3))
attributes = {CLASS: SECRET, KEY_TYPE: AES, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}
unwrap = lambda aad: s('UnwrapKeyAuthenticated', mechanism(0x1087, message(0)), UL(aes), wrapped, UL(16), *s.template(attributes), aad, UL(len(aad)), c.byref(handle))
handle = UL()
unwrap(b'who')
same(s.value(handle.value), bytes(range(16)), 'unwrapped')
refuses(0x110, lambda: unwrap(b'whom'), 'other associated data')
ccm = lambda generator: struct(16, (P, c.cast(iv, P)), 12, 0, generator, (P, c.cast(tag, P)), 16)
wrapped = s.give('WrapKeyAuthenticated', mechanism(0x1088, ccm(1)), UL(aes), UL(inner), b'who', UL(3))
s('UnwrapKeyAuthenticated', mechanism(0x1088, ccm(0)), UL(aes), wrapped, UL(16), *s.template(attributes), b'who', UL(3), c.byref(handle))
same(s.value(handle.value), bytes(range(16)), 'by AES-CCM')
refuses(MECHANISM_INVALID, lambda: s('WrapKeyAuthenticated', mechanism(0x210b), UL(aes), UL(inner), None, UL(0), None, c.byref(length)), 'a mechanism without associated data')

# the rest of 3.2
flags = UL(7)
s('GetSessionValidationFlags', UL(1), c.byref(flags))
same(flags.value, 0, 'no validation is claimed')
refuses(7, lambda: s('GetSessionValidationFlags', UL(1), None), 'nowhere to say it')
refuses(0x91, lambda: s('AsyncComplete', b'C_Sign', None), 'nothing is asynchronous')
refuses(0x91, lambda: s('AsyncGetID', b'C_Sign', c.byref(flags)), 'no')
refuses(0x160, lambda: s('AsyncJoin', b'C_Sign', UL(1), None, UL(0)), 'no')
refuses(0x205, lambda: s.call('OpenSession', UL(s.slot), UL(0xe), None, None, c.byref(flags)), 'nor a session')
done()
