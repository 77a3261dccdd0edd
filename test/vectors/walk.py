"""
A walk over C_GetMechanismList: each mechanism with each flag that it claims, by keys of its smallest and its largest size, at
once and in parts; then what it does not claim, keys of another type, keys that may not, sizes beyond, and mechanisms that the
token does not offer. STANDING is what the token was configured as: the lists of the others are refused here.
"""
from pq_module import use_3_2
from walk_table import *

INVALID, TYPE_INCONSISTENT, NOT_PERMITTED, SIZE, VALUE_INVALID = 0x70, 0x63, 0x68, 0x62, 0x13
WRAPPING_TYPE, UNWRAPPING_TYPE = 0x115, 0xf2
SLOW = {SLH_DSA}


class Walk:
    """What parameters are made of, for the mechanism and key that are being looked at."""
    def __init__(self, s):
        self.s, self.keys, self.length, self.point, self.other = s, Keys(s), len(DATA), b'', 0
        self.target = s.secret(AES, bytes(range(16)), **{'_103': False, '_162': True})

    def mechanism(self, number):
        given = ROWS[number].parameter
        return mechanism(number, given(self) if callable(given) else given)

    def look_at(self, row, size, without=None):
        public, private = self.keys.of(row.kind, size, without) if row.kind is not None else (0, 0)
        if 'Derive' in row.does:
            self.point = self.s.value(public, {EC: EC_POINT, DH: VALUE, DHX: VALUE}[row.kind]) if row.kind in (EC, DH, DHX) else b''
            self.other = private
        return public, private


def pieces(data):
    return data[:1], data[1:17], data[17:]


def in_parts(s, kind, m, key, data, ending=()):
    """Update by Update; what comes out, with what Final gives. `ending` is the signature that Final is given."""
    s(kind + 'Init', m, *([] if kind == 'Digest' else [UL(key)]))
    out = b''
    for piece in pieces(data):
        if kind in ('Encrypt', 'Decrypt'):
            out += s.give(kind + 'Update', piece, UL(len(piece)))
        else:
            s(kind + 'Update', piece, UL(len(piece)))
    if ending:
        return s(kind + 'Final', *ending)
    return out + s.give(kind + 'Final')


def ciphers(walk, number, row, keys, bits):
    public, private = keys
    s, data, m = walk.s, row.data(bits), lambda: walk.mechanism(number)
    once = s.run('Encrypt', m(), public, data)
    parts = in_parts(s, 'Encrypt', m(), public, data)
    if not row.changes:
        same(parts, once, 'encrypts in parts what it encrypts at once')
    for each in (once, parts):
        same(s.run('Decrypt', m(), private, each), data, 'decrypts')
        same(in_parts(s, 'Decrypt', m(), private, each), data, 'decrypts in parts')


def signatures(walk, number, row, keys, bits):
    public, private = keys
    s, data, m = walk.s, row.data(bits), lambda: walk.mechanism(number)
    once = s.run('Sign', m(), private, data)
    parts = in_parts(s, 'Sign', m(), private, data) if row.kind not in SLOW else once
    if not row.changes:
        same(parts, once, 'signs in parts what it signs at once')
    for each in {once, parts}:
        s.verify(m(), public, data, each)
        in_parts(s, 'Verify', m(), public, data, (each, UL(len(each))))
    for bad in (bytes([once[0] ^ 1]) + once[1:], once[:-1]):
        try:
            s.verify(m(), public, data, bad)
            ok(False, 'another signature is refused')
        except Refused as refusal:
            ok(refusal.rv in (0xc0, 0xc1), 'another signature is refused')


def recovery(walk, number, row, keys, bits):
    public, private = keys
    s, data, m = walk.s, row.data(bits), lambda: walk.mechanism(number)
    same(s.run('VerifyRecover', m(), public, s.run('SignRecover', m(), private, data)), data, 'what was signed is recovered')


def digests(walk, number, row, keys, bits):
    s, m = walk.s, lambda: walk.mechanism(number)
    s('DigestInit', m())
    once = s.give('Digest', DATA, UL(len(DATA)))
    same(in_parts(s, 'Digest', m(), 0, DATA), once, 'digests in parts what it digests at once')


def unwrapped(s, m, key, wrapped):
    back = UL()
    s('UnwrapKey', m, UL(key), wrapped, UL(len(wrapped)), *s.template({CLASS: SECRET, KEY_TYPE: AES, **OPEN}), c.byref(back))
    return back.value


def wraps(walk, number, row, keys, bits):
    public, private = keys
    s = walk.s
    walk.length = 16
    wrapped = s.give('WrapKey', walk.mechanism(number), UL(public), UL(walk.target))
    same(s.value(unwrapped(s, walk.mechanism(number), private, wrapped)), bytes(range(16)), 'unwraps what it wraps')
    walk.length = len(DATA)


