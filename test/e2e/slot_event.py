"""C_WaitForSlotEvent while a service goes and comes, as slot-event.test.ts tells it to. Prints TAP."""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../vectors'))
from cryptoki import *

NO_EVENT, NOT_INITIALIZED = 0x8, 0x190
s = open_session()


def wait(flags=0):
    slot = UL(99)
    s.call('WaitForSlotEvent', UL(flags), c.byref(slot), None)
    return slot.value


refuses(NO_EVENT, lambda: wait(1), 'a token that was there is no event')
refuses(0x7, lambda: s.call('WaitForSlotEvent', UL(1), None, None), 'nowhere to say which slot')
for what in ('gone', 'back'):
    print('# waiting', flush=True)
    same(wait(), s.slot, 'the token is %s' % what)
    refuses(NO_EVENT, lambda: wait(1), 'and that was told once')
woken = threading.Thread(target=lambda: refuses(NOT_INITIALIZED, wait, 'C_Finalize wakes who waits'))
woken.start()
while woken.is_alive():
    woken.join(0.3)
    if woken.is_alive():
        s.at['Finalize'](None)
done()
