"""
Wycheproof's files beyond those that ../shared/vectors has, through the module; WYCHEPROOF names the folder testvectors_v1. One point a file:
what is valid must work, what is invalid must be refused, what is acceptable may do either.
"""
import json
import os
import sys

from cryptoki import *

s = open_session()
h = bytes.fromhex
RSA, DSA, EC = 0x0, 0x1, 0x3
MODULUS, EXPONENT, PRIME, SUBPRIME, BASE, EC_PARAMS, EC_POINT = 0x120, 0x122, 0x130, 0x131, 0x132, 0x180, 0x181
CURVES = {'secp224r1': ('06052b81040021', 28), 'secp256r1': ('06082a8648ce3d030107', 32), 'secp384r1': ('06052b81040022', 48), 'secp521r1': ('06052b81040023', 66),
          'secp256k1': ('06052b8104000a', 32), 'brainpoolP256r1': ('06092b2403030208010107', 32), 'brainpoolP384r1': ('06092b240303020801010b', 48),
          'brainpoolP512r1': ('06092b240303020801010d', 64)}


def even(number):
    return h(number.zfill(len(number) + len(number) % 2)).lstrip(b'\0')


def rsa_key(group):
    return {KEY_TYPE: RSA, MODULUS: even(group['publicKey']['modulus']), EXPONENT: even(group['publicKey']['publicExponent'])}


def dsa_key(group):
    key = group['publicKey']
    return {KEY_TYPE: DSA, PRIME: even(key['p']), SUBPRIME: even(key['q']), BASE: even(key['g']), VALUE: even(key['y'])}


def ec_key(group):
    point = h(group['publicKey']['uncompressed'])
    head = bytes([4, len(point)]) if len(point) < 128 else bytes([4, 0x81, len(point)])
    return {KEY_TYPE: EC, EC_PARAMS: h(CURVES[group['publicKey']['curve']][0]), EC_POINT: head + point}


def halves(der, size):
    """r and s of the one encoding that DER has; None: it is another, which nobody has to take."""
    def number(at):
        if der[at] != 2 or der[at + 1] > 0x7f or der[at + 1] == 0:
            raise ValueError
        value = der[at + 2:at + 2 + der[at + 1]]
        if len(value) != der[at + 1] or value[0] > 0x7f or (len(value) > 1 and value[0] == 0 and value[1] < 0x80):
            raise ValueError
        return int.from_bytes(value, 'big').to_bytes(size, 'big'), at + 2 + len(value)

    try:
        begin = 2 if der[1] < 0x80 else 3
        length = der[1] if begin == 2 else der[2]
        if der[0] != 0x30 or len(der) != begin + length or (begin == 3 and (der[1] != 0x81 or length < 0x80)):
            return None
        r, at = number(begin)
        t, at = number(at)
        return r + t if at == len(der) else None
    except (ValueError, IndexError, OverflowError):
        return None


def files(*names):
    for name in names:
        with open(os.path.join(os.environ['WYCHEPROOF'], name + '_test.json')) as file:
            yield name, json.load(file)['testGroups']


def hold(name, results):
    """Pairs of what a vector says and whether it worked."""
    found = [(case['result'], worked) for case, worked in results]
    wrong = [said for said, worked in found if said != 'acceptable' and worked != (said == 'valid')]
    ok(any(said == 'valid' for said, _ in found) and not wrong, 'Wycheproof, %s: %d vectors, %d wrong' % (name, len(found), len(wrong)))


def works(call):
    try:
        return call()
    except Refused:
        return False


def verifies(groups, attributes, m, signature=lambda case, group: h(case['sig'])):
    for group in groups:
        key = s.create({CLASS: PUBLIC, TOKEN: False, **attributes(group)})
        for case in group['tests']:
            given = signature(case, group)
            yield case, given is not None and works(lambda: s.verify(m(group), key, h(case['msg']), given) or True)
        s('DestroyObject', UL(key))


RSA_BY = {'sha224': 0x46, 'sha384': 0x41, 'sha512': 0x42, 'sha3_224': 0x66, 'sha3_384': 0x61, 'sha3_512': 0x62, 'sha3_256': 0x60, 'sha256': 0x40}
for bits, hashes in ((2048, ('sha224', 'sha384', 'sha3_224', 'sha3_384', 'sha3_512')), (3072, ('sha384', 'sha512', 'sha3_256', 'sha3_384', 'sha3_512')),
                     (4096, ('sha256', 'sha384')), (8192, ('sha256', 'sha384', 'sha512'))):
    for hash in hashes:
        for name, groups in files('rsa_signature_%d_%s' % (bits, hash)):
            hold(name, verifies(groups, rsa_key, lambda group: mechanism(RSA_BY[hash])))

for name, number, parameters in (('rsa_pss_2048_sha1_mgf1_20', 0xe, (0x220, 1, 20)), ('rsa_pss_2048_sha384_mgf1_48', 0x44, (0x260, 3, 48)),
                                 ('rsa_pss_4096_sha384_mgf1_48', 0x44, (0x260, 3, 48)), ('rsa_pss_4096_sha256_mgf1_32', 0x43, (0x250, 2, 32)),
                                 ('rsa_pss_2048_sha256_mgf1sha1_20', 0x43, (0x250, 1, 20))):
    for _, groups in files(name):
        hold(name, verifies(groups, rsa_key, lambda group: mechanism(number, struct(*parameters))))

