"""A real keeper and a socket as systemd's: when it says WATCHDOG=1, and when it does not. Prints TAP.

usage: keeper_watchdog.py KEEPER [keeper options]
"""
import ctypes
import os
import select
import shutil
import signal
import sys
import tempfile
import time

from keeper_rig import *  # noqa: F401,F403
sys.path.insert(0, os.path.join(here, '../systemd'))
from notify_socket import NotifySocket  # noqa: E402

PERIOD_MS = 600
LOOK_S = PERIOD_MS / 3000
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), 'ptrace')


def workers(pid):
    return sorted(int(name) for name in os.listdir('/proc/%d/task' % pid) if int(name) != pid)


def watched(path, *options, usec=str(PERIOD_MS * 1000), pid=None):
    """A keeper for which `path` is the socket of systemd. `pid` None: its own."""
    name = path if path.startswith('@') else os.path.abspath(path)
    environment = {'NOTIFY_SOCKET': name, 'WATCHDOG_USEC': usec}
    # exec keeps the pid, which only the child knows.
    line = 'WATCHDOG_PID=%s exec "$0" "$@"' % ('$$' if pid is None else pid)
    return Keeper(*options, by=['sh', '-c', line], env=environment)


def rsa_pair(agent, bits):
    parameters = [(BITS, u64(bits)), (0x122, b'\1\0\1')]
    return agent.send('cell_generate', new_key(PRIVATE, RSA) + u64(0) + bs(b'') + template(parameters))


def stands_still(notify, k):
    k.process.send_signal(signal.SIGSTOP)
    notify.count(k.process.pid, 'WATCHDOG=1', 0.1)
    ok(notify.count(k.process.pid, 'WATCHDOG=1', 2 * LOOK_S) == 0, 'a keeper that is stopped says nothing')
    k.process.send_signal(signal.SIGCONT)
    ok(notify.receive(5) == (k.process.pid, 'WATCHDOG=1'), 'and says so as soon as it goes on')


def workers_stand_still(notify, k):
    threads = workers(k.process.pid)
    for thread in threads:
        ptrace(PTRACE_SEIZE, thread)
        ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WALL)
    notify.count(k.process.pid, 'WATCHDOG=1', 2 * LOOK_S)
    ok(notify.count(k.process.pid, 'WATCHDOG=1', 4 * LOOK_S) == 0, 'nor does one whose workers stand still, although its main thread turns')
    for thread in threads:
        ptrace(PTRACE_DETACH, thread)
    ok(notify.receive(5) == (k.process.pid, 'WATCHDOG=1'), 'it is well again when they go on')
    time.sleep(0.1)
    logged = [line for line in k.lines if b'no_progress' in line]
    ok(len(logged) == 1 and b'events are not handled' in logged[0], 'its log says why, once')


def long_work(notify, k, agent):
    """More pairs than workers, of which each takes longer than systemd waits."""
    ids = [rsa_pair(agent, 3072) for _ in range(3)]
    begin, seen = time.monotonic(), 0
    waiting = set(ids)
    while waiting and time.monotonic() - begin < 120:
        ready, _, _ = select.select([agent.sock, notify.socket], [], [], 1)
        if agent.sock in ready:
            waiting.discard(agent.receive()['id'])
        if notify.socket in ready:
            seen += notify.receive() == (k.process.pid, 'WATCHDOG=1')
    took = time.monotonic() - begin
    ok(not waiting and seen >= took / (PERIOD_MS / 1000), 'a keeper whose workers all search for primes is not idle')
    print('# %d reports in %.1f s, with a period of %.1f s' % (seen, took, PERIOD_MS / 1000))


def main():
    folder = tempfile.mkdtemp(prefix='sidekey-')
    notify = NotifySocket(folder + '/notify')
    k = watched(folder + '/notify', '--workers', '2')
    pid = k.process.pid
    ok(notify.receive(5) == (pid, 'READY=1'), 'it is ready first')
    seen = notify.count(pid, 'WATCHDOG=1', 2)
    ok(2 / (PERIOD_MS / 1000) < seen <= 2 / LOOK_S + 1, 'then it says that it works, two or three times in each period')
    agent = k.agent()
    stands_still(notify, k)
    workers_stand_still(notify, k)
    long_work(notify, k, agent)
    ok(agent.call('state')['status'] == 'ok', 'it serves on')
    os.unlink(folder + '/notify')
    notify.socket.close()
    time.sleep(3 * LOOK_S)
    ok(agent.call('state')['status'] == 'ok' and any(b'notify_failed' in line for line in k.lines), 'also when systemd is gone')
    ok(k.stop() == 0, 'and ends as asked')

    for what, options in (('for another process', {'pid': 1}), ('that is no number', {'usec': '10s'}), ('of 0', {'usec': '0'})):
        name = '@sidekey-watchdog-%d' % os.getpid()
        notify = NotifySocket(name)
        k = watched(name, **options)
        ok(notify.receive(5) == (k.process.pid, 'READY=1') and notify.receive(1) is None, 'a watchdog %s is none' % what)
        k.stop()
        notify.socket.close()
    shutil.rmtree(folder)
    done()


main()
