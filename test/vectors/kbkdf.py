"""SP 800-108 in its three modes: a published vector of each, each mode beside the same in Python, further keys, and refusals."""
import hmac

from cryptoki import *

COUNTER, FEEDBACK, PIPELINE = 0x3ac, 0x3ad, 0x3ae
HMACS = {0x221: 'sha1', 0x256: 'sha224', 0x251: 'sha256', 0x261: 'sha384', 0x271: 'sha512', 0x2b1: 'sha3_256'}
AES_CMAC, CHACHA = 0x108a, 0x33
PARAM, SIZE, INCOMPLETE, TYPE, SENSITIVE_ = 0x71, 0x62, 0xd0, 0x63, 0x11
h = bytes.fromhex
s = open_session()


class Data(c.Structure):
    _fields_ = [('kind', UL), ('value', P), ('length', UL)]


class CounterFormat(c.Structure):
    _fields_ = [('little', BYTE), ('bits', UL)]


class LengthFormat(c.Structure):
    _fields_ = [('method', UL), ('little', BYTE), ('bits', UL)]


class Derived(c.Structure):
    _fields_ = [('attributes', P), ('count', UL), ('out', P)]


def field(kind, value):
    if value is None:
        return Data(kind, None, 0)
    if isinstance(value, bytes):
        return Data(kind, pointer(value), len(value))
    kept.append(value)
    return Data(kind, c.cast(c.pointer(value), P), c.sizeof(value))


def variable(bits=None, little=False):
    return field(1, None if bits is None else CounterFormat(little, bits))


def counter(bits, little=False):
    return field(2, CounterFormat(little, bits))


def length(bits, method=1, little=False):
    return field(3, LengthFormat(method, little, bits))


def data(value):
    return field(4, value)


def kdf(number, prf, fields, iv=b'', more=()):
    keys = (Derived * max(1, len(more)))()
    handles = [UL() for _ in more]
    for slot, attributes, handle in zip(keys, more, handles):
        made, count = template(attributes)
        slot.attributes, slot.count, slot.out = c.cast(made, P), count, c.cast(c.pointer(handle), P)
    array = (Data * len(fields))(*fields)
    kept.extend((array, keys))
    middle = (len(iv), (P, pointer(iv))) if number == FEEDBACK else ()
    parameter = struct(prf, len(fields), (P, c.cast(array, P)), *middle, len(more), (P, c.cast(keys, P) if more else None))
    return mechanism(number, parameter), handles


def made(number, prf, key, fields, size, iv=b'', **more):
    return s.value(s.derive(kdf(number, prf, fields, iv)[0], key, {VALUE_LEN: size, **more}))


# NIST CAVP, KBKDF in counter mode: CMAC-AES128, a counter of 8 bits before the fixed data
aes = s.secret(AES, h('dff1e50ac0b69dc40f1051d46c2b069c'))
fixed = h('c16e6e02c5a3dcc8d78b9ac1306877761310455b4e41469951d9e6c2245a064b33fd8c3b01203a7824485bf0a64060c4648b707d2607935699316ea5')
same(made(COUNTER, AES_CMAC, aes, [variable(8), data(fixed)], 16), h('8be8f0869b3c0ba97b71863d1b9f7813'), 'SP800_108_COUNTER_KDF: CAVP, CMAC')

# In feedback mode: HMAC-SHA-256, a counter of 32 bits after the iteration variable; COUNT=0 of those with an initial value
feedback = s.secret(GENERIC, h('93f698e842eed75394d629d957e2e89c6e741f810b623c8b901e38376d068e7b'))
fixed = h('53b89c18690e2057a1d167822e636de50be0018532c431f7f5e37f77139220d5e042599ebe266af5767ee18cd2c5c19a1f0f80')
begin = h('9f575d9059d3e0c0803f08112f8a806de3c3471912cdf42b095388b14b33508e')
same(made(FEEDBACK, 0x251, feedback, [variable(), counter(32), data(fixed)], 64, begin),
     h('bd1476f43a4e315747cf5918e0ea5bc0d98769457477c3ab18b742def0e079a933b756365afb5541f253fee43c6fd788a44041038509e9eeb68f7d65ffbb5f95'),
     'SP800_108_FEEDBACK_KDF: CAVP, HMAC-SHA-256')
unlike = made(FEEDBACK, 0x251, feedback, [variable(), counter(32), data(fixed)], 64)
ok(unlike[:4] != h('bd1476f4'), 'and another without the initial value')

# In double-pipeline mode: HMAC-SHA-256, a counter of 8 bits after the fixed data; COUNT=20
pipeline = s.secret(GENERIC, h('cbc1d6ed024858cd6d5c6da18e203e0342d332a23e176c531acad6fc165c5b52'))
fixed = h('1e0f0c2c7c95a8d98defdad3f92b7685d49b1fb7f7e2ad5622f9848c15aafb62bbb8f81f2b69c161a616248d5796c79f5dc547')
same(made(PIPELINE, 0x251, pipeline, [variable(), data(fixed), counter(8)], 70),
     h('f714cb3f32a2c884e1efa9fa8957f0570788cef7eeeaf36902e68064249a402b079178a023589d7d494ef759a436bb83a5d26b8443e67e46ffcfe51e12fa071d064b4f3adc5b'),
     'SP800_108_DOUBLE_PIPELINE_KDF: CAVP, HMAC-SHA-256')

