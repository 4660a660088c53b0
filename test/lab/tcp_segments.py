"""What the switch needs to know of TCP, read from Ethernet frames"""

import socket
from collections import namedtuple

IPV4 = b'\x08\x00'
IPV6 = b'\x86\xdd'
TCP = 6
FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10
NAMES = {SYN: 'SYN', FIN: 'FIN', RST: 'RST', PSH: 'PSH', ACK: 'ACK'}


class Segment(namedtuple('Segment', 'source destination flags length')):
    """Both ends as (address, port). The length is that of the data"""

    @property
    def kind(self):
        return self.flags & (SYN | ACK | FIN | RST)

    def __str__(self):
        flags = '-'.join(name for flag, name in NAMES.items() if self.flags & flag)

        return f'{flags} {show(self.source)} > {show(self.destination)}'


def show(end):
    address, port = end

    return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'


def segment_in(frame):
    """The frame's TCP segment, if it has one"""
    ethertype, packet = frame[12:14], frame[14:]

    if ethertype == IPV4 and packet[9] == TCP:
        family, source, destination = socket.AF_INET, packet[12:16], packet[16:20]
        packet = packet[:int.from_bytes(packet[2:4], 'big')][(packet[0] & 15) * 4:]
    elif ethertype == IPV6 and packet[6] == TCP:
        family, source, destination = socket.AF_INET6, packet[8:24], packet[24:40]
        packet = packet[40:40 + int.from_bytes(packet[4:6], 'big')]
    else:
        return None

    return Segment(
        (socket.inet_ntop(family, source), int.from_bytes(packet[0:2], 'big')),
        (socket.inet_ntop(family, destination), int.from_bytes(packet[2:4], 'big')),
        packet[13],
        len(packet) - (packet[12] >> 4) * 4
    )
