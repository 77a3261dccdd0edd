"""The module as a C program calls it, by ctypes: for parameters with pointers, which pkcs11js cannot make. Prints TAP."""
import ctypes as c
import os
import sys

UL, P, BYTE = c.c_ulong, c.c_void_p, c.c_ubyte

NAMES = '''Initialize Finalize GetInfo GetFunctionList GetSlotList GetSlotInfo GetTokenInfo GetMechanismList GetMechanismInfo
InitToken InitPIN SetPIN OpenSession CloseSession CloseAllSessions GetSessionInfo GetOperationState SetOperationState Login
Logout CreateObject CopyObject DestroyObject GetObjectSize GetAttributeValue SetAttributeValue FindObjectsInit FindObjects
FindObjectsFinal EncryptInit Encrypt EncryptUpdate EncryptFinal DecryptInit Decrypt DecryptUpdate DecryptFinal DigestInit Digest
DigestUpdate DigestKey DigestFinal SignInit Sign SignUpdate SignFinal SignRecoverInit SignRecover VerifyInit Verify VerifyUpdate
VerifyFinal VerifyRecoverInit VerifyRecover DigestEncryptUpdate DecryptDigestUpdate SignEncryptUpdate DecryptVerifyUpdate
GenerateKey GenerateKeyPair WrapKey UnwrapKey DeriveKey SeedRandom GenerateRandom GetFunctionStatus CancelFunction
WaitForSlotEvent GetInterfaceList GetInterface LoginUser SessionCancel MessageEncryptInit EncryptMessage EncryptMessageBegin
EncryptMessageNext MessageEncryptFinal MessageDecryptInit DecryptMessage DecryptMessageBegin DecryptMessageNext
MessageDecryptFinal MessageSignInit SignMessage SignMessageBegin SignMessageNext MessageSignFinal MessageVerifyInit
VerifyMessage VerifyMessageBegin VerifyMessageNext MessageVerifyFinal'''.split()

CLASS, TOKEN, VALUE, KEY_TYPE, SENSITIVE, VALUE_LEN, EXTRACTABLE, DERIVE = 0, 1, 0x11, 0x100, 0x103, 0x161, 0x162, 0x10c
ENCRYPT, DECRYPT, SIGN, VERIFY, WRAP, UNWRAP = 0x104, 0x105, 0x108, 0x10a, 0x106, 0x107
PUBLIC, PRIVATE, SECRET = 2, 3, 4
GENERIC, AES = 0x10, 0x1f


class Mechanism(c.Structure):
    _fields_ = [('type', UL), ('parameter', P), ('length', UL)]


class Attribute(c.Structure):
    _fields_ = [('type', UL), ('value', P), ('length', UL)]


class Refused(Exception):
    def __init__(self, name, rv):
        super().__init__('%s: 0x%x' % (name, rv))
        self.rv = rv


kept = []  # what C pointers point to


def pointer(data):
    """A pointer to bytes that stay."""
    if not data:
        return None
    buffer = c.create_string_buffer(bytes(data), len(data))
    kept.append(buffer)
    return c.cast(buffer, P)


def struct(*fields):
    """A C structure of int (CK_ULONG), bytes (a pointer, then its length), and (ctype, value)."""
    rows, values = [], []
    for field in fields:
        if isinstance(field, int):
            rows.append(UL), values.append(field)
        elif isinstance(field, tuple):
            rows.append(field[0]), values.append(field[1])
        else:
            rows += [P, UL]
            values += [pointer(field), len(field)]
    made = type('Made', (c.Structure,), {'_fields_': [('f%d' % i, row) for i, row in enumerate(rows)]})(*values)
    kept.append(made)
    return made


def mechanism(number, parameter=None):
    m = Mechanism(number, None, 0)
    if isinstance(parameter, (bytes, bytearray)):
        m.parameter, m.length = pointer(parameter), len(parameter)
    elif parameter is not None:
        m.parameter, m.length = c.cast(c.pointer(parameter), P), c.sizeof(parameter)
    kept.append(parameter)
    return c.byref(m)


def template(attributes):
    made = (Attribute * len(attributes))()
    for slot, (number, value) in zip(made, attributes.items()):
        data = value if isinstance(value, bytes) else bytes([value]) if isinstance(value, bool) else value.to_bytes(8, 'little')
        slot.type, slot.value, slot.length = number, pointer(data), len(data)
    kept.append(made)
    return made, len(made)


