"""An ML-DSA key of a key service, through the module, whatever OpenSSL the keeper has. Writes what it signed for another to verify."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../vectors'))
from pq_module import *

s = use_3_2(open_session())
slots, count, info = (UL * 8)(), UL(8), c.create_string_buffer(512)
s.call('GetSlotList', BYTE(1), slots, c.byref(count))
for slot in slots[:count.value]:
    s.call('GetTokenInfo', UL(slot), info)
    if info.raw.startswith(b'remote '):
        session = UL()
        s.call('OpenSession', UL(slot), UL(6), None, None, c.byref(session))
        s.session, s.slot = session, slot
info = (UL * 3)()
for number in (GEN[ML_DSA], SIGN_WITH[ML_DSA]):
    s.call('GetMechanismInfo', UL(s.slot), UL(number), info)
ok(info[2] & 0x800, 'it is listed')
written = []
for number, length in {1: 2420, 2: 3309, 3: 4627}.items():
    name = {LABEL: b'quantum-%d' % number, TOKEN: True}
    public, private = s.pair(GEN[ML_DSA], {**name, PARAMETER_SET: number}, name)
    message = b'seventeen camels'
    signature = sign(s, SIGN_WITH[ML_DSA], context(), private, message)
    same(len(signature), length, 'ML-DSA %d' % number)
    s('SignInit', mechanism(SIGN_WITH[ML_DSA]), UL(private))
    wanted = UL(0)
    s('Sign', message, UL(len(message)), None, c.byref(wanted))
    same(wanted.value, length, 'NULL asks for the length')
    same(len(s.give('Sign', message, UL(len(message)))), length, 'and signs')
    refuses(0x11, lambda: s.value(private), 'its value is in the service')
    refuses(PARAM_INVALID, lambda: sign(s, SIGN_WITH[ML_DSA], context(b'', DETERMINISTIC), private, message), 'deterministically')
    refuses(PARAM_INVALID, lambda: sign(s, SIGN_WITH[ML_DSA], context(b'a context'), private, message), 'with a context')
    written.append({'info': s.value(public, INFO).hex(), 'value': s.value(public).hex(), 'message': message.hex(), 'signature': signature.hex()})
    s('DestroyObject', UL(private))
json.dump(written, open(sys.argv[1], 'w'))
done()
