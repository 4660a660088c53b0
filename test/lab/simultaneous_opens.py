"""Recognizes TCP simultaneous opens on the wire"""

from tcp_segments import SYN


class SimultaneousOpens:
    """Counts the pairs of SYNs that meet: each is sent before the other arrives,
    from where the other goes to"""

    def __init__(self):
        self.count = 0
        self._arrivals = {}

    def see(self, segment, now, arrival):
        """To be called with every segment when it is sent"""
        if segment.kind != SYN:
            return

        ends = segment.source, segment.destination

        if now < self._arrivals.pop(ends[::-1], 0):
            self.count += 1
        else:
            self._arrivals[ends] = arrival
