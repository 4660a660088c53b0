#!/usr/bin/env python3
"""
Tries rules for local ports on real sockets. Prints as JSON, for each, what it comes to in
xnu, in Linux and in this process: `works`, or the name of the error
"""

import errno
import json
import subprocess
import sys
from socket import AF_INET, AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, SO_REUSEADDR, SO_REUSEPORT, SOL_SOCKET, socket

HOST, ANY, HOST6, ANY6 = '127.0.0.1', '0.0.0.0', '::1', '::'
WORKS, IN_USE, NOT_AVAILABLE = 'works', 'EADDRINUSE', 'EADDRNOTAVAIL'

# Listens on one port, is bound to another, tells both, and ends with this process
OTHER_PROCESS = '''
import rules
print(rules.listen(rules.HOST), rules.bind(rules.HOST), flush=True)
input()
'''

sockets = []


def bind(host, port=0, only_ipv6=True, reuse_address=True):
    """As libuv does it, which always sets SO_REUSEADDR. Returns the port"""
    sockets.append(socket(AF_INET6 if ':' in host else AF_INET))
    sockets[-1].setsockopt(SOL_SOCKET, SO_REUSEADDR, reuse_address)

    if ':' in host:
        sockets[-1].setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, only_ipv6)

    sockets[-1].bind((host, port))

    return sockets[-1].getsockname()[1]


def listen(*args):
    port = bind(*args)
    sockets[-1].listen()

    return port


def listen_on_both():
    return listen(HOST, listen(ANY))


def dial(host, port, peer):
    """Returns the local port"""
    bind(host, port)
    sockets[-1].connect((HOST, peer))

    return sockets[-1].getsockname()[1]


def dial_three(host, port):
    """The peers must see the port, and who listens on it must still accept"""
    listener = sockets[-1]
    peers = []

    for _ in range(3):
        listen(HOST)
        peers.append(sockets[-1])

    for peer in peers:
        dial(host, port, peer.getsockname()[1])

    assert [peer.accept()[1][1] for peer in peers] == [port] * 3
    client = dial(HOST, 0, port)
    assert listener.accept()[1][1] == client


def dial_again(host, close=False):
    """The ends of a connection that is open, or that this side has closed first"""
    peer = listen(HOST)
    listener = sockets[-1]
    port = dial(HOST, 0, peer)

    if close:
        accepted, _ = listener.accept()
        sockets.pop().close()
        accepted.recv(1)
        accepted.close()

    dial(host, port, peer)


def rules(elsewhere):
    listening, bound = elsewhere

    return [
        ('SO_REUSEPORT', 'ENOTSUP', WORKS, lambda: socket().setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)),
        ('two listen on port 0', WORKS, WORKS, lambda: (listen(HOST), listen(HOST))),
        ('bind, where one listens', IN_USE, IN_USE, lambda: bind(HOST, listen(HOST))),
        ('bind, where one is bound', IN_USE, WORKS, lambda: bind(HOST, bind(HOST))),
        ('bind, where another process listens', IN_USE, IN_USE, lambda: bind(HOST, listening)),
        ('bind, where another process is bound', IN_USE, WORKS, lambda: bind(HOST, bound)),
        ('bind to 0.0.0.0, where another process listens on 127.0.0.1', WORKS, IN_USE, lambda: bind(ANY, listening)),
        ('bind to 127.0.0.1, where one listens on 0.0.0.0', WORKS, IN_USE, lambda: bind(HOST, listen(ANY))),
        ('the same without SO_REUSEADDR', IN_USE, IN_USE, lambda: bind(HOST, listen(ANY), reuse_address=False)),
        ('bind to 0.0.0.0, where one listens on 127.0.0.1', WORKS, IN_USE, lambda: bind(ANY, listen(HOST))),
        ('listen on 127.0.0.1, where one listens on 0.0.0.0', WORKS, IN_USE, lambda: listen(HOST, listen(ANY))),
        ('bind to 127.0.0.1, where both are listened on', IN_USE, IN_USE, lambda: bind(HOST, listen_on_both())),
        ('bind to 0.0.0.0, where both are listened on', IN_USE, IN_USE, lambda: bind(ANY, listen_on_both())),
        ('bind to ::1, where one listens on ::', WORKS, IN_USE, lambda: bind(HOST6, listen(ANY6))),
        ('bind to ::, where one listens on ::1', WORKS, IN_USE, lambda: bind(ANY6, listen(HOST6))),
        ('bind to ::, where one listens on ::', IN_USE, IN_USE, lambda: bind(ANY6, listen(ANY6))),
        ('bind to 0.0.0.0, where one listens on ::', WORKS, WORKS, lambda: bind(ANY, listen(ANY6))),
        ('bind to 0.0.0.0, where one listens on :: for both', IN_USE, IN_USE, lambda: bind(ANY, listen(ANY6, 0, False))),
        ('bind to :: for both, where one listens on 0.0.0.0', WORKS, IN_USE, lambda: bind(ANY6, listen(ANY), False)),
        ('three dials from 127.0.0.1, where one listens on 0.0.0.0', WORKS, IN_USE, lambda: dial_three(HOST, listen(ANY))),
        ('three dials from 0.0.0.0, where one listens on 127.0.0.1', WORKS, IN_USE, lambda: dial_three(ANY, listen(HOST))),
        ('a second connection with the same ends', IN_USE, NOT_AVAILABLE, lambda: dial_again(HOST)),
        ('a second connection with the same ends, from 0.0.0.0', IN_USE, NOT_AVAILABLE, lambda: dial_again(ANY)),
        ('a connection with ends that are in TIME_WAIT', IN_USE, WORKS, lambda: dial_again(HOST, close=True))
    ]


def outcome(attempt):
    try:
        attempt()
        return WORKS
    except OSError as error:
        return 'ENOTSUP' if error.errno == errno.ENOTSUP else errno.errorcode[error.errno]
    finally:
        while sockets:
            sockets.pop().close()


if __name__ == '__main__':
    with subprocess.Popen([sys.executable, '-B', '-c', OTHER_PROCESS], cwd=sys.path[0], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        elsewhere = map(int, other.stdout.readline().split())
        print(json.dumps([{'rule': rule, 'xnu': xnu, 'linux': linux, 'seen': outcome(attempt)} for rule, xnu, linux, attempt in rules(elsewhere)]))
        other.stdin.write(b'\n')
