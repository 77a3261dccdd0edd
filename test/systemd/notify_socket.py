"""The socket that systemd gives a service (sd_notify(3)), as strict as systemd: a datagram from any other process than the one
expected, or with a line that systemd does not know, is an error.

As a program: notify_socket.py PATH prints one line for each datagram: seconds since its start, pid of the sender, the datagram as
JSON. `ready` is its first line."""
import json
import os
import re
import socket
import struct
import sys
import time

KNOWN = re.compile(r'READY=1|RELOADING=1|STOPPING=1|WATCHDOG=1|MONOTONIC_USEC=[1-9][0-9]*|STATUS=[^\n]*')


class NotifySocket:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind('\0' + path[1:] if path.startswith('@') else path)

    def receive(self, timeout=None):
        """(pid, text), or None when nothing comes in time."""
        self.socket.settimeout(timeout)
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
        except (TimeoutError, socket.timeout):
            return None
        assert not flags & socket.MSG_TRUNC, 'a datagram that is too long'
        [(level, kind, credentials)] = ancillary
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
        text = data.decode()
        for line in text.rstrip('\n').split('\n'):
            assert KNOWN.fullmatch(line), line
        return struct.unpack('3i', credentials)[0], text

    def count(self, pid, message, seconds):
        """How many of these come from `pid` in that time; anything else is an error."""
        end, seen = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            got = self.receive(left)
            if got is None:
                break
            assert got == (pid, message), got
            seen += 1
        return seen


if __name__ == '__main__':
    here, start = NotifySocket(sys.argv[1]), time.monotonic()
    print('ready', flush=True)
    while True:
        sender, said = here.receive()
        print('%.3f %d %s' % (time.monotonic() - start, sender, json.dumps(said)), flush=True)
