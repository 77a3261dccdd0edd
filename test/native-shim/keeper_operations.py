"""Operations by keys of every type, in one part and in several; many in one frame."""
import os
from keeper_rig import *  # noqa: F401,F403


def ciphers(agent):
    cell, _, _ = secret(agent, bytes(range(32)))
    run = lambda *a, **o: output(agent.call('cell_operate', u64(cell) + operate(*a, **o)))
    data = os.urandom(300000)
    out = run(BEGIN, ENCRYPT, 1, mechanism=GCM, params=gcm(), data=data[:65536])
    for at in range(65536, 300000, 65536):
        out += run(0, ENCRYPT, 1, data=data[at:at + 65536])
    out += run(FINAL, ENCRYPT, 1)

    def decrypt(ciphertext):
        got = run(BEGIN, DECRYPT, 2, mechanism=GCM, params=gcm(), data=ciphertext[:65536])
        for at in range(65536, len(ciphertext), 65536):
            got += run(0, DECRYPT, 2, data=ciphertext[at:at + 65536])
        ok(got == b'', 'a GCM decryption gives nothing before its end')
        piece = got = run(FINAL, DECRYPT, 2)
        while len(piece) == 65536:
            piece = run(MORE, DECRYPT, 2)
            got += piece
        return got

    ok(decrypt(out) == data, 'a long one gives all of it then, piece by piece')
    ok(run(MORE, DECRYPT, 2) == 'operation_lost', 'and no more')
    ok(decrypt(out[:-1] + bytes([out[-1] ^ 1])) == 'encrypted_data_invalid', 'nothing when the tag is bad')
    short = run(3, ENCRYPT, mechanism=GCM, params=gcm(bits=96), data=b'abc')
    ok(run(3, DECRYPT, mechanism=GCM, params=gcm(bits=96), data=short) == b'abc', 'a shorter tag')
    iv = bytes(16)
    padded = run(3, ENCRYPT, mechanism=CBC_PAD, params=iv, data=b'')
    ok(len(padded) == 16 and run(3, DECRYPT, mechanism=CBC_PAD, params=iv, data=padded) == b'', 'padding of nothing is a block')
    ok(run(3, DECRYPT, mechanism=CBC_PAD, params=iv, data=bytes(16)) == 'encrypted_data_invalid', 'bad padding is one code')
    ok(run(3, DECRYPT, mechanism=CBC_PAD, params=iv, data=bytes(15)) == 'encrypted_data_len_range', 'a bad length another')
    ok(run(3, ENCRYPT, mechanism=0x1082, params=iv, data=bytes(15)) == 'data_len_range', 'CBC takes whole blocks')
    ok(run(3, ENCRYPT, mechanism=0x1081, data=b'') == b'', 'ECB of nothing is nothing')
    ctr = u32(8) + bs(bytes(15) + b'\xff')
    ok(len(run(3, ENCRYPT, mechanism=CTR, params=ctr, data=bytes(16))) == 16, 'a counter may reach its end')
    ok(run(3, ENCRYPT, mechanism=CTR, params=ctr, data=bytes(17)) == 'data_len_range', 'and not go beyond')
    ok(run(3, ENCRYPT, mechanism=0x2109, data=bytes(12)) == 'data_len_range', 'key wrap takes multiples of eight')
    ok(run(3, DECRYPT, mechanism=0x2109, data=run(3, ENCRYPT, mechanism=0x2109, data=bytes(24))) == bytes(24), 'as data too')
    ok(run(3, SIGN, mechanism=HMAC, data=b'') == 'key_type_inconsistent', 'an AES key makes no HMAC')
    ok(len(run(3, SIGN, mechanism=0x108A, data=b'')) == 16, 'but a CMAC')
    generic, _, _ = secret(agent, b'k' * 200, GENERIC)
    mac = output(agent.call('cell_operate', u64(generic) + operate(3, SIGN, mechanism=HMAC, data=b'm')))
    check = lambda s: output(agent.call('cell_operate', u64(generic) + operate(3, VERIFY, mechanism=HMAC, data=b'm', signature=s)))
    ok((check(mac), check(mac[:-1] + b'!'), check(mac[:-1])) == (b'', 'signature_invalid', 'signature_len_range') or mac[-1:] == b'!',
       'a MAC is verified, refused, and refused for its length')