def derive(walk, number, row, key):
    out = UL()
    as_data = number == 0x402b
    attributes = {TOKEN: False, VALUE_LEN: 1, **row.attributes}
    if not as_data:
        attributes = {**OPEN, CLASS: SECRET, KEY_TYPE: AES if attributes[VALUE_LEN] is None else GENERIC, **attributes}
    attributes = {type_: value for type_, value in attributes.items() if value is not None}
    walk.s('DeriveKey', walk.mechanism(number), UL(key), *walk.s.template(attributes), c.byref(out))
    return out.value, attributes.get(VALUE_LEN)


def derives(walk, number, row, keys, bits):
    handle, length = derive(walk, number, row, keys[1])
    if length is not None:
        same(len(walk.s.value(handle)), length, 'derives a key')
    else:
        ok(True, 'derives')


def generates(walk, number, row, size):
    s = walk.s
    if row.kind in (DSA_KEY, DH, DHX):
        made_ = s.generate(number, {TOKEN: False, 0x133: row.size})
        return same(int.from_bytes(s.value(made_, 0x133), 'little'), row.size, 'makes domain parameters')
    length = row.attributes.get(VALUE_LEN, size)
    kind = {KEY_TYPE: GENERIC} if number == 0x3b0 else {}
    handle = s.generate(number, {**OPEN, VALUE_LEN: length, **kind}, row.parameter(walk) if callable(row.parameter) else row.parameter)
    same((len(s.value(handle)), s.value(handle, 0x166)), (length, number.to_bytes(8, 'little')), 'makes a key of %d bytes' % length)


def generates_pair(walk, number, row, size):
    public = {**describe(row.kind, size), **row.attributes}
    same([walk.s.value(half, 0x166) for half in walk.s.pair(number, public, {})], [number.to_bytes(8, 'little')] * 2, 'makes a pair')


MESSAGE_PARAMETERS = {0x1087: lambda nonce, tag: struct(nonce, 12, 0, 0, tag, 128), 0x4021: lambda nonce, tag: struct(nonce, 12, tag),
                      0x1088: lambda nonce, tag: struct(len(DATA), nonce, 12, 0, 0, tag, 16)}


def messages(walk, number, row, keys, bits):
    s, tag = walk.s, c.create_string_buffer(16)
    parameter = MESSAGE_PARAMETERS[number]((P, pointer(bytes(12))), (P, c.cast(tag, P)))
    data = DATA
    for kind in ('Encrypt', 'Decrypt'):
        s('Message%sInit' % kind, mechanism(number), UL(keys[0]))
        data = s.give(kind + 'Message', c.byref(parameter), UL(c.sizeof(parameter)), b'more', UL(4), data, UL(len(data)))
        s('Message%sFinal' % kind)
    same(data, DATA, 'messages')


def encapsulates(walk, number, row, keys, bits):
    s, handles, room, length = walk.s, [UL(), UL()], c.create_string_buffer(2000), UL(2000)
    wanted = lambda: s.template({CLASS: SECRET, KEY_TYPE: GENERIC, **OPEN})
    s('EncapsulateKey', mechanism(number), UL(keys[0]), *wanted(), room, c.byref(length), c.byref(handles[0]))
    s('DecapsulateKey', mechanism(number), UL(keys[1]), *wanted(), room.raw[:length.value], length, c.byref(handles[1]))
    same(*[s.value(handle.value) for handle in handles], 'both have one secret')


PROOFS = (('Encrypt', ciphers), ('Sign', signatures), ('SignRecover', recovery), ('Digest', digests), ('Wrap', wraps), ('Derive', derives),
          ('MessageEncrypt', messages), ('Encapsulate', encapsulates))


def attempt(walk, number, row, use, keys):
    """The one call that a mechanism, a key's type or its flags may refuse."""
    s, m = walk.s, walk.mechanism(number)
    half = keys[USES[use][1]] if use in USES else 0
    room, length, handle = c.create_string_buffer(5000), UL(5000), UL()
    secret = lambda: s.template({CLASS: SECRET, KEY_TYPE: AES, **OPEN, VALUE_LEN: 16})
    calls = {
        'Digest': lambda: s('DigestInit', m), 'Generate': lambda: s.generate(number, {**OPEN, VALUE_LEN: 16}),
        'GeneratePair': lambda: s.pair(number, {BITS: 1024}, {}), 'Wrap': lambda: s('WrapKey', m, UL(half), UL(walk.target), room, c.byref(length)),
        'Unwrap': lambda: s('UnwrapKey', m, UL(half), bytes(32), UL(32), *s.template({CLASS: SECRET, KEY_TYPE: AES, **OPEN}), c.byref(handle)),
        'Derive': lambda: s('DeriveKey', m, UL(half), *secret(), c.byref(handle)),
        'Encapsulate': lambda: s('EncapsulateKey', m, UL(half), *secret(), room, c.byref(length), c.byref(handle)),
        'Decapsulate': lambda: s('DecapsulateKey', m, UL(half), *secret(), bytes(768), UL(768), c.byref(handle)),
        'MessageEncrypt': lambda: s('MessageEncryptInit', mechanism(number), UL(half)),
        'MessageDecrypt': lambda: s('MessageDecryptInit', mechanism(number), UL(half)),
    }
    calls.get(use, lambda: s(use + 'Init', m, UL(half)))()


