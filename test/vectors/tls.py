"""Keys of TLS 1.2 as NSS and SunPKCS11 derive them: published vectors, a session of Python's hmac beside it, and refusals."""
import hashlib
import hmac

from cryptoki import *

PRE_MASTER, MASTER, MASTER_DH, KEYS, SAFE = 0x374, 0x3e0, 0x3e2, 0x3e1, 0x3e3
KDFS, MACS = (0x3d9, 0x3e5), (0x3d8, 0x3e4)
PARAM, SIZE, INCONSISTENT, INCOMPLETE, SIG, TYPE, SENSITIVE_, HANDLE = 0x71, 0x62, 0xd1, 0xd0, 0xc0, 0x63, 0x11, 0x82
SHA1, SHA256, SHA384, GCM = 0x220, 0x250, 0x260, 0x1087
h = bytes.fromhex
s = open_session()


def prf(name, secret, label, seed, length):
    out, a = b'', label + seed
    while len(out) < length:
        a = hmac.new(secret, a, name).digest()
        out += hmac.new(secret, a + label + seed, name).digest()
    return out[:length]


class Randoms(c.Structure):
    _fields_ = [('client', P), ('client_len', UL), ('server', P), ('server_len', UL)]


class Out(c.Structure):
    _fields_ = [('keys', UL * 4), ('iv', P * 2)]


def randoms(client, server):
    return (Randoms, Randoms(pointer(client), len(client), pointer(server), len(server)))


def master(number, client, server, hash_=SHA256, version=None):
    return mechanism(number, struct(randoms(client, server), (P, version), hash_))