secret = bytes(range(40))
key = s.secret(GENERIC, secret)
for number, name in HMACS.items():
    prf = lambda *parts: hmac.new(secret, b''.join(parts), name).digest()
    size = len(prf())
    bits = (3 * size - 5) * 8

    def blocks(one):
        return b''.join(one(i) for i in range(1, 4))[:3 * size - 5]

    label, context = b'label\0', b'context'
    same(made(COUNTER, number, key, [variable(32), data(label), data(context), length(32)], bits // 8),
         blocks(lambda i: prf(i.to_bytes(4, 'big'), label, context, bits.to_bytes(4, 'big'))), 'counter mode, %s' % name)
    same(made(COUNTER, number, key, [data(label), variable(16, True), length(64, 2, True), data(context)], bits // 8),
         blocks(lambda i: prf(label, i.to_bytes(2, 'little'), (3 * size * 8).to_bytes(8, 'little'), context)), 'little-endian, elsewhere, by segments')
    last, chain = b'begin', []
    for i in range(1, 4):
        last = prf(last, i.to_bytes(1, 'big'), label, bits.to_bytes(2, 'big'))
        chain.append(last)
    same(made(FEEDBACK, number, key, [variable(), counter(8), data(label), length(16)], bits // 8, b'begin'), b''.join(chain)[:bits // 8], 'feedback mode')
    last, chain = b'', []
    for i in range(3):
        last = prf(last, label)
        chain.append(last)
    same(made(FEEDBACK, number, key, [variable(), data(label)], bits // 8), b''.join(chain)[:bits // 8], 'without initial value and counter')
    a, chain = label, []
    for i in range(1, 4):
        a = prf(a)
        chain.append(prf(a, i.to_bytes(3, 'big'), label))
    same(made(PIPELINE, number, key, [variable(), counter(24), data(label)], bits // 8), b''.join(chain)[:bits // 8], 'double-pipeline mode')

# further keys are cut from the same stream
plain = [variable(32), data(b'label'), length(32)]
mine = {CLASS: SECRET, KEY_TYPE: AES, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True, VALUE_LEN: 16}
for number, iv in ((COUNTER, b''), (FEEDBACK, b'begin'), (PIPELINE, b'')):
    fields = plain if number == COUNTER else [variable(), data(b'label'), length(32)]
    stream = made(number, 0x251, key, fields, 72, iv)
    m, more = kdf(number, 0x251, fields, iv, [{**mine, KEY_TYPE: CHACHA, VALUE_LEN: 32}, {k: v for k, v in mine.items() if k != VALUE_LEN} | {KEY_TYPE: CHACHA}])
    first = s.derive(m, key, {VALUE_LEN: 8})
    same(s.value(first) + b''.join(s.value(handle.value) for handle in more), stream, 'three keys of 8, 32 and 32 bytes in mode %x' % number)
before = set(s.find({}))
m, more = kdf(COUNTER, 0x251, plain, more=[mine, {**mine, VALUE_LEN: 17}])
try:
    s.derive(m, key, {VALUE_LEN: 8})
    ok(False, 'an AES key of 17 bytes among them')
except Refused:
    same((set(s.find({})), [handle.value for handle in more]), (before, [0, 0]), 'when one fails, none is made')
m, _ = kdf(COUNTER, 0x251, plain, more=[{k: v for k, v in mine.items() if k != VALUE_LEN}])
refuses(INCOMPLETE, lambda: s.derive(m, key, {VALUE_LEN: 8}), 'one of them without a length')
hidden = s.derive(kdf(COUNTER, 0x251, plain)[0], key, {VALUE_LEN: 32, SENSITIVE: None, EXTRACTABLE: None})
refuses(SENSITIVE_, lambda: s.value(hidden), 'silence hides')

fields = {'no iteration variable': [data(b'l')], 'two': [variable(8), variable(8)], 'a counter beside it': [variable(8), counter(8)],
          'no form': [variable(), data(b'l')], 'a counter of 12 bits': [variable(12)], 'of 40': [variable(40)],
          'a length twice': [variable(8), length(8), length(8)], 'a length by nothing': [variable(8), length(8, 3)],
          'something else': [variable(8), field(6, b'l')], 'nothing': []}
for name, wrong in fields.items():
    refuses(PARAM, lambda: made(COUNTER, 0x251, key, wrong, 16), 'counter mode: ' + name)
for name, wrong in {'a form for the variable': [variable(8)], 'two counters': [variable(), counter(8), counter(8)]}.items():
    refuses(PARAM, lambda: made(FEEDBACK, 0x251, key, wrong, 16), 'feedback mode: ' + name)
refuses(PARAM, lambda: made(COUNTER, 0x250, key, plain, 16), 'a hash is no PRF')
refuses(TYPE, lambda: made(COUNTER, AES_CMAC, key, plain, 16), 'CMAC of a generic secret')
refuses(INCOMPLETE, lambda: s.derive(kdf(COUNTER, 0x251, plain)[0], key, {}), 'no length')
refuses(SIZE, lambda: made(COUNTER, 0x221, s.secret(GENERIC, b'k'), [variable(8)], 4097), 'longer than a key can be')
same(len(made(COUNTER, AES_CMAC, aes, [variable(8)], 255 * 16)), 4080, 'a counter of 8 bits gives 255 blocks')
refuses(SIZE, lambda: made(COUNTER, AES_CMAC, aes, [variable(8)], 4081), 'and no more')
refuses(PARAM, lambda: made(COUNTER, 0x251, key, [variable(8), data(bytes(3000))], 16), 'more data than there is room for')
done()
