"""Which frames are lost on the way"""

import random

from tcp_segments import ACK, SYN

ARP = b'\x08\x06'


class Weather:
    """Loses frames at random and delays the others. Each TCP connection has a
    random sequence of its own for each direction, and so has each pair of machines
    for ARP: a seed plays the same on it whatever others do meanwhile"""

    def __init__(self, loss, jitter, seed):
        self._loss = loss
        self._jitter = jitter
        self._seed = seed
        self._sequences = {}

    def delay(self, frame, segment):
        """In seconds, or None if the frame is lost"""
        flow = f'{segment.source} {segment.destination}' if segment else arp_ends(frame)

        if flow not in self._sequences:
            self._sequences[flow] = random.Random(f'{self._seed} {flow}')

        sequence = self._sequences[flow]
        lost, delay = sequence.random() < self._loss, sequence.random() * self._jitter

        return None if lost else delay


class Drop:
    """Loses chosen frames. To be sure that it is these, it waits for what comes
    before them"""

    def __init__(self, steps):
        self._steps = steps
        self._lost = []

    def loses(self, segment):
        if not self._steps:
            return False

        source, destination, kind, is_lost = self._steps[0]

        if segment.kind != kind or segment.length > 0 or not (is_end(segment.source, source) and is_end(segment.destination, destination)):
            return False

        self._steps = self._steps[1:]

        if is_lost:
            self._lost.append(str(segment))

        return is_lost

    def __str__(self):
        return f'{"waiting" if self._steps else "done"}: {", ".join(self._lost)}'


# by name, given one end and the other
DROPS = {
    # the first SYN from A to B
    'first-syn': lambda a, b: Drop([(a, b, SYN, True)]),

    # A's SYN is lost, and so has opened A's NAT only. B's meets A's dial, A answers
    # SYN-ACK, B is connected, and the ACK that would tell A is lost
    'punch-ack': lambda a, b: Drop([(a, b, SYN, True), (a, b, SYN | ACK, False), (b, a, ACK, True)]),

    # and the SYN-ACK that A sends again
    'punch-ack-and-syn-ack': lambda a, b: Drop([(a, b, SYN, True), (a, b, SYN | ACK, False), (b, a, ACK, True), (a, b, SYN | ACK, True)]),

    # the other way round
    'punch-syn-ack-and-ack': lambda a, b: Drop([(a, b, SYN, True), (a, b, SYN | ACK, True), (a, b, SYN | ACK, False), (b, a, ACK, True)])
}


def arp_ends(frame):
    """The IP addresses of an ARP frame, nothing for others"""
    return f'{frame[28:32]} {frame[38:42]}' if frame[12:14] == ARP else ''


def is_end(end, wanted):
    """Is this the end that is wanted: ADDRESS:PORT, or ADDRESS with any port?"""
    address, port = end

    return wanted in (address, f'{address}:{port}')