def refusals(walk, number, row, keys):
    for use in FLAGS:
        if use not in row.does:
            refuses(INVALID, lambda: attempt(walk, number, row, use, keys), 'does not claim ' + use)
    if row.kind is None or any(use.startswith('Generate') for use in row.does):
        return
    other = EC if row.kind not in (EC, DH, DHX) else EDWARDS
    if row.kind == EDWARDS:
        other = EC
    wrong = walk.keys.of(other, 256 if other == EC else 255)
    for use in row.does:
        code = {'Wrap': WRAPPING_TYPE, 'Unwrap': UNWRAPPING_TYPE, 'Decapsulate': UNWRAPPING_TYPE}.get(use, TYPE_INCONSISTENT)
        refuses(code, lambda: attempt(walk, number, row, use, wrong), use + ' with a key of another type')


def forbidden(walk, number, row, size):
    for use in row.does:
        if use in USES:
            keys = walk.look_at(row, size, use)
            refuses(NOT_PERMITTED, lambda: attempt(walk, number, row, use, keys), use + ' with a key that may not')


BEYOND = {AES: (15, 33), XTS_KEY: (31, 65), DES: (7, 9), DES2: (15, 17), DES3: (23, 25), CHACHA_KEY: (31, 33), POLY_KEY: (31, 33), GENERIC: (0, 4097)}


def no_length(walk, number, row, key):
    for length in (0, 2**64 - 1):
        row.attributes, known = {**row.attributes, VALUE_LEN: length}, row.attributes
        refuses(VALUE_INVALID, lambda: derive(walk, number, row, key), 'derives no key of %d bytes' % length)
        row.attributes = known


def beyond(walk, number, row, least, most):
    """Sizes that are not claimed are not made."""
    def refused(call, name):
        try:
            call()
            ok(False, name)
        except Refused as refusal:
            ok(refusal.rv in (SIZE, VALUE_INVALID), name)
            if refusal.rv not in (SIZE, VALUE_INVALID):
                print('# %x' % refusal.rv)
    if 'Generate' in row.does and row.kind in BEYOND:
        for size in (least - 1, most + 1) if row.unit == 'bytes' and row.kind == GENERIC else BEYOND[row.kind]:
            given = row.parameter(walk) if callable(row.parameter) else row.parameter
            kind = {KEY_TYPE: GENERIC} if number == 0x3b0 else {}
            refused(lambda: walk.s.generate(number, {**OPEN, VALUE_LEN: size, **kind}, given), 'makes no key of %d bytes' % size)
    if 'GeneratePair' in row.does and row.kind == RSA:
        for bits in (least - 8, least // 2, most + 8, most * 2):
            refused(lambda: walk.s.pair(number, {BITS: bits}, {}), 'makes no pair of %d bits' % bits)


def info_of(s, number):
    info = (UL * 3)()
    s.call('GetMechanismInfo', UL(s.slot), UL(number), info)
    return list(info)


def step(walk, number):
    row, (least, most, flags) = ROWS[number], info_of(walk.s, number)
    name = '0x%x: ' % number
    same(flags & 0x300fff06, sum(FLAGS[use] for use in row.does), name + 'claims what the table says')
    sizes = walk.keys.sizes(row.kind, row.unit, least, most) if row.kind is not None else (0,)
    for size in sorted(set(sizes)):
        at = points
        print('# %ssize %d' % (name, size))
        try:
            if 'Generate' in row.does:
                generates(walk, number, row, size)
            elif 'GeneratePair' in row.does:
                generates_pair(walk, number, row, size)
            else:
                keys = walk.look_at(row, size)
                for use, proof in PROOFS:
                    if use in row.does:
                        proof(walk, number, row, keys, size)
        except Refused as refusal:
            ok(False, '%ssize %d: %s' % (name, size, refusal))
    if row.kind is not None and not any(use.startswith('Generate') for use in row.does):
        forbidden(walk, number, row, max(sizes))
    keys = walk.look_at(row, max(sizes)) if row.kind is not None else (walk.target, walk.target)
    refusals(walk, number, row, keys)
    if 'Derive' in row.does and row.attributes.get(VALUE_LEN, 1) is not None:
        no_length(walk, number, row, keys[1])
    beyond(walk, number, row, least, most)


def listed(s):
    count = UL(0)
    s.call('GetMechanismList', UL(s.slot), None, c.byref(count))
    numbers = (UL * count.value)()
    s.call('GetMechanismList', UL(s.slot), numbers, c.byref(count))
    return list(numbers)


walk = Walk(use_3_2(open_session()))
offered = listed(walk.s)
same(sorted(set(offered) - set(ROWS)), [], 'the walk knows every mechanism that is offered')
same(len(offered), len(set(offered)), 'each stands once in the list')
for number in offered:
    step(walk, number)
aes = walk.target, walk.target
for number in sorted(set(ROWS) - set(offered)):
    refuses(INVALID, lambda: info_of(walk.s, number), '0x%x is not offered' % number)
    for use in ROWS[number].does:
        refuses(INVALID, lambda: attempt(walk, number, ROWS[number], use, aes), 'nor done: 0x%x, %s' % (number, use))
done()