class Session:
    def __init__(self, path, pin):
        library = c.CDLL(path)
        interface = P()
        assert library.C_GetInterface(None, None, c.byref(interface), UL(0)) == 0
        functions = c.cast(interface, c.POINTER(P))[1]
        table = c.cast(functions + 8, c.POINTER(P))
        self.at = {name: c.CFUNCTYPE(UL)(table[i]) for i, name in enumerate(NAMES)}
        self.call('Initialize', None)
        count = UL(8)
        slots = (UL * 8)()
        self.call('GetSlotList', BYTE(1), slots, c.byref(count))
        session = UL()
        self.call('OpenSession', UL(slots[0]), UL(6), None, None, c.byref(session))
        self.session = session
        self.slot = slots[0]
        self('Login', UL(1), pin.encode(), UL(len(pin)))

    def call(self, name, *arguments):
        rv = self.at[name](*arguments)
        if rv:
            raise Refused(name, rv)

    def __call__(self, name, *arguments):
        self.call(name, self.session, *arguments)

    def give(self, name, *arguments, room=70000):
        """A function whose last arguments are a buffer and its length."""
        buffer, length = c.create_string_buffer(room), UL(room)
        self(name, *arguments, buffer, c.byref(length))
        return buffer.raw[:length.value]

    def run(self, kind, m, key, data):
        self(kind + 'Init', m, UL(key))
        return self.give(kind, bytes(data), UL(len(data)))

    def verify(self, m, key, data, signature):
        self('VerifyInit', m, UL(key))
        self('Verify', bytes(data), UL(len(data)), bytes(signature), UL(len(signature)))

    def secret(self, key_type, value, **more):
        attributes = {CLASS: SECRET, KEY_TYPE: key_type, TOKEN: False, VALUE: value, DERIVE: True}
        attributes.update({int(k[1:], 16): v for k, v in more.items()})
        return self.create(attributes)

    def create(self, attributes):
        handle = UL()
        self('CreateObject', *self.template(attributes), c.byref(handle))
        return handle.value

    @staticmethod
    def template(attributes):
        made, count = template(attributes)
        return made, UL(count)

    def generate(self, number, attributes, parameter=None):
        handle = UL()
        self('GenerateKey', mechanism(number, parameter), *self.template(attributes), c.byref(handle))
        return handle.value

    def pair(self, number, public, private):
        """A key pair of the session."""
        handles = UL(), UL()
        templates = self.template({TOKEN: False, **public}) + self.template({TOKEN: False, **private})
        self('GenerateKeyPair', mechanism(number), *templates, *map(c.byref, handles))
        return handles[0].value, handles[1].value

    def derive(self, m, base, attributes):
        handle = UL()
        whole = {CLASS: SECRET, KEY_TYPE: GENERIC, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}
        whole.update(attributes)
        self('DeriveKey', m, UL(base), *self.template({k: v for k, v in whole.items() if v is not None}), c.byref(handle))
        return handle.value

    def find(self, attributes):
        handles, count = (UL * 1000)(), UL()
        self('FindObjectsInit', *self.template(attributes))
        self('FindObjects', handles, UL(1000), c.byref(count))
        self('FindObjectsFinal')
        return handles[:count.value]

    def value(self, handle, number=VALUE):
        buffer = c.create_string_buffer(8192)
        attribute = Attribute(number, c.cast(buffer, P), 8192)
        self('GetAttributeValue', UL(handle), c.byref(attribute), UL(1))
        return buffer.raw[:attribute.length]


points = 0
failed = 0


def ok(good, name):
    global points, failed
    points += 1
    failed += not good
    print('%sok %d - %s' % ('' if good else 'not ', points, name), flush=True)


def same(found, wanted, name):
    ok(found == wanted, name)
    if found != wanted:
        print('# found  %s\n# wanted %s' % (found, wanted))


def refuses(rv, call, name):
    try:
        call()
        same(0, rv, name)
    except Refused as refusal:
        same(hex(refusal.rv), hex(rv), name)


def done():
    print('1..%d' % points)
    sys.exit(failed > 0)


def open_session():
    return Session(os.environ['MODULE'], os.environ['PIN'])
