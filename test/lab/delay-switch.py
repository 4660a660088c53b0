"""An Ethernet switch that holds every frame for a while, and loses some.

usage: delay-switch.py LATENCY JITTER LOSS SEED

Frames are under way for LATENCY ms and up to JITTER ms more; LOSS percent of them
are lost. Which ones, and how long the others take, comes from SEED.

It obeys these lines on its standard input, and answers each with a line:

plug PID NAME MS     plug in a new network device NAME of the network namespace
                     that process PID is in, to and from which frames take MS more;
                     'ok' or what went wrong
simultaneous-opens   how many TCP simultaneous opens were seen
drop WHAT A B        lose chosen frames between ends A and B, see losses.py; a number
dropped NUMBER       'done: ', or 'waiting: ' if they did not all come, and those lost

It ends with its standard input, and its devices with it.
"""

import ctypes
import fcntl
import heapq
import itertools
import os
import select
import signal
import struct
import sys
import time

from losses import DROPS, Weather
from simultaneous_opens import SimultaneousOpens
from tcp_segments import segment_in

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


def switch(latency, weather):
    distances = {}  # of each port, in seconds
    port_of = {}  # by MAC address
    under_way = []  # a heap, those that arrive first in front
    numbers = itertools.count()  # of frames that arrive together the older is first
    opens = SimultaneousOpens()
    drops = []
    commands = open(0, 'rb', buffering=0)

    def obey(command, *args):
        if command == 'simultaneous-opens':
            return opens.count

        if command == 'drop':
            what, *ends = args
            drops.append(DROPS[what](*ends))

            return len(drops) - 1

        if command == 'dropped':
            return drops[int(args[0])]

        pid, name, distance = args

        try:
            distances[plug(pid, name)] = float(distance) / 1000
        except OSError as err:
            return err

        return 'ok'

    def send(origin, frame, now):
        destination, source = frame[:6], frame[6:12]
        segment = segment_in(frame)
        port_of[source] = origin

        if segment and any([drop.loses(segment) for drop in drops]):
            return

        delay = weather.delay(frame, segment)

        if delay is None:
            return

        ports = [port_of[destination]] if destination in port_of else [port for port in distances if port != origin]

        for port in ports:
            arrival = now + latency + distances[origin] + distances[port] + delay
            heapq.heappush(under_way, (arrival, next(numbers), port, frame))

            if segment and len(ports) == 1:
                opens.see(segment, now, arrival)

    while True:
        timeout = max(0, under_way[0][0] - time.monotonic()) if under_way else None
        readable, _, _ = select.select([commands, *distances], [], [], timeout)
        now = time.monotonic()

        while under_way and under_way[0][0] <= now:
            _, _, port, frame = heapq.heappop(under_way)
            write(port, frame)

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

    base, jitter, loss, seed = sys.argv[1:]
    switch(float(base) / 1000, Weather(float(loss) / 100, float(jitter) / 1000, seed))
