"""
NIST's CAVP answers, and RFCs' where NIST has none, through the module; VECTORS names the folder of the package cryptography-vectors. Each
point is one mechanism, with how many answers it was held against: known outputs, and verifications that must fail as well as those that must not.
"""
import glob
import os
import re
import sys

from cryptoki import *

s = open_session()
h = bytes.fromhex
RSA, DSA, EC, DES3, DES2, XTS = 0x0, 0x1, 0x3, 0x15, 0x14, 0x35
MODULUS, EXPONENT, PRIME, SUBPRIME, BASE, EC_PARAMS, EC_POINT = 0x120, 0x122, 0x130, 0x131, 0x132, 0x180, 0x181
HASHES = {'SHA1': (0x220, 1, 'sha1'), 'SHA224': (0x255, 5, 'sha224'), 'SHA256': (0x250, 2, 'sha256'), 'SHA384': (0x260, 3, 'sha384'),
          'SHA512': (0x270, 4, 'sha512')}
CURVES = {'P-224': ('06052b81040021', 28), 'P-256': ('06082a8648ce3d030107', 32), 'P-384': ('06052b81040022', 48), 'P-521': ('06052b81040023', 66)}


def cases(path, last, sections=None):
    """Each block of `key = value` lines that ends with the line `last`, with what stood above it: values stay until they change."""
    known, section = {}, ''
    for line in open(os.path.join(os.environ['VECTORS'], path), encoding='latin-1'):
        line = line.strip()
        if line.startswith('['):
            section = line.strip('[]')
            if sections is not None and not re.match(sections, section):
                section = None
        key, equals, value = (part.strip() for part in line.partition('='))
        if line.startswith('#') or section is None or not (equals or line == 'FAIL'):
            continue
        known[key or line] = value
        if key in last or line in last:
            yield {**known, 'section': section}
            known.pop('FAIL', None)


def hold(name, wrong):
    """`wrong` gives for each answer whether it came out otherwise."""
    found = list(wrong)
    ok(len(found) > 0 and not any(found), '%s: %d answers, %d wrong' % (name, len(found), sum(found)))


def gone(*handles):
    for handle in handles:
        s('DestroyObject', UL(handle))


def verdict(call):
    """True: it verified; False: the signature is none."""
    try:
        call()
        return True
    except Refused as refusal:
        if refusal.rv not in (0xc0, 0xc1):
            raise
        return False


def hash_of(number, data):
    s('DigestInit', mechanism(number))
    return s.give('Digest', data, UL(len(data)))


# hashes
FILES = {0x220: 'SHA1/SHA1', 0x255: 'SHA2/SHA224', 0x250: 'SHA2/SHA256', 0x260: 'SHA2/SHA384', 0x270: 'SHA2/SHA512', 0x48: 'SHA2/SHA512_224',
         0x4c: 'SHA2/SHA512_256', 0x2b5: 'SHA3/SHA3_224', 0x2b0: 'SHA3/SHA3_256', 0x2c0: 'SHA3/SHA3_384', 0x2d0: 'SHA3/SHA3_512'}
