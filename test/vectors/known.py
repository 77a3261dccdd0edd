"""
Published answers that are data: each file of known/ is one mechanism, its number, the type of its keys, who published, and answers in hex:
operation (Encrypt, Sign or Digest), key, parameter where there is one, data, and what it gives. What is encrypted is decrypted again, what is
signed is verified, and refused when a bit of it is another.
"""
import glob
import json
import os

from cryptoki import *


def known():
    for path in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'known', '*.json'))):
        with open(path) as file:
            yield json.load(file)


def hold(s, entry, answer):
    number, name = int(entry['number'], 16), entry['mechanism'] + ': ' + entry['against']
    key, data, gives, parameter = (bytes.fromhex(answer[field]) if field in answer else None for field in ('key', 'data', 'gives', 'parameter'))
    m = lambda: mechanism(number, parameter)
    if answer['operation'] == 'Digest':
        s('DigestInit', m())
        return same(s.give('Digest', data, UL(len(data))), gives, name)
    handle = s.secret(int(entry['keyType'], 16), key, _104=True, _105=True, _108=True, _10a=True)
    same(s.run(answer['operation'], m(), handle, data), gives, name)
    if answer['operation'] == 'Encrypt':
        return same(s.run('Decrypt', m(), handle, gives), data, 'and back')
    s.verify(m(), handle, data, gives)
    refuses(0xc0, lambda: s.verify(m(), handle, data, bytes([gives[0] ^ 1]) + gives[1:]), 'and no other')


if __name__ == '__main__':
    s = open_session()
    for entry in known():
        for answer in entry['answers']:
            hold(s, entry, answer)
    done()