ECDSA_BY = {'sha224': 0x1043, 'sha256': 0x1044, 'sha384': 0x1045, 'sha512': 0x1046, 'sha3_224': 0x1047, 'sha3_256': 0x1048, 'sha3_384': 0x1049, 'sha3_512': 0x104a}
for curve, hash in (('secp224r1', 'sha224'), ('secp224r1', 'sha512'), ('secp256r1', 'sha512'), ('secp384r1', 'sha512'), ('secp256k1', 'sha512'),
                    ('brainpoolP384r1', 'sha384'), ('brainpoolP512r1', 'sha512')):
    for name, groups in files('ecdsa_%s_%s_p1363' % (curve, hash)):
        hold(name, verifies(groups, ec_key, lambda group: mechanism(ECDSA_BY[hash])))
for curve, hash in (('secp224r1', 'sha3_224'), ('secp224r1', 'sha3_256'), ('secp256r1', 'sha3_256'), ('secp384r1', 'sha3_384'), ('secp521r1', 'sha3_512'),
                    ('secp256k1', 'sha3_256'), ('brainpoolP256r1', 'sha3_256'), ('brainpoolP384r1', 'sha3_384'), ('brainpoolP512r1', 'sha3_512')):
    for name, groups in files('ecdsa_%s_%s' % (curve, hash)):
        size = CURVES[curve][1]
        hold(name, verifies(groups, ec_key, lambda group: mechanism(ECDSA_BY[hash]), lambda case, group: halves(h(case['sig']), size)))

for name, number in (('dsa_2048_224_sha224_p1363', 0x13), ('dsa_2048_224_sha256_p1363', 0x14), ('dsa_2048_256_sha256_p1363', 0x14), ('dsa_3072_256_sha256_p1363', 0x14)):
    for _, groups in files(name):
        hold(name, verifies(groups, dsa_key, lambda group: mechanism(number)))

HMAC = {'sha1': 0x221, 'sha224': 0x256, 'sha256': 0x251, 'sha384': 0x261, 'sha512': 0x271, 'sha512_224': 0x49, 'sha512_256': 0x4d, 'sha3_224': 0x2b6, 'sha3_256': 0x2b1,
        'sha3_384': 0x2c1, 'sha3_512': 0x2d1}


def codes(groups, number):
    """By the mechanism that gives all of the code, and by the general one, which says how much of it."""
    whole = max(group['tagSize'] for group in groups) // 8
    for group in groups:
        length = group['tagSize'] // 8
        for case in group['tests']:
            key = s.secret(GENERIC, h(case['key']), _10a=True)
            for m in (mechanism(number + 1, struct(length)),) + ((mechanism(number),) if length == whole else ()):
                yield case, works(lambda: s.verify(m, key, h(case['msg']), h(case['tag'])) or True)
            s('DestroyObject', UL(key))


for hash, number in HMAC.items():
    for name, groups in files('hmac_' + hash):
        hold(name, codes(groups, number))


def derived(groups, made):
    for group in groups:
        for case in group['tests']:
            yield case, works(lambda: made(case))


def by_hkdf(hash):
    def made(case):
        base, salt, info = s.secret(GENERIC, h(case['ikm'])), h(case['salt']), h(case['info'])
        parameter = struct((BYTE, 1), (BYTE, 1), hash, 2 if salt else 1, (P, pointer(salt)), len(salt), 0, (P, pointer(info)), len(info))
        try:
            return s.value(s.derive(mechanism(0x402a, parameter), base, {VALUE_LEN: case['size']})) == h(case['okm'])
        finally:
            s('DestroyObject', UL(base))
    return made


# A derived key has at most 4096 bytes here (docs/mechanisms.md).
for name, number in (('hkdf_sha1', 0x220), ('hkdf_sha384', 0x260)):
    for _, groups in files(name):
        some = [{'tests': [case for case in group['tests'] if case['result'] == 'invalid' or case['size'] <= 4096]} for group in groups]
        hold(name, derived(some, by_hkdf(number)))


def by_pbkdf2(prf):
    def made(case):
        password, salt = h(case['password']), h(case['salt'])
        parameter = struct(1, (P, pointer(salt)), len(salt), case['iterationCount'], prf, (P, None), 0, (P, pointer(password)), len(password))
        attributes = {CLASS: SECRET, KEY_TYPE: GENERIC, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True, VALUE_LEN: case['dkLen']}
        return s.value(s.generate(0x3b0, attributes, parameter)) == h(case['dk'])
    return made


# An empty password is not taken here (docs/mechanisms.md); more iterations are more of the same.
for name, prf in (('pbkdf2_hmacsha1', 1), ('pbkdf2_hmacsha224', 3), ('pbkdf2_hmacsha384', 5), ('pbkdf2_hmacsha512', 6)):
    for _, groups in files(name):
        some = [{'tests': [case for case in group['tests'] if case['password'] and case['iterationCount'] <= 5000]} for group in groups]
        hold(name, derived(some, by_pbkdf2(prf)))
done()
