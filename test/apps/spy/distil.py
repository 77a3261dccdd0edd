"""
Makes a record of what pkcs11-spy wrote: distil.py LOG 'PROGRAM VERSION: what it did' > NAME.record. One line for each call: its name, its
arguments as far as they say anything, its code. PINs are left out. replay.py calls the module by it.
"""
import json
import re
import sys

SKIPPED = ('C_GetFunctionList', 'C_GetInterface', 'C_GetInterfaceList')
TEXT = re.compile(r'^    ((?:[0-9A-F]{2})+)$')
HEX = re.compile(r'^\s+[0-9A-F]{8}  ((?:[0-9A-F]{2} ){1,16})')
ATTRIBUTE = re.compile(r'^\s+(CKA_\w+)\s+(.*?)\s*$')


def blocks(path):
    """Each call: its name and its lines."""
    name, lines = None, []
    for line in open(path, encoding='latin-1'):
        begin = re.match(r'^\d+: (C_\w+)$', line)
        if begin:
            if name:
                yield name, lines
            name, lines = begin.group(1), []
        else:
            lines.append(line.rstrip('\n'))
    if name:
        yield name, lines


def dump_after(lines, at):
    """The bytes of the dump below line `at`."""
    out = b''
    for line in lines[at + 1:]:
        found = HEX.match(line)
        if not found:
            break
        out += bytes.fromhex(found.group(1))
    return out


def template(lines, direction):
    """Rows of [type, value]: hexadecimal of a dump, a name, or the room of a buffer that is asked to be filled."""
    rows, inside = [], False
    for at, line in enumerate(lines):
        if re.match(r'^\[(in|out)\] pTemplate', line):
            inside = line.startswith('[%s]' % direction)
            continue
        if not inside or line.startswith(('[', 'Returned')):
            inside = False
            continue
        found = ATTRIBUTE.match(line)
        if not found:
            continue
        kind, said = found.groups()
        room = re.match(r'^[0-9a-f]+ / (-?\d+)', said)
        text = TEXT.match(lines[at + 1]) if direction == 'in' and room else None
        data = bytes.fromhex(text.group(1)) if text else dump_after(lines, at)
        rows.append([kind, data.hex() if data else int(room.group(1)) if room else said])
    return rows


def value(lines, name):
    for line in lines:
        found = re.match(r'^\[(?:in|out)\] \*?%s = (0x[0-9a-f]+)' % name, line)
        if found:
            return int(found.group(1), 16)
    return None


def data(lines, name):
    for at, line in enumerate(lines):
        found = re.match(r'^\[in\] %s\[\w+\] [0-9a-f]+ / (\d+)' % name, line)
        if found:
            return dump_after(lines, at).hex()
    return None


def out_length(lines, name):
    """-1: only the length was asked for."""
    for line in lines:
        found = re.match(r'^\[out\] %s\[\*?\w+\] (?:[0-9a-f]+ / (\d+)|NULL \[size : 0x[0-9a-f]+ \((\d+)\)\])' % name, line)
        if found:
            return int(found.group(1)) if found.group(1) else -1
    return None


def distil(name, lines):
    call = {'call': name}
    for key, said in (('slot', 'slotID'), ('session', 'hSession'), ('object', 'hObject'), ('object', 'hKey'), ('flags', 'flags'),
                      ('max', 'ulMaxObjectCount'), ('present', 'tokenPresent'), ('found', 'ulObjectCount'),
                      ('made', 'phSession')):
        number = value(lines, said)
        if number is not None:
            call[key] = number
    for line in lines:
        user = re.match(r'^\[in\] userType = (CKU_\w+)', line)
        mechanism = re.match(r'^\[in\] pMechanism->type = (\w+)', line) or re.match(r'^\[in\]\s+type = (CKM_\w+)', line)
        object_ = re.match(r'^Object 0x([0-9a-f]+) matches', line)
        if user:
            call['user'] = user.group(1)
        if mechanism:
            call['mechanism'] = mechanism.group(1)
        if object_:
            call.setdefault('objects', []).append(int(object_.group(1), 16))
    asked = template(lines, 'in')
    if asked:
        call['template'] = asked
    for field in ('pData', 'pEncryptedData'):
        given = data(lines, field)
        if given is not None:
            call['data'] = given
    for field in ('pSignature', 'pData', 'pRandomData'):
        length = out_length(lines, field)
        if length is not None:
            call['out'] = length
    call['rv'] = next(m.group(1) for m in (re.match(r'^Returned:\s+\d+ (\w+)', line) for line in lines) if m)
    return call


def main():
    print('# ' + sys.argv[2])
    seen = {}
    for name, lines in blocks(sys.argv[1]):
        if name in SKIPPED:
            continue
        call = distil(name, lines)
        again = json.dumps([name, call.get('slot'), call['rv']])
        seen[again] = seen.get(again, 0) + 1
        if name != 'C_GetMechanismInfo' or seen[again] <= 3:
            print(json.dumps(call))


main()