def many(agent):
    cell, _, _ = secret(agent, bytes(32))
    other, _, _ = secret(agent, b'k' * 32, GENERIC)
    gone, _, _ = secret(agent, bytes(32))
    agent.call('cell_drop', u64(gone))
    once, _, _ = secret(agent, bytes(32), uses=1)
    seal = lambda data, by=cell: u64(by) + operate(3, ENCRYPT, mechanism=GCM, params=gcm(), data=data)
    frame = lambda items: u32(len(items)) + b''.join(bs(i) for i in items)

    def results(items):
        reply = agent.call('cell_operate_many', frame(items))
        assert reply['status'] == 'ok', reply
        r, out = Reader(reply['body']), []
        for _ in range(r.u32()):
            status = STATUSES[r.u32()]
            out.append(r.bytes() if status == 'ok' else status)
        assert r.data == b''
        return out

    alone = [output(agent.call('cell_operate', seal(d))) for d in (b'a' * 1024, b'')]
    bad = u64(cell) + operate(3, DECRYPT, mechanism=GCM, params=gcm(), data=alone[0][:-1] + bytes([alone[0][-1] ^ 1]))
    mac = u64(other) + operate(3, SIGN, mechanism=HMAC, data=b'm')
    got = results([seal(b'a' * 1024), bad, seal(b'x', gone), mac, seal(b'1', once), seal(b'2', once), b'', seal(b'')])
    ok(got[0] == alone[0] and got[7] == alone[1], 'several operations in one frame are the same as each alone')
    ok((got[1], got[2]) == ('encrypted_data_invalid', 'cell_unknown'), 'each has its own status')
    ok(len(got[3]) == 32 and len(got[4]) == 17 and got[5] == 'cell_unknown', 'and its own key, whose lease counts it')
    ok(got[6] == 'function_not_supported', 'what is no operation is refused by itself')
    part = u64(cell) + operate(BEGIN, ENCRYPT, 5, mechanism=GCM, params=gcm(), data=b'x')
    ok(results([part, seal(b'')]) == ['function_not_supported', alone[1]], 'a part of an operation has a frame of its own')
    fit = results([seal(bytes(20000))] * 4 + [seal(bytes(17150))])
    ok(len(fit) == 4 and len(fit[3]) == 20016, 'what has no room in the reply is not begun')
    ok(results([seal(bytes(65536))]) == [output(agent.call('cell_operate', seal(bytes(65536))))], 'an item may be as long as a frame of its own')
    rsa, _, _ = made(agent.call('cell_generate', new_key(PRIVATE, RSA) + u64(0) + bs(b'') + template([(BITS, u64(2048))])))
    slow = results([u64(rsa) + operate(3, SIGN, mechanism=PKCS, data=b'x')] * 64)
    ok(0 < len(slow) < 64 and all(len(s) == 256 for s in slow), 'a worker does not go on for long: %d of 64' % len(slow))
    for broken, what in ((u32(0), 'no items'), (frame([seal(b'')] * 65), 'more than the bound'), (u32(2) + bs(seal(b'')), 'one too few'),
                         (frame([seal(b'')]) + b'x', 'bytes after the last'), (u32(1) + u32(ABSENT - 1), 'a length beyond the frame')):
        ok(agent.call('cell_operate_many', broken)['status'] == 'wire_malformed', 'refused whole: ' + what)
    ok(results([seal(b'')]) == [alone[1]], 'and the next is served')
    for each in (cell, other, rsa):
        agent.call('cell_drop', u64(each))


