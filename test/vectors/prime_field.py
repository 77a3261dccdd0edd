"""DSA, DH (PKCS #3) and DH (X9.42): published vectors, key pairs, domain parameters, and what hostile numbers get."""
import hashlib
import os

from cryptoki import *

DSA, DH, DHX, DOMAIN = 1, 2, 4, 6
PRIME, SUBPRIME, BASE, PRIME_BITS, SUBPRIME_BITS, VALUE_BITS, PUBLIC_INFO, LOCAL = 0x130, 0x131, 0x132, 0x133, 0x134, 0x160, 0x129, 0x163
DH_PAIR, DH_DERIVE, DHX_PAIR, DHX_DERIVE, DSA_PAIR = 0x20, 0x21, 0x30, 0x31, 0x10
DSA_GEN, DH_GEN, DHX_GEN = 0x2000, 0x2001, 0x2002
PARAM, DOMAIN_INVALID, VALUE_INVALID, SIZE, INCOMPLETE = 0x71, 0x130, 0x13, 0x62, 0xd0
SIGNATURE, SIGNATURE_RANGE, DATA_RANGE, SENSITIVE_, TYPE_INVALID = 0xc0, 0xc1, 0x21, 0x11, 0x12
READ = {SENSITIVE: False, EXTRACTABLE: True}
h = bytes.fromhex
s = open_session()


def number(data):
    return int.from_bytes(data, 'big')


