"""SKEYSEED and prf+ of IKEv2: an exchange that NIST's ACVP publishes, from the nonces to the keys of a second association, and refusals."""
import hmac

from cryptoki import *

PRF, PLUS, SHA256_HMAC, SHA512_HMAC, SHA1_HMAC = 0x402f, 0x402e, 0x251, 0x271, 0x221
PARAM, SIZE, INCOMPLETE, TYPE, HANDLE, PERMITTED, INVALID = 0x71, 0x62, 0xd0, 0x63, 0x82, 0x68, 0x70
h = bytes.fromhex
s = open_session()


def prf(key, ni, nr, hash_=SHA256_HMAC, nonces_are_key=False, new=0, length=None, rekey=None):
    rekey = new != 0 if rekey is None else rekey
    m = mechanism(PRF, struct(hash_, (BYTE, nonces_are_key), (BYTE, rekey), ni, nr, new))
    return s.derive(m, key, {DERIVE: True, **({} if length is None else {VALUE_LEN: length})})


def plus(key, seed, length, hash_=SHA256_HMAC, seed_key=0, has=None):
    has = seed_key != 0 if has is None else has
    return s.derive(mechanism(PLUS, struct(hash_, (BYTE, has), seed_key, seed)), key, {} if length is None else {VALUE_LEN: length})


def prf_plus(name, key, seed, length):
    out, last, i = b'', b'', 0
    while len(out) < length:
        i += 1
        last = hmac.new(key, last + seed + bytes([i]), name).digest()
        out += last
    return out[:length]


OPEN = {'_103': False, '_162': True, '_10c': True}
secret = lambda value: s.secret(GENERIC, value, **OPEN)
# NIST ACVP, kdf-components, IKEv2 with SHA-256
ni, nr, spi = h('3651fef5c9c35e93'), h('c09a8b90a3f04d59'), h('8e5c3ae507221684b1f201bb155c3acd')
agreed = h('d084a30166a50fb7325c3960874a839449ef9741c2f4f947d0201dd8c1269273d79509f37e3ca3eb4fa2fe2a28254e289cd3f34dad4eb4df1a07685a4b8a94fa'
           '61e2491f7598b3ce65547ff133b3f63d1ac4175eaa695033f3cedb026a6873a36455172a8540b8a5d23a0143bed0390ee49b168269d75fffee9fb62be965993c')
again = h('52f00ab174c25d5b7139ae5ff4e8e9eddee5992d2e36adf8a559ffd90dab1442e4fbe429d320c0f33552a17d1557fa41ea70e8fb916c4fa27ed52b5f8ebd8461'
          'afa78f1159159a64055ac5f6319e29c28eae58cbc6847770f32c3fed1d04750484f854790f95e9ec01bc5bc461f24966462e359511329305038e94deb6dd42c2')
seed = h('efaa7ab0eaa85a3d0be2100cd4b6fe00ff5025a9eafddb3ef518e9f0d3fe60e6')
material = h('462b9dd525d4fd71169174272779e704baf62c6231779ae9efe8c58b21916b42010164af2111ebd762f6916ca9a6f0ee05c8b320e4ee27705521de2589adea18'
             '78f1a551738af7c88dc4f0bb0c096a3f7d1f1a670fc79f49f678d60d665bb3710c8657f03ba9f62b9a818d7a228968c506e237ae9502aa6db395c61ea6a3e795'
             '04f86b7368bfb5423df79e48809bbccd49fd826d024f63d7c2a5566400a12e736aa034510428f5ea008fe2fc16886fa388274ea6c2b4fcfc6141bf04f8207ef8'
             'afc224ea1059cb220dc0b23ac0e4ccda495a4e131b1d56e223aba5a48e8ed1f5')
child = h('23647677e7d403fa1e3006f19840aee18ad9fecc4215814c4131bdeba98433d8b0e31bfbbddf822abcce5e06486aa388022b75e27e1e68aa5983028b65282c73')
child_dh = h('6a919387a5fa2835fe8a8237e4a14845bd2b9930db87eff7adf268f62186004902dba9aa942d0259a0edc4120b932a503865b57ba8fb88117ef5df7b26799cd8')
rekeyed = h('90722c42bd849e9b72d240fc254174270fa8295de6f0338dafc303a9ec104f12')

