"""
Calls the module as a program once did: replay.py RECORD prints TAP. Every code must be the recorded one, every search find as much, every
result be as long. Signatures are printed ("# signed MECHANISM DATA SIGNATURE"), for somebody else to verify.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'vectors'))
from cryptoki import *

ROOM, SECRET = 8192, 128
CODES = {'CKR_OK': 0, 'CKR_ATTRIBUTE_TYPE_INVALID': 0x12, 'CKR_TOKEN_NOT_RECOGNIZED': 0xe1}
NUMBERS = {
    'CKO_CERTIFICATE': 1, 'CKO_PUBLIC_KEY': 2, 'CKO_PRIVATE_KEY': 3, 'CKO_SECRET_KEY': 4, 'CKC_X_509': 0, 'CKK_RSA': 0, 'CKK_EC': 3,
    'CKA_CLASS': 0, 'CKA_TOKEN': 1, 'CKA_PRIVATE': 2, 'CKA_LABEL': 3, 'CKA_VALUE': 0x11, 'CKA_CERTIFICATE_TYPE': 0x80,
    'CKA_SUBJECT': 0x101, 'CKA_ISSUER': 0x81, 'CKA_SERIAL_NUMBER': 0x82, 'CKA_CERTIFICATE_CATEGORY': 0x87, 'CKA_TRUSTED': 0x86,
    'CKA_KEY_TYPE': 0x100, 'CKA_ID': 0x102, 'CKA_SENSITIVE': 0x103, 'CKA_ENCRYPT': 0x104, 'CKA_DECRYPT': 0x105, 'CKA_SIGN': 0x108,
    'CKA_VERIFY': 0x10a, 'CKA_MODULUS': 0x120, 'CKA_PUBLIC_EXPONENT': 0x122, 'CKA_EC_PARAMS': 0x180, 'CKA_EC_POINT': 0x181,
    'CKA_WRAP': 0x106, 'CKA_UNWRAP': 0x107, 'CKA_DERIVE': 0x10c, 'CKA_EXTRACTABLE': 0x162, 'CKA_NEVER_EXTRACTABLE': 0x164,
    'CKA_ALWAYS_AUTHENTICATE': 0x202, 'CKU_SO': 0, 'CKU_USER': 1,
    'CKM_RSA_PKCS_KEY_PAIR_GEN': 0, 'CKM_RSA_PKCS': 1, 'CKM_RSA_X_509': 3, 'CKM_SHA256_RSA_PKCS': 0x40, 'CKM_RSA_PKCS_PSS': 0xd,
    'CKM_RSA_PKCS_OAEP': 9,
}
# SHA-256, MGF1 by SHA-256, a salt of 32 bytes: what the recorded programs say.
PARAMETERS = {'CKM_RSA_PKCS_PSS': (UL * 3)(0x250, 2, 32)}
BOOLEANS = {'True': b'\1', 'False': b'\0'}

library = c.CDLL(os.environ['MODULE'])
interface = P()
library.C_GetInterface(None, None, c.byref(interface), UL(0))
table = c.cast(c.cast(interface, c.POINTER(P))[1] + 8, c.POINTER(P))
functions = {'C_' + name: c.CFUNCTYPE(UL)(table[i]) for i, name in enumerate(NAMES)}
pin = os.environ['PIN'].encode()
sessions, objects = {}, {}
signing = sealed = None


def asked(rows):
    """A template to search by."""
    def value(said):
        if said in BOOLEANS:
            return BOOLEANS[said]
        return NUMBERS[said].to_bytes(8, 'little') if said in NUMBERS else bytes.fromhex(said)
    return Session.template({NUMBERS[kind]: value(said) for kind, said in rows})


def wanted(rows):
    """A template to be filled: without a buffer where the program had none."""
    made = (Attribute * len(rows))()
    for slot, (kind, room) in zip(made, rows):
        slot.type, slot.length = NUMBERS[kind], ROOM if room else 0
        slot.value = c.cast(c.create_string_buffer(ROOM), P) if room else None
    return made, UL(len(rows))


def slot_list(r):
    count, slots = UL(16), (UL * 16)()
    return functions['C_GetSlotList'](BYTE(r['present']), slots, c.byref(count))


def mechanism_list(r):
    count, all_ = UL(1000), (UL * 1000)()
    return functions['C_GetMechanismList'](UL(r['slot']), all_, c.byref(count))


def about(r, *which):
    """A function that fills one structure."""
    return functions[r['call']](*which, c.create_string_buffer(ROOM))


def open_(r):
    session = UL()
    rv = functions['C_OpenSession'](UL(r['slot']), UL(r['flags']), None, None, c.byref(session))
    sessions[r.get('made')] = session
    return rv


def find(r):
    found, count = (UL * 1000)(), UL()
    rv = functions['C_FindObjects'](sessions[r['session']], found, UL(r['max']), c.byref(count))
    same(count.value, r['found'], 'finds %d' % r['found'])
    objects.update(zip(r.get('objects', []), found[:count.value]))
    return rv


def begin(r):
    global signing
    signing = r['mechanism']
    how = mechanism(NUMBERS[signing], PARAMETERS.get(signing))
    return functions[r['call']](sessions[r['session']], how, UL(objects[r['object']]))


def begin_decryption(r):
    """The recorded program's secret was for another key: one as long is sealed for this one."""
    global sealed
    modulus, exponent = (number(r, kind) for kind in ('CKA_MODULUS', 'CKA_PUBLIC_EXPONENT'))
    size = (modulus.bit_length() + 7) // 8
    padded = b'\0\2' + b'\x5a' * (size - 3 - SECRET) + b'\0' + bytes(range(SECRET))
    sealed = pow(int.from_bytes(padded, 'big'), exponent, modulus).to_bytes(size, 'big')
    return functions[r['call']](sessions[r['session']], mechanism(NUMBERS[r['mechanism']]), UL(objects[r['object']]))


