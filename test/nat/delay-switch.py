"""An Ethernet switch that holds every frame for a while.

usage: delay-switch.py MILLISECONDS

It obeys these lines on its standard input, and answers each with a line:

plug PID NAME        plug in a new network device NAME of the network namespace
                     that process PID is in; 'ok' or what went wrong
simultaneous-opens   how many TCP simultaneous opens were seen

It ends with its standard input, and its devices with it.
"""

import ctypes
import fcntl
import os
import select
import signal
import struct
import sys
import time
from collections import deque

from simultaneous_opens import SimultaneousOpens

# <linux/if_tun.h>, <linux/sched.h>
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
CLONE_NEWNET = 0x40000000

LONGEST_FRAME = 65_536

libc = ctypes.CDLL(None, use_errno=True)


def plug(pid, name):
    """Returns the device's file descriptor; a device is where it is opened"""
    with open(f'/proc/{pid}/ns/net') as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), 'setns')

    port = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(port, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TAP | IFF_NO_PI))

    return port


def switch(latency):
    ports = []
    port_of = {}  # by MAC address
    under_way = deque()  # all take the same time, so they arrive in order
    opens = SimultaneousOpens(latency)
    commands = open(0, 'rb', buffering=0)

    def obey(command, *args):
        if command == 'simultaneous-opens':
            return opens.count

        try:
            ports.append(plug(*args))
        except OSError as err:
            return err

        return 'ok'

    def send(port, frame, now):
        under_way.append((now + latency, port, frame))
        opens.see(frame, now)

    def deliver(origin, frame):
        destination, source = frame[:6], frame[6:12]
        port_of[source] = origin

        for port in [port_of[destination]] if destination in port_of else ports:
            if port != origin:
                write(port, frame)

    while True:
        timeout = max(0, under_way[0][0] - time.monotonic()) if under_way else None
        readable, _, _ = select.select([commands, *ports], [], [], timeout)
        now = time.monotonic()

        while under_way and under_way[0][0] <= now:
            _, port, frame = under_way.popleft()
            deliver(port, frame)

        for port in readable:
            if port is not commands:
                send(port, os.read(port, LONGEST_FRAME), now)
            elif line := commands.readline():
                print(obey(*line.decode().split()), flush=True)
            else:
                return


def write(port, frame):
    try:
        os.write(port, frame)
    except OSError:
        pass  # a device that is down or busy loses frames, as on any network


if __name__ == '__main__':
    # end without a traceback
    for signum in signal.SIGINT, signal.SIGPIPE:
        signal.signal(signum, signal.SIG_DFL)

    switch(float(sys.argv[1]) / 1000)