shared, fresh = secret(agreed), secret(again)
skeyseed = prf(shared, ni, nr, nonces_are_key=True)
same(s.value(skeyseed), seed, 'IKE_PRF_DERIVE, the nonces as key: ACVP, SKEYSEED')
same(s.value(plus(skeyseed, ni + nr + spi, len(material))), material, 'IKE2_PRF_PLUS_DERIVE: ACVP, the keys of an association')
sk_d = secret(material[:32])
same(s.value(plus(sk_d, ni + nr, 64)), child, 'of a child')
same(s.value(plus(sk_d, ni + nr, 64, seed_key=fresh)), child_dh, 'of a child by another agreement, whose secret begins the seed')
same(s.value(plus(sk_d, b'', 40, seed_key=fresh)), prf_plus('sha256', material[:32], again, 40), 'a seed that is a key alone')
same(s.value(prf(sk_d, ni, nr, new=fresh)), rekeyed, 'IKE_PRF_DERIVE of an older key and a new one: ACVP, a new SKEYSEED')
same(s.value(prf(sk_d, ni, nr)), hmac.new(material[:32], ni + nr, 'sha256').digest(), 'of a key that both sides knew')
same(s.value(prf(sk_d, ni, nr, length=20)), hmac.new(material[:32], ni + nr, 'sha256').digest()[:20], 'of which less is wanted')
same(s.value(plus(sk_d, ni, 200, SHA512_HMAC)), prf_plus('sha512', material[:32], ni, 200), 'prf+ by SHA-512')
same(s.value(plus(sk_d, ni, 4096, SHA1_HMAC)), prf_plus('sha1', material[:32], ni, 4096), 'prf+ by SHA-1, as much as a key may have')

# of a key that is for that PRF alone (the answers of NSS's own test of itself)
SHA256_KEY = 0x2b
known = s.secret(SHA256_KEY, h('9da2d58f57f039f9204e0dd0ef04f372'), **OPEN)
half, other = h('33f17afcb6134cbf1cab59877d42db35'), h('82226eff74dd37eb8b75e675645fc169')
same(s.value(prf(known, half, other)), h('804b4a1e0ec593cfb6e454524149396de234d0dae29f34a8fdb5f9afe76ea652'), 'a key of CKK_SHA256_HMAC: NSS')
same(s.value(plus(known, half, 33)), prf_plus('sha256', h('9da2d58f57f039f9204e0dd0ef04f372'), half, 33), 'and its prf+')
refuses(TYPE, lambda: prf(known, half, other, SHA512_HMAC), 'as the key of another PRF')
refuses(TYPE, lambda: plus(known, half, 32, SHA1_HMAC), 'as the key of another prf+')

for name, call in {'no first nonce': lambda: prf(sk_d, b'', nr), 'no second nonce': lambda: prf(sk_d, ni, b''),
                   'a new key, and the nonces as key': lambda: prf(shared, ni, nr, nonces_are_key=True, new=fresh),
                   'a new key that is none': lambda: prf(sk_d, ni, nr, rekey=True), 'a hash for a PRF': lambda: prf(sk_d, ni, nr, 0x250),
                   'no PRF': lambda: plus(sk_d, ni, 32, 0), 'a code that is cut': lambda: plus(sk_d, ni, 32, 0x252),
                   'no seed': lambda: plus(sk_d, b'', 32), 'a seed that is no key': lambda: plus(sk_d, ni, 32, has=True),
                   'half a structure': lambda: s.derive(mechanism(PLUS, struct(SHA256_HMAC)), sk_d, {VALUE_LEN: 32})}.items():
    refuses(PARAM, call, name)
refuses(SIZE, lambda: prf(sk_d, ni, nr, length=33), 'more than the PRF gives')
refuses(SIZE, lambda: plus(sk_d, ni, 4097), 'more than a key may have')
refuses(INCOMPLETE, lambda: plus(sk_d, ni, None), 'prf+ without a length')
refuses(TYPE, lambda: prf(s.secret(AES, bytes(32), **OPEN), ni, nr), 'an AES key')
refuses(TYPE, lambda: plus(sk_d, ni, 32, seed_key=s.secret(AES, bytes(32), **OPEN)), 'an AES key as seed')
refuses(PERMITTED, lambda: prf(s.secret(GENERIC, agreed, _10c=False), ni, nr), 'a key that may not derive')
refuses(PERMITTED, lambda: plus(sk_d, ni, 32, seed_key=s.secret(GENERIC, again, _10c=False)), 'a second key that may not')
done()