def keys(number, base, client, server, mac, key, iv, attributes, hash_=SHA256, ivs=True, export=False):
    out = Out()
    room = [c.create_string_buffer(16) for _ in range(2)]
    if ivs:
        out.iv = (P * 2)(*(c.cast(buffer, P) for buffer in room))
    m = mechanism(number, struct(mac, key, iv, (BYTE, export), randoms(client, server), (P, c.cast(c.pointer(out), P)), hash_))
    whole = {CLASS: SECRET, KEY_TYPE: AES, TOKEN: False, **attributes}
    s('DeriveKey', m, UL(base), *s.template({k: v for k, v in whole.items() if v is not None}), None)
    return list(out.keys), [buffer.raw[:iv // 8] for buffer in room]


def kdf(number, secret, label, client, server, length, context=None, hash_=SHA256):
    parts = (P, pointer(context or b'\0') if context is not None else None), len(context or b'')
    return s.value(s.derive(mechanism(number, struct(hash_, label, randoms(client, server), *parts)), secret, {VALUE_LEN: length}))


OPEN = {'_103': False, '_162': True}

# the test vector of the TLS working group for the PRF with SHA-256
secret = s.secret(GENERIC, h('9bbe436ba940f017b17652849a71db35'))
seed, label = h('a0ba9f936cda311827a6f796ffd5198c'), b'test label'
expected = h('e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17'
             'abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66')
for number in KDFS:
    same(kdf(number, secret, label, seed[:8], seed[8:], 100), expected, 'TLS KDF %x: the PRF with SHA-256' % number)
same(kdf(KDFS[0], secret, label, b'', seed, 100), expected, 'an empty random')

# NIST CAVP, TLS 1.2 with SHA-256 (SP 800-135)
pre = h('f8938ecc9edebc5030c0c6a441e213cd24e6f770a50dda07876f8d55da062bcadb386b411fd4fe4313a604fce6c17fbc')
hello = h('36c129d01a3200894b9179faac589d9835d58775f9b5ea3587cb8fd0364cae8c'), h('f6c9575ed7ddd73e1f7d16eca115415812a43c2b747daaaae043abfb50053fce')
client, server = h('62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616'), h('ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868')
wanted = h('202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf')
block = h('d06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531016a2530c51a3a0f7e1d6590d0f0566b2f387f8d11fd4f731cdd572d2eae927f'
          '6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679485d966f1ad6f68b43495b10a683755ea2b858d70ccac7ec8b053c6bd41ca299d4e51928')
base = s.secret(GENERIC, pre, **OPEN)
version = c.create_string_buffer(2)
made = s.derive(master(MASTER, *hello, version=c.cast(version, P)), base, {DERIVE: True})
same(s.value(made), wanted, 'TLS12_MASTER_KEY_DERIVE: CAVP')
same(version.raw, pre[:2], 'and the version of the pre-master secret')
same(s.value(s.derive(master(MASTER, *hello), base, {VALUE_LEN: 48})), wanted, 'a version nobody wants')
same(s.value(s.derive(master(MASTER_DH, *hello), base, {})), wanted, 'TLS12_MASTER_KEY_DERIVE_DH')
same(s.value(s.derive(master(MASTER_DH, *hello, hash_=SHA384), s.secret(GENERIC, bytes(32)), {})),
     prf('sha384', bytes(32), b'master secret', b''.join(hello), 48), 'of a shorter secret, with SHA-384')
refuses(PARAM, lambda: s.derive(master(MASTER_DH, *hello, version=c.cast(version, P)), base, {}), 'DH has no version')
refuses(SIZE, lambda: s.derive(master(MASTER, *hello), s.secret(GENERIC, bytes(47)), {}), 'a pre-master secret of 47 bytes')
refuses(SIZE, lambda: s.derive(master(MASTER, *hello), base, {VALUE_LEN: 32}), 'a master secret of 32')
refuses(PARAM, lambda: s.derive(master(MASTER, *hello, hash_=0x378), base, {}), 'the PRF of TLS 1.0')
refuses(TYPE, lambda: s.derive(master(MASTER, *hello), s.secret(AES, bytes(32)), {}), 'an AES key')

# the block's 128 bytes: two MAC secrets of 32, two keys of 16, two IVs of 16
handles, ivs = keys(KEYS, made, client, server, 256, 128, 128, {})
same([s.value(handle) for handle in handles], [block[0:32], block[32:64], block[64:80], block[80:96]], 'TLS12_KEY_AND_MAC_DERIVE: CAVP')
same(ivs, [block[96:112], block[112:128]], 'and the initial values')
same([s.value(handle, KEY_TYPE)[0] for handle in handles], [GENERIC, GENERIC, AES, AES], 'MAC secrets and keys')
same(s.run('Sign', mechanism(0x251), handles[0], b'record'), hmac.new(block[:32], b'record', 'sha256').digest(), 'which work')
handles, ivs = keys(KEYS, made, client, server, 0, 256, 32, {})
same((handles[:2], [s.value(handle) for handle in handles[2:]], ivs), ([0, 0], [block[:32], block[32:64]], [block[64:68], block[68:72]]), 'AES-256-GCM: no MAC secrets')
handles, ivs = keys(SAFE, made, client, server, 0, 128, 128, {}, ivs=False)
same([s.value(handle) for handle in handles[2:]], [block[:16], block[16:32]], 'TLS12_KEY_SAFE_DERIVE: the same without initial values')
handles, _ = keys(KEYS, made, client, server, 256, 0, 0, {}, ivs=False)
same((len(s.value(handles[0])), handles[2:]), (32, [0, 0]), 'no cipher')
before = set(s.find({}))
for name, call in {'no place for initial values': lambda: keys(KEYS, made, client, server, 0, 128, 32, {}, ivs=False),
                   'for export': lambda: keys(KEYS, made, client, server, 0, 128, 0, {}, export=True),
                   'an initial value of 17 bytes': lambda: keys(KEYS, made, client, server, 0, 128, 136, {}),
                   'a MAC secret of 9 bits': lambda: keys(KEYS, made, client, server, 9, 128, 0, {}),
                   'no hash': lambda: keys(KEYS, made, client, server, 0, 128, 0, {}, hash_=0)}.items():
    refuses(PARAM, call, 'TLS12_KEY_AND_MAC_DERIVE: ' + name)
refuses(SIZE, lambda: keys(KEYS, made, client, server, 256, 136, 0, {}), 'an AES key of 17 bytes')
refuses(SIZE, lambda: keys(KEYS, secret, client, server, 256, 128, 0, {}), 'a master secret of 16')
refuses(INCOMPLETE, lambda: keys(KEYS, made, client, server, 256, 128, 0, {KEY_TYPE: None}), 'keys of no type')
same(set(s.find({})), before, 'what was made before a failure is gone')
hidden = s.derive(master(MASTER, *hello), base, {DERIVE: True, SENSITIVE: True, EXTRACTABLE: False})
for conflict in ({SENSITIVE: False}, {EXTRACTABLE: True}):
    refuses(INCONSISTENT, lambda: keys(KEYS, hidden, client, server, 256, 128, 128, conflict), 'a template that says otherwise of its keys')
handles, ivs = keys(KEYS, hidden, client, server, 256, 128, 128, {SENSITIVE: True})
for handle in handles:
    refuses(SENSITIVE_, lambda: s.value(handle), 'the keys are as secret as the master secret')
same(ivs, [block[96:112], block[112:128]], 'the initial values are not')

# NIST ACVP, TLS-v1.2-KDF-RFC7627, group 1, case 1, by the number of PKCS#11 3.2 and by that of NSS
EXTENDED, EXTENDED_DH = (0x56, 0xce534369), (0x57, 0xce53436a)


def extended(number, session_hash, hash_=SHA256, version=None):
    return mechanism(number, struct(hash_, session_hash, (P, version)))


offered = h('8252b983a6459a6fb3b9debe8725247e276139ebf7c9adccdd7d240f3ada7f5e3351b2769b6c8dc169a6d799c3c0ffeb')
session = h('1359d7df74cb27c67f74c98d521d442b887eaf0decf6e382c62434d6c3dd7d0d')
their, ours = h('abe7af69affc5e0944f4009b3e7abd1cc0a5cce8db055eff4a509e5b6de9475a'), h('50e0a1a1fd64a55259781a5c22580a81f99799c32f52d3f48d2c10c5c692e289')
expected = h('43a5e821fcf5446c712207f7cd161ed213ee3b9d001d418c57231befd596b583ecd55ab2c4456b02738698f90bc59ac0')
keyed = h('4886e75be82dd4fb73c540729072d3e29b93c164e1cffe071f1212b1237b98dc0b0a5895f331f7180ceb30b17bb8c3e92a074b26325ff975237dbd22320c0b88'
          'd64931f39c777b1527d36a999ad5fe5ee7f53fc42a509beb22634b17ec7b768eaf6a87977cf8670b34d0a76ebce6a659dab6c15b4b86b98b9a63c50bbe1e2a09')
carried = s.secret(GENERIC, offered, **OPEN)
for number, dh in zip(EXTENDED, EXTENDED_DH):
    version = c.create_string_buffer(2)
    extended_made = s.derive(extended(number, session, version=c.cast(version, P)), carried, {DERIVE: True})
    same(s.value(extended_made), expected, 'extended master secret %x: ACVP' % number)
    same(version.raw, offered[:2], 'and the version of the pre-master secret')
    handles, ivs = keys(KEYS, extended_made, their, ours, 256, 128, 128, {})
    same(b''.join([*map(s.value, handles), *ivs]), keyed, 'and its key block')
    same(s.value(s.derive(extended(dh, session), carried, {})), expected, 'extended master secret %x' % dh)
    same(s.value(s.derive(extended(dh, session, SHA384), s.secret(GENERIC, bytes(32)), {})),
         prf('sha384', bytes(32), b'extended master secret', session, 48), 'of a shorter secret, with SHA-384')
    refuses(PARAM, lambda: s.derive(extended(dh, session, version=c.cast(version, P)), carried, {}), 'DH has no version')
    for name, parameter in {'no session hash': (b'', SHA256), 'the PRF of TLS 1.0': (session, 0x378), 'no hash': (session, 0)}.items():
        refuses(PARAM, lambda: s.derive(extended(number, *parameter), carried, {}), name)
    refuses(PARAM, lambda: s.derive(mechanism(number, struct(SHA256, session)), carried, {}), 'half a structure')
    refuses(SIZE, lambda: s.derive(extended(number, session), s.secret(GENERIC, bytes(47)), {}), 'a pre-master secret of 47 bytes')
    refuses(SIZE, lambda: s.derive(extended(number, session), carried, {VALUE_LEN: 32}), 'an extended master secret of 32')
    refuses(TYPE, lambda: s.derive(extended(number, session), s.secret(AES, bytes(32)), {}), 'an AES key')

# a pre-master secret of one's own
key = s.generate(PRE_MASTER, {TOKEN: False, SENSITIVE: False, EXTRACTABLE: True, DERIVE: True}, b'\3\3')
same((len(s.value(key)), s.value(key)[:2]), (48, b'\3\3'), 'TLS_PRE_MASTER_KEY_GEN')
ok(s.value(key) != s.value(s.generate(PRE_MASTER, {TOKEN: False, SENSITIVE: False, EXTRACTABLE: True, VALUE_LEN: 48}, b'\3\3')), 'another one')
refuses(SIZE, lambda: s.generate(PRE_MASTER, {TOKEN: False, VALUE_LEN: 32}, b'\3\3'), 'of 32 bytes')
refuses(PARAM, lambda: s.generate(PRE_MASTER, {TOKEN: False}), 'no version')

# Finished (RFC 5246, 7.4.9) and exporters (RFC 5705, 4)
transcript = hashlib.sha256(b'handshake').digest()
for number in MACS:
    for who, text in ((1, b'server finished'), (2, b'client finished')):
        m = mechanism(number, struct(SHA256, 12, who))
        code = s.run('Sign', m, made, transcript)
        same(code, prf('sha256', wanted, text, transcript, 12), 'TLS MAC %x: %s' % (number, text.decode()))
        s.verify(m, made, transcript, code)
        refuses(SIG, lambda: s.verify(m, made, transcript, bytes(12)), 'a wrong one')
s('SignInit', mechanism(MACS[1], struct(SHA256, 12, 1)), UL(made))
s('SignUpdate', transcript[:5], UL(5))
s('SignUpdate', transcript[5:], UL(27))
same(s.give('SignFinal'), prf('sha256', wanted, b'server finished', transcript, 12), 'TLS MAC in parts')
for name, parameter in {'from neither': (SHA256, 12, 3), 'no length': (SHA256, 0, 1), 'no hash': (1, 12, 1)}.items():
    refuses(PARAM, lambda: s('SignInit', mechanism(MACS[1], struct(*parameter)), UL(made)), 'TLS MAC: ' + name)
refuses(0x21, lambda: s.run('Sign', mechanism(MACS[1], struct(SHA256, 12, 1)), made, bytes(513)), 'TLS MAC: more than a hash')
for context in (None, b'', b'context'):
    extra = b'' if context is None else len(context).to_bytes(2, 'big') + context
    same(kdf(KDFS[1], made, b'EXPORTER-test', client, server, 40, context), prf('sha256', wanted, b'EXPORTER-test', client + server + extra, 40), 'an exporter, context %s' % context)
refuses(INCOMPLETE, lambda: s.derive(mechanism(KDFS[0], struct(SHA256, b'l', randoms(client, server), b'')), made, {}), 'an exporter without a length')

# by a public session, whose keys are public: SunPKCS11 asks so on a token without a login
s('Logout')
PUBLIC_KEY = {'_2': False}
base = s.secret(GENERIC, pre, **OPEN, **PUBLIC_KEY)
version = c.create_string_buffer(2)
made = s.derive(master(MASTER, *hello, version=c.cast(version, P)), base, {DERIVE: True, 2: False})
same((s.value(made), version.raw), (wanted, pre[:2]), 'nobody logged in: a master secret and its version')
handles, ivs = keys(KEYS, made, client, server, 256, 128, 128, {2: False})
same(([s.value(handle) for handle in handles], ivs), ([block[0:32], block[32:64], block[64:80], block[80:96]], [block[96:112], block[112:128]]), 'a key block')
refuses(0x101, lambda: s.derive(master(MASTER, *hello), base, {2: True}), 'a private key is for who is logged in')
done()
