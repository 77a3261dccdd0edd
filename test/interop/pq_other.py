"""The other side is another implementation: what it made is given here as JSON, and what the token made is written back."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../vectors'))
from pq_module import *

theirs = json.load(open(sys.argv[1]))
s = use_3_2(open_session())
mine = {'kem': [], 'signatures': []}
TYPES = {'ml_dsa': ML_DSA, 'slh_dsa': SLH_DSA}
raw = bytes.fromhex

for row in theirs['kem']:
    # their key opens what was sent to it, here as there
    key = private_key(s, ML_KEM, row['set'], {VALUE: raw(row['private'])})
    same(s.value(decapsulate(s, key, raw(row['ciphertext']))).hex(), row['secret'], 'decapsulates what %s sent' % row['name'])
    to = public_key(s, ML_KEM, row['set'], raw(row['public']))
    secret, ciphertext = encapsulate(s, to)
    public, private = pair(s, ML_KEM, row['set'])
    mine['kem'].append({**row, 'ciphertext': ciphertext.hex(), 'secret': s.value(secret).hex(), 'own': s.value(private).hex(), 'ownPublic': s.value(public).hex()})

for row in theirs['signatures']:
    key_type = TYPES[row['family']]
    number = HASHING[key_type] + row['hash'] if row['hash'] is not None else SIGN_WITH[key_type]
    parameter = lambda: context(raw(row['context']))
    to = public_key(s, key_type, row['set'], raw(row['public']))
    verify(s, number, parameter(), to, raw(row['message']), raw(row['signature']))
    ok(True, 'verifies what %s signed' % row['name'])
    by = private_key(s, key_type, row['set'], {VALUE: raw(row['private'])})
    mine['signatures'].append({**row, 'signature': sign(s, number, parameter(), by, raw(row['message'])).hex()})

json.dump(mine, open(sys.argv[2], 'w'))
done()
