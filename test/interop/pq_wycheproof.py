"""Wycheproof's files for ML-KEM-768 and ML-DSA-65 through the module: what is valid works, what is invalid is refused."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../vectors'))
from pq_module import *

s = use_3_2(open_session())


def read(name):
    return json.load(open(os.path.join(os.environ['VECTORS'], name + '.json')))['testGroups']


def holds(call):
    try:
        return call()
    except Refused:
        return False


def decapsulates(vector):
    key = private_key(s, ML_KEM, 2, {SEED: bytes.fromhex(vector['seed'])})
    right = s.value(key, INFO)[-1184:] == bytes.fromhex(vector['ek'])
    secret = decapsulate(s, key, bytes.fromhex(vector['c']))
    right = right and s.value(secret) == bytes.fromhex(vector['K'])
    for handle in (key, secret):
        s('DestroyObject', UL(handle))
    return right


def verifies(key, vector):
    verify(s, 0x1d, context(bytes.fromhex(vector.get('ctx', ''))), key, bytes.fromhex(vector['msg']), bytes.fromhex(vector['sig']))
    return True


def public_of(group):
    try:
        return public_key(s, ML_DSA, 2, bytes.fromhex(group['publicKey']))
    except Refused:
        return 0


def report(name, vector, held):
    if held != (vector['result'] == 'valid'):
        ok(False, '%s %d: %s' % (name, vector['tcId'], vector.get('comment')))
        return 0
    return 1


good = sum(report('mlkem_768', v, holds(lambda: decapsulates(v))) for g in read('mlkem_768') for v in g['tests'])
same(good, 193, 'mlkem_768.json, all of it')
good = 0
for group in read('mldsa_65_verify'):
    key = public_of(group)
    good += sum(report('mldsa_65', v, bool(key) and holds(lambda: verifies(key, v))) for v in group['tests'])
same(good, 210, 'mldsa_65_verify.json, all of it')
done()
