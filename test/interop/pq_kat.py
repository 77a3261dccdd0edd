"""
ML-DSA's and ML-KEM's known answers of the package cryptography-vectors (KATS names its folder), through the module: the key of each
seed, the one signature of each message and context without randomness, the secret in each ciphertext, and the secret that a
ciphertext of another key gives.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../vectors'))
from pq_module import *

s = use_3_2(open_session())
EACH = 25  # of 100 and of 1000: they differ in nothing but their numbers


def cases(name):
    case, found = {}, []
    for line in open(os.path.join(os.environ['KATS'], 'asymmetric', name)):
        key, _, value = line.strip().partition(' = ')
        if key == 'count' and case:
            found.append(case)
            case = {}
            if len(found) == EACH:
                return found
        case[key] = value
    return found + [case]


def made(key_type, number, case, value, seed):
    """The private key by its seed, which is the one of the answers."""
    key = private_key(s, key_type, number, {SEED: seed})
    return key, s.value(key) == value and s.value(key, INFO).endswith(bytes.fromhex(case['pk']))


h = bytes.fromhex
for number, size in ((1, 44), (2, 65), (3, 87)):
    right = {'keys': 0, 'signatures': 0, 'verified': 0}
    for case in cases('MLDSA/kat_MLDSA_%d_det_pure.rsp' % size):
        message, text, sealed = h(case['msg']), h(case.get('ctx', '')), h(case['sm'])
        signature = sealed[:len(sealed) - len(message)]
        key, same_key = made(ML_DSA, number, case, h(case['sk']), h(case['xi']))
        right['keys'] += same_key
        right['signatures'] += sign(s, 0x1d, context(text, DETERMINISTIC), key, message) == signature
        public = public_key(s, ML_DSA, number, h(case['pk']))
        verify(s, 0x1d, context(text), public, message, signature)
        right['verified'] += 1
        for handle in (key, public):
            s('DestroyObject', UL(handle))
    same(right, dict.fromkeys(right, EACH), 'ML-DSA-%d' % size)

for number, size in ((1, 512), (2, 768), (3, 1024)):
    right = {'keys': 0, 'secrets': 0, 'rejected': 0}
    for case in cases('MLKEM/kat_MLKEM_%d.rsp' % size):
        key, same_key = made(ML_KEM, number, case, h(case['sk']), h(case['d']) + h(case['z']))
        right['keys'] += same_key
        right['secrets'] += s.value(decapsulate(s, key, h(case['ct']))) == h(case['ss'])
        right['rejected'] += s.value(decapsulate(s, key, h(case['ct_n']))) == h(case['ss_n'])
        s('DestroyObject', UL(key))
    same(right, dict.fromkeys(right, EACH), 'ML-KEM-%d' % size)
done()