def asymmetric(agent):
    rsa, public, blob = made(agent.call('cell_generate', new_key(PRIVATE, RSA) + u64(0) + bs(b'') + template([(BITS, u64(2048))])))
    ok(blob is None and len(public[0x120]) == 256 and public[0x122] == b'\1\0\1' and public[BITS] == u64(2048), 'an RSA key is made')
    run = lambda cell, *a, **o: output(agent.call('cell_operate', u64(cell) + operate(*a, **o)))
    open_, _, _ = made(agent.call('cell_import', new_key(PUBLIC, RSA) + u64(0) + template([(0x120, public[0x120]), (0x122, public[0x122])])))
    signature = run(rsa, 3, SIGN, mechanism=PKCS, data=b'x' * 36)
    n, e = int.from_bytes(public[0x120], 'big'), 65537
    ok(pow(int.from_bytes(signature, 'big'), e, n).to_bytes(256, 'big') == b'\0\1' + b'\xff' * 217 + b'\0' + b'x' * 36,
       'CKM_RSA_PKCS signs 36 bytes as they are')
    ok(run(open_, 3, VERIFY, mechanism=PKCS, data=b'x' * 36, signature=signature) == b'', 'and the public key verifies them')
    ok(run(rsa, 3, SIGN, mechanism=PKCS, data=b'x' * 246) == 'data_len_range', 'not more than fits')
    ok(run(open_, 3, SIGN, mechanism=PKCS, data=b'x') == 'key_type_inconsistent', 'a public key does not sign')
    pss = lambda salt: u64(0x250) + u64(2) + u64(salt)
    for salt in (0, 32, 222):
        run(rsa, BEGIN, SIGN, 9, mechanism=0x43, params=pss(salt), data=b'a')
        signature = run(rsa, FINAL, SIGN, 9, data=b'b')
        ok(run(open_, 3, VERIFY, mechanism=0x43, params=pss(salt), data=b'ab', signature=signature) == b'', 'PSS with a salt of %d' % salt)
    ok(run(rsa, 3, SIGN, mechanism=0x43, params=pss(223), data=b'') == 'mechanism_param_invalid', 'a salt that does not fit is refused')
    ok(run(rsa, 3, SIGN, mechanism=0x0D, params=pss(32), data=b'x' * 31) == 'data_len_range', 'bare PSS takes the length of its hash')
    oaep = u64(0x220) + u64(2) + bs(b'label')
    box = run(open_, 3, ENCRYPT, mechanism=9, params=oaep, data=b'secret')
    ok(run(rsa, 3, DECRYPT, mechanism=9, params=oaep, data=box) == b'secret', 'OAEP with hash, MGF and label each its own')
    ok(run(rsa, 3, DECRYPT, mechanism=9, params=u64(0x220) + u64(2) + bs(b'other'), data=box) == 'encrypted_data_invalid', 'not with another label')
    ok(run(rsa, 3, DECRYPT, mechanism=1, data=bytes(255)) == 'encrypted_data_len_range', 'a ciphertext has the length of the modulus')
    ec, public, _ = made(agent.call('cell_generate', new_key(PRIVATE, EC) + u64(0x1040) + bs(b'') + template([(PARAMS, P256)])))
    ok(public[PARAMS] == P256 and public[POINT][:3] == b'\x04\x41\x04', 'an EC key is made, its point a DER OCTET STRING')
    signature = run(ec, 3, SIGN, mechanism=ECDSA, data=b'd' * 64)
    ok(len(signature) == 64 and run(ec, 3, VERIFY, mechanism=ECDSA, data=b'd' * 32, signature=signature) == b'', 'ECDSA truncates a long digest')
    ok(run(ec, 3, VERIFY, mechanism=ECDSA, data=b'd' * 32, signature=signature[1:]) == 'signature_len_range', 'and takes r||s of one length')
    for mechanism in range(0x1042, 0x1047):
        signature = run(ec, 3, SIGN, mechanism=mechanism, data=b'message')
        ok(run(ec, 3, VERIFY, mechanism=mechanism, data=b'message', signature=signature) == b'', 'hashed ECDSA %x' % mechanism)
    for point in (public[POINT], public[POINT][2:]):
        reply = agent.call('cell_derive', new_key(SECRET, GENERIC) + u64(ec) + u64(ECDH) + bs(u64(1) + bs(b'') + bs(point)) + 3 * u64(0))
        ok(reply['status'] == 'ok', 'ECDH with a point %s' % ('in DER' if point[1] == 0x41 else 'as it is'))
    bad = public[POINT][2:-1] + bytes([public[POINT][-1] ^ 1])
    reply = agent.call('cell_derive', new_key(SECRET, GENERIC) + u64(ec) + u64(ECDH) + bs(u64(1) + bs(b'') + bs(bad)) + 3 * u64(0))
    ok(reply['status'] == 'mechanism_param_invalid', 'a point off the curve is refused')
    wrap, _, _ = secret(agent, bytes(32))
    for mechanism, params in ((CBC_PAD, bytes(16)), (0x1082, bytes(16)), (0x210A, b''), (GCM, gcm())):
        wrapped = output(agent.call('cell_wrap', u64(ec) + u64(wrap) + u64(mechanism) + bs(params)))
        reply = agent.call('cell_unwrap', new_key(PRIVATE, EC) + u64(wrap) + u64(mechanism) + bs(params) + bs(wrapped) + u64(0))
        ok(reply['status'] == 'ok' and made(reply)[1] == public, 'a private key is wrapped and unwrapped by %x' % mechanism)
    reply = agent.call('cell_unwrap', new_key(PRIVATE, EC) + u64(wrap) + u64(CBC_PAD) + bs(bytes(16)) + bs(bytes(32)) + u64(0))
    ok(reply['status'] == 'wrapped_key_invalid', 'what does not unwrap is a wrapped key that is invalid')
    for value in (bytes(32), b'\xff' * 32, b'', b'x' * 99):
        reply = agent.call('cell_import', new_key(PRIVATE, EC) + u64(0) + template([(PARAMS, P256), (VALUE, value)]))
        ok(reply['status'] == 'attribute_value_invalid', 'no private key: %d bytes' % len(value))
    reply = agent.call('cell_import', new_key(PRIVATE, EC) + u64(0) + template([(PARAMS, bytes.fromhex('06052b8104001a')), (VALUE, b'1')]))
    ok(reply['status'] == 'curve_not_supported', 'another curve is not supported')


