"""Recognizes TCP simultaneous opens on the wire"""

IPV4 = b'\x08\x00'
IPV6 = b'\x86\xdd'
TCP = 6
SYN = 0x02
ACK = 0x10


class SimultaneousOpens:
    """Counts the pairs of SYNs that meet: each is sent before the other arrives,
    from where the other goes to"""

    def __init__(self, latency):
        self.count = 0
        self._latency = latency
        self._sent = {}

    def see(self, frame, now):
        """To be called with every frame when it is sent"""
        ends = ends_of_syn(frame)

        if ends is None:
            return

        if now - self._sent.pop(ends[::-1], float('-inf')) < self._latency:
            self.count += 1
        else:
            self._sent[ends] = now


def ends_of_syn(frame):
    """Where the frame comes from and goes to, if it is a SYN that does not
    acknowledge another"""
    ethertype, packet = frame[12:14], frame[14:]

    if ethertype == IPV4 and packet[9] == TCP:
        source, destination, segment = packet[12:16], packet[16:20], packet[(packet[0] & 15) * 4:]
    elif ethertype == IPV6 and packet[6] == TCP:
        source, destination, segment = packet[8:24], packet[24:40], packet[40:]
    else:
        return None

    if segment[13] & (SYN | ACK) != SYN:
        return None

    return source + segment[0:2], destination + segment[2:4]