for number, name in FILES.items():
    hold(name, (hash_of(number, h(case['Msg'])[:int(case['Len']) // 8]) != h(case['MD'])
                for kind in ('Short', 'Long') for case in cases('hashes/%s%sMsg.rsp' % (name, kind), ('MD',))))
for number, name in ((0x210, 'MD5/rfc-1321'), (0x401b, 'blake2/blake2b')):
    hold(name, (hash_of(number, h(case['Msg'])[:int(case['Len']) // 8]) != h(case['MD']) for case in cases('hashes/%s.txt' % name, ('MD',))))


# RSA
def rsa(case):
    return s.create({CLASS: PUBLIC, KEY_TYPE: RSA, TOKEN: False, MODULUS: h(case['n']), EXPONENT: h(case['e'].zfill(len(case['e']) + len(case['e']) % 2)).lstrip(b'\0')})


def rsa_wrong(path, mechanism_of, last=('Result',)):
    for name in HASHES:
        answers = [case for case in cases('asymmetric/RSA/FIPS_186-2/' + path, last) if case['SHAAlg'] == name]
        if answers:
            yield name, (rsa_is_wrong(case, *mechanism_of(name, case)) for case in answers)


def rsa_is_wrong(case, m, data):
    key = rsa(case)
    found = verdict(lambda: s.verify(m, key, data, h(case['S'])))
    gone(key)
    return found != case.get('Result', 'P').startswith('P')


PKCS = {'SHA1': 6, 'SHA224': 0x46, 'SHA256': 0x40, 'SHA384': 0x41, 'SHA512': 0x42}
PSS = {'SHA1': 0xe, 'SHA224': 0x47, 'SHA256': 0x43, 'SHA384': 0x44, 'SHA512': 0x45}
TRAILER = {'SHA1': 0x33, 'SHA256': 0x34, 'SHA384': 0x36, 'SHA512': 0x35}  # ISO/IEC 10118-3


def pss(number, name, case):
    digest, mgf, _ = HASHES[name]
    return mechanism(number, struct(digest, mgf, len(case['SaltVal']) // 2))


def x931(name, case):
    digest, message = HASHES[name], h(case['Msg'])
    return mechanism(0xb), hash_of(digest[0], message) + bytes([TRAILER[name], 0xcc])


for name, wrong in rsa_wrong('SigVer15_186-3.rsp', lambda name, case: (mechanism(PKCS[name]), h(case['Msg']))):
    hold('PKCS #1 v1.5, %s, verification' % name, wrong)
for name, wrong in rsa_wrong('SigGen15_186-3.rsp', lambda name, case: (mechanism(PKCS[name]), h(case['Msg'])), ('S',)):
    hold('PKCS #1 v1.5, %s, good signatures' % name, wrong)
for name, wrong in rsa_wrong('SigVerPSS_186-3.rsp', lambda name, case: (pss(PSS[name], name, case), h(case['Msg']))):
    hold('PSS, %s' % name, wrong)
for name, wrong in rsa_wrong('SigVerPSS_186-3.rsp', lambda name, case: (pss(0xd, name, case), hash_of(HASHES[name][0], h(case['Msg'])))):
    hold('CKM_RSA_PKCS_PSS, %s' % name, wrong)
for name, wrong in rsa_wrong('SigVerRSA.rsp', x931):
    hold('X9.31, %s' % name, wrong)
for name, wrong in rsa_wrong('SigVerRSA.rsp', lambda name, case: (mechanism(0xc), h(case['Msg']))):
    if name == 'SHA1':
        hold('CKM_SHA1_RSA_X9_31', wrong)


# DSA, ECDSA
def halves(case, size):
    return b''.join(int(case[name], 16).to_bytes(size, 'big') for name in 'RS')


def key_is_wrong(case, attributes, number, message, size):
    good = case.get('Result', 'P').startswith('P')
    try:
        key = s.create({CLASS: PUBLIC, TOKEN: False, **attributes})
    except Refused:
        return good  # a public value that is outside of its group, or a point that is not on the curve
    found = verdict(lambda: s.verify(mechanism(number), key, message, halves(case, size)))
    gone(key)
    return found != good


def dsa_is_wrong(case, number, message):
    size = (len(case['Q']) + 1) // 2
    return key_is_wrong(case, {KEY_TYPE: DSA, PRIME: h(case['P']), SUBPRIME: h(case['Q']), BASE: h(case['G']), VALUE: h(case['Y'])}, number, message, size)


def ecdsa_is_wrong(case, number, message, curve):
    oid, size = CURVES[curve]
    point = b'\4' + b''.join(int(case[name], 16).to_bytes(size, 'big') for name in ('Qx', 'Qy'))
    head = bytes([4, len(point)]) if len(point) < 128 else bytes([4, 0x81, len(point)])
    return key_is_wrong(case, {KEY_TYPE: EC, EC_PARAMS: h(oid), EC_POINT: head + point}, number, message, size)


for i, name in enumerate(HASHES):
    section = '.*SHA-%s$' % name[3:]
    every = [('DSA', 0x12 + i, lambda case: h(case['Msg'])), ('CKM_DSA', 0x11, lambda case: hash_of(HASHES[name][0], h(case['Msg'])))]
    for title, number, message in every:
        for path, last in (('SigVer', 'Result'), ('SigGen', 'S')):
            answers = cases('asymmetric/DSA/FIPS_186-3/%s.rsp' % path, (last,), section)
            hold('%s, %s, %s' % (title, name, path), (dsa_is_wrong(case, number, message(case)) for case in answers))
    for title, number, message in (('ECDSA', 0x1042 + i, lambda case: h(case['Msg'])), ('CKM_ECDSA', 0x1041, lambda case: hash_of(HASHES[name][0], h(case['Msg'])))):
        for curve in CURVES:
            for path, last in (('SigVer', 'Result'), ('SigGen', 'S')):
                answers = cases('asymmetric/ECDSA/FIPS_186-3/%s.rsp' % path, (last,), '%s,SHA-%s$' % (curve, name[3:]))
                hold('%s, %s, %s, %s' % (title, curve, name, path), (ecdsa_is_wrong(case, number, message(case), curve) for case in answers))


# AES and triple DES
def files(pattern):
    return sorted(os.path.relpath(path, os.environ['VECTORS']) for path in glob.glob(os.path.join(os.environ['VECTORS'], pattern)))


def secret_of(case):
    if 'KEY' in case or 'Key' in case or 'K' in case:
        return AES, h(case.get('KEY') or case.get('Key') or case['K'])
    if 'KEYs' in case:
        return DES3, 3 * h(case['KEYs'])
    return DES3, h(case['KEY1'] + case['KEY2'] + case['KEY3'])


def both_ways(case, m, plain, sealed, key_type=None):
    kind, value = secret_of(case)
    key = s.secret(key_type or kind, value, _104=True, _105=True)
    wrong = s.run('Encrypt', m(), key, plain) != sealed or s.run('Decrypt', m(), key, sealed) != plain
    gone(key)
    return wrong


def cipher(number, pattern, parameter, key_type=None):
    for path in files(pattern):
        for case in cases(path, ('CIPHERTEXT',), 'ENCRYPT'):
            m = lambda: mechanism(number, parameter(case))
            yield both_ways(case, m, h(case['PLAINTEXT']), h(case['CIPHERTEXT']), key_type)


initial = lambda case: h(case['IV'])
hold('AES-ECB', cipher(0x1081, 'ciphers/AES/ECB/*.rsp', lambda case: None))
hold('AES-CBC', cipher(0x1082, 'ciphers/AES/CBC/*.rsp', initial))
hold('AES-CTR (RFC 3686)', cipher(0x1086, 'ciphers/AES/CTR/*.txt', lambda case: struct(128, (c.c_ubyte * 16, (c.c_ubyte * 16)(*h(case['IV']))))))
hold('triple DES, ECB', cipher(0x132, 'ciphers/3DES/ECB/*.rsp', lambda case: None))
hold('triple DES, CBC', cipher(0x133, 'ciphers/3DES/CBC/TCBC[MviKps]*.rsp', initial))


def gcm():
    for path in files('ciphers/AES/GCM/gcmDecrypt*.rsp'):
        for case in cases(path, ('PT', 'FAIL')):
            if int(case.get('Count', '0')) > 3:
                continue  # 4 of 15 for each length and key size
            sealed, iv, aad = h(case['CT'] + case['Tag']), h(case['IV']), h(case['AAD'])
            m = mechanism(0x1087, struct((P, pointer(iv)), len(iv), 8 * len(iv), (P, pointer(aad)), len(aad), 4 * len(case['Tag'])))
            key = s.secret(AES, h(case['Key']), _105=True)
            try:
                found = s.run('Decrypt', m, key, sealed)
            except Refused:
                found = None
            gone(key)
            yield found != (None if 'FAIL' in case else h(case['PT']))


hold('AES-GCM', gcm())


def key_wrap(number, pattern):
    for path in files(pattern):
        for case in cases(path, ('P', 'FAIL') if '_AD_' in path else ('C',)):
            plain, sealed = None if 'FAIL' in case else h(case['P']), h(case['C'])
            if len(sealed) > 1000:
                continue
            key = s.secret(AES, h(case['K']), _104=True, _105=True)
            try:
                found = s.run('Decrypt', mechanism(number), key, sealed)
            except Refused:
                found = None
            wrong = found != plain or (plain is not None and s.run('Encrypt', mechanism(number), key, plain) != sealed)
            gone(key)
            yield wrong


hold('AES key wrap', key_wrap(0x2109, 'keywrap/kwtestvectors/KW_A[DE]_???.txt'))
hold('AES key wrap with padding', key_wrap(0x210b, 'keywrap/kwtestvectors/KWP_A[DE]_???.txt'))


# codes
def codes(path, number, key_type, last, message):
    for case in cases(path, (last,)):
        value = h(case['KEY'] if 'KEY' in case else case['Key'])
        key = s.secret(key_type, value, _108=True)
        data = h(case[message])
        yield s.run('Sign', mechanism(number), key, data) != h(case[last])
        gone(key)


for name, number in (('rfc-2202-md5', 0x211), ('rfc-2202-sha1', 0x221), ('rfc-4231-sha224', 0x256), ('rfc-4231-sha256', 0x251), ('rfc-4231-sha384', 0x261),
                     ('rfc-4231-sha512', 0x271)):
    hold('HMAC, ' + name, codes('HMAC/%s.txt' % name, number, GENERIC, 'MD', 'Msg'))
for bits in (128, 192, 256):
    hold('AES-CMAC, %d bits' % bits, codes('CMAC/nist-800-38b-aes%d.txt' % bits, 0x108a, AES, 'OUTPUT', 'MESSAGE'))


# agreement
def agreed(oid, size, value, point):
    try:
        private = s.create({CLASS: PRIVATE, KEY_TYPE: EC, TOKEN: False, DERIVE: True, EC_PARAMS: h(oid), VALUE: value})
        secret = s.derive(mechanism(0x1050, struct(1, 0, (P, None), len(point), (P, pointer(point)))), private, {VALUE_LEN: size})
    except Refused:
        return None
    found = s.value(secret)
    gone(private, secret)
    return found


def agreements():
    for case in cases('asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_init.fax', ('Result',), 'E[B-E] - '):
        oid, size = CURVES[{'EB': 'P-224', 'EC': 'P-256', 'ED': 'P-384', 'EE': 'P-521'}[case['section'][:2]]]
        number = lambda name: int(case[name], 16).to_bytes(size, 'big')
        point = b'\4' + number('QsCAVSx') + number('QsCAVSy')
        found = agreed(oid, size, number('dsIUT'), point)
        if case['Result'].startswith('P'):
            yield found != number('Z')
        elif "CAVS's" in case['Result']:
            yield found is not None  # a public key that is no point of the curve
        elif 'IUT\'s Static public' not in case['Result']:
            yield found == number('Z')  # our private key, or Z, was changed


hold('ECDH', agreements())
done()