def rsa_parts(agent):
    """Private keys with and without their CRT parts, and wrong ones. The key is a test key of no use."""
    from random import Random
    rnd = Random(7)

    def prime(bits):
        while True:
            p = rnd.getrandbits(bits) | 1 | 3 << bits - 2
            if p % 65537 != 1 and all(pow(a, p - 1, p) == 1 for a in (2, 3, 5, 7)):
                return p

    p, q = prime(512), prime(512)
    n, e = p * q, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    raw = lambda x: x.to_bytes((x.bit_length() + 7) // 8, 'big')
    full = {0x120: n, 0x122: e, 0x123: d, 0x124: p, 0x125: q, 0x126: d % (p - 1), 0x127: d % (q - 1), 0x128: pow(q, -1, p)}
    give = lambda **k: agent.call('cell_import', new_key(PRIVATE, RSA) + u64(0) + template([(t, raw(v)) for t, v in k['parts'].items()]))

    def signs(parts):
        cell = made(give(parts=parts))[0]
        s = output(agent.call('cell_operate', u64(cell) + operate(3, SIGN, mechanism=PKCS, data=b'x')))
        return pow(int.from_bytes(s, 'big'), e, n).to_bytes(128, 'big').endswith(b'\0x')

    some = lambda *types: {t: full[t] for t in types}
    ok(signs(full), 'an RSA key with all its parts')
    ok(signs(some(0x120, 0x122, 0x123)), 'with modulus and exponents alone')
    ok(signs(some(0x120, 0x123)), 'with the usual public exponent left out')
    ok(signs(some(0x120, 0x122, 0x124, 0x125)), 'with its primes and no private exponent')
    ok(signs({**full, 0x126: 5, 0x127: 5, 0x128: 5}), 'CRT parts from outside are not believed')
    ok(give(parts=some(0x120, 0x122))['status'] == 'template_incomplete', 'not with its public part alone')
    ok(give(parts={**full, 0x123: d + 2})['status'] == 'attribute_value_invalid', 'not with a wrong exponent')
    ok(give(parts={**some(0x120, 0x122), 0x123: d + 2})['status'] == 'attribute_value_invalid', 'nor one that finds no primes')
    ok(give(parts={**full, 0x124: p + 2})['status'] == 'attribute_value_invalid', 'not with a wrong prime')