def big(value):
    return value.to_bytes((value.bit_length() + 7) // 8 or 1, 'big')


def key(object_class, key_type, domain, value, **more):
    p, q, g = domain
    attributes = {CLASS: object_class, KEY_TYPE: key_type, TOKEN: False, PRIME: p, BASE: g, VALUE: value}
    if q is not None:
        attributes[SUBPRIME] = q
    if object_class == PRIVATE:
        attributes[DERIVE] = True
    attributes.update({int(k[1:], 16): v for k, v in more.items()})
    return s.create(attributes)


def both(key_type, domain, x):
    p, _, g = map(number, (domain[0], b'\0', domain[2]))
    return key(PUBLIC, key_type, domain, big(pow(g, number(x), p))), key(PRIVATE, key_type, domain, x)


# RFC 6979, A.2.1 and A.2.2: the message "sample"
RFC6979 = [
    ((h('86f5ca03dcfeb225063ff830a0c769b9dd9d6153ad91d7ce27f787c43278b447e6533b86b18bed6e8a48b784a14c252c5be0dbf60b86d6385bd2f12fb763ed88'
        '73abfd3f5ba2e0a8c0a59082eac056935e529daf7c610467899c77adedfc846c881870b7b19b2b58f9be0521a17002e3bdd6b86685ee90b3d9a1b02b782b1779'),
      h('996f967f6c8e388d9e28d01e205fba957a5698b1'),
      h('07b0f92546150b62514bb771e2a0c0ce387f03bda6c56b505209ff25fd3c133d89bbcd97e904e09114d9a7defdeadfc9078ea544d2e401aeecc40bb9fbbf78fd'
        '87995a10a1c27cb7789b594ba7efb5c4326a9fe59a070e136db77175464adca417be5dce2f40d10a46a3a3943f26ab7fd9c0398ff8c76ee0a56826a8a88f1dbd')),
     h('411602cb19a6ccc34494d79d98ef1e7ed5af25f7'),
     {'sha1': '2e1a0c2562b2912caaf89186fb0f42001585da5529efb6b0aff2d7a68eb70ca313022253b9a88df5',
      'sha224': '4bc3b686aea70145856814a6f1bb53346f02101e410697b92295d994d21edd2f4ada85566f6f94c1',
      'sha256': '81f2f5850be5bc123c43f71a3033e9384611c5454cdd914b65eb6c66a8aaad27299bee6b035f5e89',
      'sha384': '07f2108557ee0e3921bc1774f1ca9b410b4ce65a54df70456c86fac10fab47c1949ab83f2c6f7595',
      'sha512': '16c3491f9b8c3fbbdd5e7a7b667057f0d8ee8e1b02c36a127a7b89edbb72e4ffbc71dabc7d4fc69c'}),
    ((h('9db6fb5951b66bb6fe1e140f1d2ce5502374161fd6538df1648218642f0b5c48c8f7a41aadfa187324b87674fa1822b00f1ecf8136943d7c55757264e5a1a44f'
        'fe012e9936e00c1d3e9310b01c7d179805d3058b2a9f4bb6f9716bfe6117c6b5b3cc4d9be341104ad4a80ad6c94e005f4b993e14f091eb51743bf33050c38de2'
        '35567e1b34c3d6a5c0ceaa1a0f368213c3d19843d0b4b09dcb9fc72d39c8de41f1bf14d4bb4563ca28371621cad3324b6a2d392145bebfac748805236f5ca2fe'
        '92b871cd8f9c36d3292b5509ca8caa77a2adfc7bfd77dda6f71125a7456fea153e433256a2261c6a06ed3693797e7995fad5aabbcfbe3eda2741e375404ae25b'),
      h('f2c3119374ce76c9356990b465374a17f23f9ed35089bd969f61c6dde9998c1f'),
      h('5c7ff6b06f8f143fe8288433493e4769c4d988ace5be25a0e24809670716c613d7b0cee6932f8faa7c44d2cb24523da53fbe4f6ec3595892d1aa58c4328a06c4'
        '6a15662e7eaa703a1decf8bbb2d05dbe2eb956c142a338661d10461c0d135472085057f3494309ffa73c611f78b32adbb5740c361c9f35be90997db2014e2ef5'
        'aa61782f52abeb8bd6432c4dd097bc5423b285dafb60dc364e8161f4a2a35aca3a10b1c4d203cc76a470a33afdcbdd92959859abd8b56e1725252d78eac66e71'
        'ba9ae3f1dd2487199874393cd4d832186800654760e1e34c09e4d155179f9ec0dc4473f996bdce6eed1cabed8b6f116f7ad9cf505df0f998e34ab27514b0ffe7')),
     h('69c7548c21d0dfea6b9a51c9ead4e27c33d3b3f180316e5bcab92c933f0e4dbc'),
     {'sha1': '3a1b2dbd7489d6ed7e608fd036c83af396e290dbd602408e8677daabd6e7445ad26fcba19fa3e3058ffc02ca1596cdbb6e0d20cb37b06054f7e36ded0cdbbccf',
      'sha224': 'dc9f4deada8d8ff588e98fed0ab690ffce858dc8c79376450eb6b76c24537e2ca65a9c3bc7babe286b195d5da68616da8d47fa0097f36dd19f517327dc848cec',
      'sha256': 'eace8bdbbe353c432a795d9ec556c6d021f7a03f42c36e9bc87e4ac7932cc8097081e175455f9247b812b74583e9e94f9ea79bd640dc962533b0680793a38d53',
      'sha384': 'b2da945e91858834fd9bf616ebac151edbc4b45d27d0dd4a7f6a22739f45c00b19048b63d9fd6bca1d9bae3664e1bcb97f7276c306130969f63f38fa8319021b',
      'sha512': '2016ed092dc5fb669b8efb3d1f31a91eecb199879be0cf78f02ba062cb4c942ed0c76f84b5f091e141572a639a4fb8c230807eea7d55c8a154a224400aff2351'}),
]
DSA_HASHES = {'sha1': 0x12, 'sha224': 0x13, 'sha256': 0x14, 'sha384': 0x15, 'sha512': 0x16,
              'sha3_224': 0x18, 'sha3_256': 0x19, 'sha3_384': 0x1a, 'sha3_512': 0x1b}

for domain, x, signatures in RFC6979:
    size = len(domain[1])
    public, private = both(DSA, domain, x)
    for name, number_ in DSA_HASHES.items():
        m = mechanism(number_)
        if name in signatures:
            s.verify(m, public, b'sample', h(signatures[name]))
            ok(True, 'RFC 6979: %d bits, %s' % (8 * len(domain[0]), name))
            s.verify(mechanism(0x11), public, hashlib.new(name, b'sample').digest(), h(signatures[name]))
        made = s.run('Sign', m, private, b'sample')
        same(len(made), 2 * size, 'a signature of two subprimes: %s' % name)
        s.verify(m, public, b'sample', made)
        refuses(SIGNATURE, lambda: s.verify(m, public, b'samples', made), 'of another message')
    made = s.run('Sign', mechanism(0x11), private, hashlib.sha256(b'sample').digest())
    s.verify(mechanism(0x14), public, b'sample', made)
    s('SignInit', mechanism(0x14), UL(private))
    s('SignUpdate', b'sam', UL(3))
    s('SignUpdate', b'ple', UL(3))
    s.verify(mechanism(0x14), public, b'sample', s.give('SignFinal'))
    ok(True, 'in parts, and of a hash')
    refuses(DATA_RANGE, lambda: s.run('Sign', mechanism(0x11), private, bytes(21)), 'what is no hash is not signed')
    for wrong in (made[:-1], made + b'\0\0', b'', made[:2 * size - 8]):
        refuses(SIGNATURE_RANGE, lambda: s.verify(mechanism(0x14), public, b'sample', wrong), 'a signature of %d bytes' % len(wrong))
    for wrong in (bytes(2 * size), b'\xff' * (2 * size)):
        refuses(SIGNATURE, lambda: s.verify(mechanism(0x14), public, b'sample', wrong), 'r and s out of range')

# RFC 5114, A.1: the group of 2.1
GROUP = (h('b10b8f96a080e01dde92de5eae5d54ec52c99fbcfb06a3c69a6a9dca52d23b616073e28675a23d189838ef1e2ee652c013ecb4aea906112324975c3cd49b83bf'
           'accbdd7d90c4bd7098488e9c219a73724effd6fae5644738faa31a4ff55bccc0a151af5f0dc8b4bd45bf37df365c1a65e68cfda76d4da708df1fb2bc2e4a4371'),
         h('f518aa8781a8df278aba4e7d64b7cb9d49462353'),
         h('a4d1cbd5c3fd34126765a442efb99905f8104dd258ac507fd6406cff14266d31266fea1e5c41564b777e690f5504f213160217b4b01b886a5e91547f9e2749f4'
           'd7fbd7d3b9a92ee1909d0d2263f80a76a6a24c087a091f531dbf0a0169b6a28ad662a4d18e73afa32d779d5918d08bc8858f4dcef97c2a24855e6eeb22b3b2e5'))
XA = h('b9a3b3ae8fefc1a2930496507086f8455d48943e')
YA = h('2a853b3d92197501b9015b2deb3ed84f5e021dcc3e52f109d3273d2b7521281cbabe0e76ff5727fa8acce26956ba9a1fca26f20228d8693feb10841d84a73600'
       '54ece5a7f5b7a61ad3dfb3c60d2e43106d8727da37df9cce95b478755d06bcea8f9d45965f75a5f3d1df3701165fc9e50c4279ceb07f989540ae96d5d88ed776')
XB = h('9392c9f9eb6a7a6a9022f7d83e7223c6835bbdda')
YB = h('717a6cb053371ff4a3b932941c1e5663f861a1d6ad34ae66576dfb98f6c6cbf9ddd5a56c7833f6bcfdff095582ad868e440e8d09fd769e3ceccdc3d3b1e4cfa0'
       '57776caaf9739b6a9fee8e7411f8d6dac09d6a4edb46cc2b5d5203090eae6126311e53fd2c14b574e6a3109a3da1be41bdceaa186f5ce06716a2b6a07b3c33fe')
Z = h('5c804f454d30d9c4df85271f93528c91df6b48ab5f80b3b59caac1b28f8acba9cd3e39f3cb614525d9521d2e644c53b807b810f340062f257d7d6fbfe8d5e8f0'
      '72e9b6e9afda9413eafb2e8b0699b1fb5a0caceddeaead7e9cfbb36ae2b420835bd83a19fb0b5e96bf8fa4d09e345525167ecd9155416f46f408ed31b63c6e6d')


def x942(kdf, value, shared=b''):
    return mechanism(DHX_DERIVE, struct(kdf, len(shared), (P, pointer(shared)), len(value), (P, pointer(value))))


plain = GROUP[0], None, GROUP[2]
for x, y in ((XA, YB), (XB, YA)):
    same(s.value(s.derive(x942(1, y), key(PRIVATE, DHX, GROUP, x), {})), Z, 'X9.42: RFC 5114, A.1')
    same(s.value(s.derive(mechanism(DH_DERIVE, y), key(PRIVATE, DH, plain, x), {})), Z, 'PKCS #3: the same')
private, own = key(PRIVATE, DHX, GROUP, XA), key(PRIVATE, DH, plain, XA)
same(s.value(s.derive(mechanism(DH_DERIVE, YB), own, {VALUE_LEN: 10})), Z[-10:], 'a shorter key keeps the trailing bytes')
same(s.value(s.derive(mechanism(DH_DERIVE, b'\0' + YB), own, {KEY_TYPE: AES, VALUE_LEN: 32})), Z[-32:], 'an AES key, a value with a zero before it')
refuses(SIZE, lambda: s.derive(mechanism(DH_DERIVE, YB), own, {VALUE_LEN: 129}), 'more than there is')
concatenated = b''.join(hashlib.sha1(Z + i.to_bytes(4, 'big') + b'shared').digest() for i in (1, 2, 3))
same(s.value(s.derive(x942(4, YB, b'shared'), private, {VALUE_LEN: 50})), concatenated[:50], 'X9.42: the KDF that concatenates')
for kdf in (0x3, 0x2, 0x6, 0, 1 << 40):
    refuses(PARAM, lambda: s.derive(x942(kdf, YB), private, {}), 'another KDF')
p = number(GROUP[0])
for name, value in {'nothing': b'', 'zero': b'\0', 'one': b'\1', 'p - 1': big(p - 1), 'p': big(p), 'p + 2': big(p + 2), 'too long': b'\1' * 1033,
                    'as long as nobody needs': b'\1' * 20000}.items():
    refuses(PARAM, lambda: s.derive(mechanism(DH_DERIVE, value), own, {}), 'a public value that is ' + name)
    refuses(PARAM, lambda: s.derive(x942(1, value), private, {}), 'and in X9.42')
refuses(PARAM, lambda: s.derive(x942(1, b'\2'), private, {}), 'X9.42: a value outside the subgroup')
refuses(0x63, lambda: s.derive(mechanism(DH_DERIVE, YB), private, {}), 'a key of the other kind')

# secrets that begin with zeros keep the length of the prime
while True:
    x = os.urandom(20)
    if pow(number(YB), number(x), p) >> 1016 == 0 and 0 < number(x) < number(GROUP[1]):
        break
same(len(s.value(s.derive(mechanism(DH_DERIVE, YB), key(PRIVATE, DH, plain, x), {}))), 128, 'a secret that begins with a zero')

# what hostile numbers get
q, g = number(GROUP[1]), number(GROUP[2])
one, small = key(PUBLIC, DH, plain, YB), GROUP[0][-64:]
BAD = {
    'a short prime': (SIZE, (small, None, b'\2'), b'\3'), 'a long one': (SIZE, (b'\1' * 1026, None, b'\2'), b'\3'),
    'an even one': (DOMAIN_INVALID, (big(p - 1), None, b'\2'), b'\3'), 'a base of one': (DOMAIN_INVALID, (GROUP[0], None, b'\1'), b'\3'),
    'a base of p - 1': (DOMAIN_INVALID, (GROUP[0], None, big(p - 1)), b'\3'), 'a base above p': (DOMAIN_INVALID, (GROUP[0], None, big(p + 5)), b'\3'),
    'a value of zero': (VALUE_INVALID, plain, b'\0'), 'a value of p - 1': (VALUE_INVALID, plain, big(p - 1)), 'a long value': (VALUE_INVALID, plain, b'\1' * 1030),
}
for name, (rv, domain, value) in BAD.items():
    refuses(rv, lambda: key(PUBLIC, DH, domain, value), 'DH: ' + name)
for kind, name in ((DSA, 'DSA'), (DHX, 'X9.42')):
    for what, subprime, base in (('that does not divide', q + 2, g), ('that is even', q + 1, g), ('of one', 1, g), ('whose base is of another order', q, 2),
                                 ('that is composite', (p - 1) // q * 1, g)):
        refuses(DOMAIN_INVALID, lambda: key(PUBLIC, kind, (GROUP[0], big(subprime), big(base)), YB), '%s: a subprime %s' % (name, what))
    refuses(VALUE_INVALID, lambda: key(PUBLIC, kind, GROUP, b'\2'), name + ': a value outside the subgroup')
    for x in (b'\0', GROUP[1], big(q + 1)):
        refuses(VALUE_INVALID, lambda: key(PRIVATE, kind, GROUP, x), name + ': a private value out of range')
    refuses(INCOMPLETE, lambda: key(PUBLIC, kind, plain, YB), name + ': no subprime')
refuses(TYPE_INVALID, lambda: key(PUBLIC, DH, GROUP, YB), 'PKCS #3 has no subprime')
refuses(INCOMPLETE, lambda: s.create({CLASS: PRIVATE, KEY_TYPE: DH, TOKEN: False, PRIME: GROUP[0], BASE: GROUP[2]}), 'no value')

# domain parameters, and pairs with them
for number_, kind, bits, subprime in ((DH_GEN, DH, 2048, None), (DSA_GEN, DSA, 2048, 224), (DHX_GEN, DHX, 2048, None)):
    wanted = {TOKEN: False, PRIME_BITS: bits, 3: b'domain', **({SUBPRIME_BITS: subprime} if subprime else {})}
    made = s.generate(number_, wanted)
    same((s.value(made, CLASS), s.value(made, KEY_TYPE), s.value(made, LOCAL), s.value(made, 3)),
         (DOMAIN.to_bytes(8, 'little'), kind.to_bytes(8, 'little'), b'\1', b'domain'), 'domain parameters')
    domain = s.value(made, PRIME), None if kind == DH else s.value(made, SUBPRIME), s.value(made, BASE)
    same((number(domain[0]).bit_length(), number(s.value(made, PRIME_BITS)[::-1])), (bits, bits), 'of the length that was asked for')
    if kind != DH:
        same((number(domain[1]).bit_length(), number(s.value(made, SUBPRIME_BITS)[::-1])), (subprime or 256,) * 2, 'and of the subprime')
        same(pow(number(domain[2]), number(domain[1]), number(domain[0])), 1, 'the base has its order')
    ok(made in s.find({CLASS: DOMAIN, KEY_TYPE: kind}), 'they are found')
    refuses(TYPE_INVALID, lambda: s.value(made, VALUE), 'they have no value')
    again = s.create({CLASS: DOMAIN, KEY_TYPE: kind, TOKEN: False, **{t: v for t, v in zip((PRIME, SUBPRIME, BASE), domain) if v}})
    same((s.value(again, LOCAL), number(s.value(again, PRIME_BITS)[::-1])), (b'\0', bits), 'brought from outside')
    template_ = {t: v for t, v in zip((PRIME, SUBPRIME, BASE), domain) if v}
    pairs = [s.pair({DH: DH_PAIR, DSA: DSA_PAIR, DHX: DHX_PAIR}[kind], template_, {**READ, DERIVE: True}) for _ in range(2)]
    (public, private), (other, theirs) = pairs
    x, y = number(s.value(private)), number(s.value(public))
    same(pow(number(domain[2]), x, number(domain[0])), y, 'a key pair')
    same([s.value(private, t) for t in template_], [s.value(public, t) for t in template_], 'both halves have the parameters')
    same(s.value(private, PUBLIC_INFO), s.value(public, PUBLIC_INFO), 'and the same CKA_PUBLIC_KEY_INFO')
    if kind == DSA:
        s.verify(mechanism(0x14), public, b'message', s.run('Sign', mechanism(0x14), private, b'message'))
        ok(True, 'which signs and verifies')
    else:
        m = x942 if kind == DHX else lambda _, value: mechanism(DH_DERIVE, value)
        secrets = [s.value(s.derive(m(1, s.value(a)), b, {})) for a, b in ((other, private), (public, theirs))]
        wanted = pow(number(s.value(other)), x, number(domain[0])).to_bytes(bits // 8, 'big')
        same(secrets, [wanted, wanted], 'which agrees')
    refuses(INCOMPLETE, lambda: s.pair({DH: DH_PAIR, DSA: DSA_PAIR, DHX: DHX_PAIR}[kind], {BASE: domain[2]}, {}), 'a pair without its prime')
    hidden = s.pair({DH: DH_PAIR, DSA: DSA_PAIR, DHX: DHX_PAIR}[kind], template_, {})[1]
    refuses(SENSITIVE_, lambda: s.value(hidden), 'a private value that is sensitive')

    # through PKCS #8 and back, of another token's seal
    aes = s.secret(AES, bytes(range(32)))
    m = mechanism(0x2109 + 2)
    wrapped = s.give('WrapKey', m, UL(aes), UL(private))
    handle = UL()
    s('UnwrapKey', m, UL(aes), wrapped, UL(len(wrapped)), *s.template({CLASS: PRIVATE, KEY_TYPE: kind, TOKEN: False, DERIVE: True, **READ}), c.byref(handle))
    same(number(s.value(handle.value)), x, 'wrapped and unwrapped')
    stored = s.create({CLASS: PRIVATE, KEY_TYPE: kind, TOKEN: True, 3: b'stored', VALUE: big(x), DERIVE: True, **READ, **template_})
    same(number(s.value(stored)), x, 'a key of the token')
    s('DestroyObject', UL(stored))

for number_, bits in ((DSA_GEN, 512), (DSA_GEN, 2047), (DSA_GEN, 1 << 40), (DH_GEN, 1024), (DH_GEN, 8191), (DHX_GEN, 4096)):
    refuses(SIZE, lambda: s.generate(number_, {TOKEN: False, PRIME_BITS: bits}), 'parameters of %d bits' % bits)
refuses(SIZE, lambda: s.generate(DSA_GEN, {TOKEN: False, PRIME_BITS: 2048, SUBPRIME_BITS: 160}), 'a subprime of 160 bits')
refuses(INCOMPLETE, lambda: s.generate(DSA_GEN, {TOKEN: False}), 'parameters of no length')
# what old programs ask for
public, private = s.pair(DSA_PAIR, dict(zip((PRIME, SUBPRIME, BASE), GROUP)), {})
s.verify(mechanism(0x12), public, b'old', s.run('Sign', mechanism(0x12), private, b'old'))
made = s.generate(DSA_GEN, {TOKEN: False, PRIME_BITS: 1024})
same((len(s.value(made, PRIME)), len(s.value(made, SUBPRIME))), (128, 20), 'parameters of 1024 bits')

# the longest
made = s.generate(DH_GEN, {TOKEN: False, PRIME_BITS: 8192})
domain = {PRIME: s.value(made, PRIME), BASE: s.value(made, BASE)}
(public, private), (other, theirs) = [s.pair(DH_PAIR, domain, {VALUE_BITS: 400, **READ, DERIVE: True}) for _ in range(2)]
ok(370 < number(s.value(private)).bit_length() <= 400, 'CKA_VALUE_BITS')
same(s.value(s.derive(mechanism(DH_DERIVE, s.value(other)), private, {})), s.value(s.derive(mechanism(DH_DERIVE, s.value(public)), theirs, {})), '8192 bits')
for bits in (100, 8192, 1 << 40):
    refuses(VALUE_INVALID, lambda: s.pair(DH_PAIR, domain, {VALUE_BITS: bits}), 'a private value of %d bits' % bits)
done()
