"""
NIST's ACVP vectors of SLH-DSA (FIPS 205), ML-DSA (FIPS 204) and ML-KEM (FIPS 203) through the module; ACVP names the folder of the Go module
circl, which holds them. Of SLH-DSA all keys; all verifications, good ones and bad ones, of messages and of hashes; and signatures without
randomness, which are one for each key and message: slow parameter sets by a few. The internal interfaces, which lack what a context puts
before the message, are nobody's here.
"""
import gzip
import hashlib
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../vectors'))
from pq_module import *

s = use_3_2(open_session())
h = bytes.fromhex
SLOW = 2  # signatures of each group of a parameter set whose name ends in s, which take about a second each
SETS = {'SLH-DSA-%s-%s' % (hash, size): 1 + i for i, (size, hash) in enumerate(
    (size, hash) for size in ('128s', '128f', '192s', '192f', '256s', '256f') for hash in ('SHA2', 'SHAKE'))}
SETS.update({'ML-DSA-44': 1, 'ML-DSA-65': 2, 'ML-DSA-87': 3, 'ML-KEM-512': 1, 'ML-KEM-768': 2, 'ML-KEM-1024': 3})
# The mechanism that hashes; or, of those that have none of their own, the hash that the caller says it made.
HASHING_BY = {name: HASHING[SLH_DSA] + i for i, name in enumerate(
    ('SHA2-224', 'SHA2-256', 'SHA2-384', 'SHA2-512', 'SHA3-224', 'SHA3-256', 'SHA3-384', 'SHA3-512', 'SHAKE-128', 'SHAKE-256'))}
MADE_BY_CALLER = {'SHA2-512/224': (0x48, 'sha512_224'), 'SHA2-512/256': (0x4c, 'sha512_256')}


def load(path):
    return json.load(gzip.open(os.path.join(os.environ['ACVP'], path)))['testGroups']


def groups(prompts, results):
    """Each group with its cases, a question and its answer in one."""
    answers = {case['tcId']: case for group in load(results) for case in group['tests']}
    for group in load(prompts):
        if group.get('signatureInterface') != 'internal':
            yield group, [{**case, **answers[case['tcId']]} for case in group['tests']]


def how(case, hedge=PREFERRED):
    """Mechanism, parameter and message of a case."""
    text, message, name = h(case['context']), h(case['message']), case.get('hashAlg')
    if name is None:
        return SIGN_WITH[SLH_DSA], context(text, hedge), message
    if name in HASHING_BY:
        return HASHING_BY[name], context(text, hedge), message
    number, python = MADE_BY_CALLER[name]
    return HASHED_BY_CALLER[SLH_DSA], context(text, hedge, number), hashlib.new(python, message).digest()


def made(key_type, number, value):
    return private_key(s, key_type, number, {VALUE: value})


def is_good(number, case):
    public = public_key(s, SLH_DSA, number, h(case['pk']))
    mechanism_, parameter, message = how(case)
    try:
        verify(s, mechanism_, parameter, public, message, h(case['signature']))
        return True
    except Refused as refusal:
        return False if refusal.rv in (SIGNATURE_INVALID, SIGNATURE_LEN) else hex(refusal.rv)
    finally:
        s('DestroyObject', UL(public))


def each(group, cases, found, wanted):
    same([found(case) for case in cases], [wanted(case) for case in cases],
         '%s: %d of %s' % (group['parameterSet'], len(cases), group.get('preHash') or group.get('function') or 'keys'))


for group, cases in groups('sign/slhdsa/testdata/keyGen_prompt.json.gz', 'sign/slhdsa/testdata/keyGen_results.json.gz'):
    number = SETS[group['parameterSet']]
    seeds = lambda case: h(case['skSeed'] + case['skPrf'] + case['pkSeed'])
    for case in cases:
        key = made(SLH_DSA, number, h(case['sk']))
        case['found'] = s.value(key).startswith(seeds(case)) and s.value(key, INFO).endswith(h(case['pk']))
        s('DestroyObject', UL(key))
    each(group, cases, lambda case: case['found'], lambda case: True)

for group, cases in groups('sign/slhdsa/testdata/verify_prompt.json.gz', 'sign/slhdsa/testdata/verify_results.json.gz'):
    number = SETS[group['parameterSet']]
    each(group, cases, lambda case: is_good(number, case), lambda case: case['testPassed'])

for group, cases in groups('sign/slhdsa/testdata/sigGen_prompt.json.gz', 'sign/slhdsa/testdata/sigGen_results.json.gz'):
    if not group['deterministic']:
        continue
    number = SETS[group['parameterSet']]
    some = cases[:SLOW] if group['parameterSet'].endswith('s') else cases
    for case in some:
        key = made(SLH_DSA, number, h(case['sk']))
        mechanism_, parameter, message = how(case, DETERMINISTIC)
        case['found'] = sign(s, mechanism_, parameter, key, message) == h(case['signature'])
        s('DestroyObject', UL(key))
    each(group, some, lambda case: case['found'], lambda case: True)

for name, key_type, folder, seed, value, public in (
        ('keyGen', ML_DSA, 'sign/mldsa/testdata/ML-DSA-keyGen-FIPS204/', lambda case: case['seed'], 'sk', 'pk'),
        ('keyGen', ML_KEM, 'kem/mlkem/testdata/ML-KEM-keyGen-FIPS203/', lambda case: case['d'] + case['z'], 'dk', 'ek')):
    for group, cases in groups(folder + 'prompt.json.gz', folder + 'expectedResults.json.gz'):
        for case in cases:
            key = private_key(s, key_type, SETS[group['parameterSet']], {SEED: h(seed(case))})
            case['found'] = s.value(key) == h(case[value]) and s.value(key, INFO).endswith(h(case[public]))
            s('DestroyObject', UL(key))
        each(group, cases, lambda case: case['found'], lambda case: True)

folder = 'kem/mlkem/testdata/ML-KEM-encapDecap-FIPS203/'
for group, cases in groups(folder + 'prompt.json.gz', folder + 'expectedResults.json.gz'):
    if group['function'] != 'decapsulation':
        continue
    key = made(ML_KEM, SETS[group['parameterSet']], h(group['dk']))
    each(group, cases, lambda case: s.value(decapsulate(s, key, h(case['c']))), lambda case: h(case['k']))
    s('DestroyObject', UL(key))
done()