def number(r, kind):
    made, count = wanted([[kind, 1]])
    functions['C_GetAttributeValue'](sessions[r['session']], UL(objects[r['object']]), made, count)
    return int.from_bytes(c.string_at(made[0].value, made[0].length), 'big')


def decrypt(r):
    out, length = c.create_string_buffer(ROOM), UL(ROOM)
    rv = functions['C_Decrypt'](sessions[r['session']], sealed, UL(len(sealed)), out, c.byref(length))
    same(out.raw[:length.value].hex(), bytes(range(SECRET)).hex(), 'what was sealed comes out')
    return rv


def work(r):
    """A function of data and a result."""
    data = bytes.fromhex(r['data'])
    out, length = c.create_string_buffer(ROOM), UL(ROOM)
    asks = r['out'] < 0
    rv = functions[r['call']](sessions[r['session']], data, UL(len(data)), None if asks else out, c.byref(length))
    if not asks:
        same(length.value, r['out'], 'a result of %d bytes' % r['out'])
    if r['call'] == 'C_Sign' and not asks:
        print('# signed %s %s %s' % (signing, data.hex(), out.raw[:length.value].hex()))
    return rv


def of_session(r, *more):
    return functions[r['call']](sessions[r['session']], *more)


HOW = {
    'C_Initialize': lambda r: functions['C_Initialize'](None),
    'C_Finalize': lambda r: functions['C_Finalize'](None),
    'C_GetInfo': about,
    'C_GetSlotList': slot_list,
    'C_GetSlotInfo': lambda r: about(r, UL(r['slot'])),
    'C_GetTokenInfo': lambda r: about(r, UL(r['slot'])),
    'C_GetMechanismList': mechanism_list,
    'C_GetMechanismInfo': lambda r: about(r, UL(r['slot']), UL(NUMBERS[r['mechanism']])),
    'C_OpenSession': open_,
    'C_GetSessionInfo': lambda r: of_session(r, c.create_string_buffer(ROOM)),
    'C_CloseSession': of_session,
    'C_Login': lambda r: of_session(r, UL(NUMBERS[r['user']]), pin, UL(len(pin))),
    'C_Logout': of_session,
    'C_FindObjectsInit': lambda r: of_session(r, *asked(r.get('template', []))),
    'C_FindObjects': find,
    'C_FindObjectsFinal': of_session,
    'C_GetAttributeValue': lambda r: of_session(r, UL(objects[r['object']]), *wanted(r['template'])),
    'C_GenerateRandom': lambda r: of_session(r, c.create_string_buffer(ROOM), UL(32)),
    'C_DecryptInit': begin_decryption,
    'C_Decrypt': decrypt,
    'C_SignInit': begin,
    'C_Sign': work,
}

for line in open(sys.argv[1]):
    if line.startswith('{'):
        row = json.loads(line)
        same(HOW[row['call']](row), CODES[row['rv']], row['call'])
done()
