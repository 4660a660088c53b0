package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/reuseport"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

// holdParallel is how many of the connections to be held are dialed at a time
const holdParallel = "50"

// holdSettled is how long it takes until nothing is under way any more on them
const holdSettled = 3 * time.Second

// benchDial dials raw TCP connections from the port of a listener of their own
func benchDial(count, parallel, port string) {
	var t reuseport.Transport
	listener, err := t.Listen(ma.StringCast("/ip4/0.0.0.0/tcp/0"))
	if err != nil {
		answer("", "bench-failed", fields{}, err)
		return
	}
	defer listener.Close()
	listening := listener.Addr().(*net.TCPAddr).Port

	bench(count, parallel, port, func(destination ma.Multiaddr) (bool, error) {
		c, err := t.Dial(destination)
		if err != nil {
			return false, err
		}
		// as the TCP transport does
		c.(interface{ SetLinger(int) error }).SetLinger(0)
		return c.LocalAddr().(*net.TCPAddr).Port == listening, c.Close()
	})
}

// benchConnect opens connections with encryption and multiplexer, which the swarm
// never hears of
func benchConnect(h host.Host, count, parallel, port, id string) {
	bench(count, parallel, port, func(destination ma.Multiaddr) (bool, error) {
		c, err := dialTransport(h, destination, id)
		if err != nil {
			return false, err
		}
		return isFromListeningPort(h, c), c.Close()
	})
}

// benchHold opens such connections, and keeps them until the process ends
func benchHold(h host.Host, count, port, id string) {
	var mutex sync.Mutex
	var held []transport.CapableConn
	before := residentBytes()
	_, err := run(count, holdParallel, port, func(destination ma.Multiaddr) error {
		c, err := dialTransport(h, destination, id)
		if err != nil {
			return err
		}
		mutex.Lock()
		held = append(held, c)
		mutex.Unlock()
		go refuseStreams(c)
		return nil
	})
	time.Sleep(holdSettled)
	held = slices.DeleteFunc(held, transport.CapableConn.IsClosed)
	reused := 0
	for _, c := range held {
		if isFromListeningPort(h, c) {
			reused++
		}
	}
	answer("bench", "bench-failed", fields{
		"connections":       len(held),
		"fromListeningPort": reused,
		"rssBytesBefore":    before,
		"rssBytesAfter":     residentBytes(),
	}, err)
}

// bench times a benchmark. `dial` opens and closes a connection, and says whether
// it came from the listening port
func bench(count, parallel, port string, dial func(ma.Multiaddr) (bool, error)) {
	var fromListeningPort atomic.Int64
	cpu, start := cpuTime(), time.Now()
	dials, err := run(count, parallel, port, func(destination ma.Multiaddr) error {
		reused, err := dial(destination)
		if reused {
			fromListeningPort.Add(1)
		}
		return err
	})
	answer("bench", "bench-failed", fields{
		"dials":             dials,
		"seconds":           time.Since(start).Seconds(),
		"cpuSeconds":        (cpuTime() - cpu).Seconds(),
		"fromListeningPort": fromListeningPort.Load(),
	}, err)
}

// run calls `dial` for so many loopback addresses, so many at a time, until one
// fails. It returns how many did not
func run(count, parallel, port string, dial func(ma.Multiaddr) error) (int, error) {
	numbers := make([]int, 3)
	for i, s := range []string{count, parallel, port} {
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, err
		}
		numbers[i] = n
	}

	var group sync.WaitGroup
	var next, succeeded atomic.Int64
	var failure atomic.Pointer[error]
	for range numbers[1] {
		group.Go(func() {
			for failure.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= numbers[0] {
					return
				}
				if err := dial(destination(i, numbers[2])); err != nil {
					failure.Store(&err)
					return
				}
				succeeded.Add(1)
			}
		})
	}
	group.Wait()

	n := int(succeeded.Load())
	if err := failure.Load(); err != nil {
		return n, *err
	}
	return n, nil
}

// destination is another address each time, so that no 4-tuple comes twice
func destination(i, port int) ma.Multiaddr {
	return ma.StringCast(fmt.Sprintf("/ip4/127.0.%d.%d/tcp/%d", i/254%256, i%254+1, port))
}

func dialTransport(h host.Host, destination ma.Multiaddr, id string) (transport.CapableConn, error) {
	p, err := peer.Decode(id)
	if err != nil {
		return nil, err
	}
	return h.Network().(*swarm.Swarm).TransportForDialing(destination).Dial(context.Background(), destination, p)
}

func isFromListeningPort(h host.Host, c transport.CapableConn) bool {
	port, _ := c.LocalMultiaddr().ValueForProtocol(ma.P_TCP)
	return slices.ContainsFunc(h.Network().ListenAddresses(), func(address ma.Multiaddr) bool {
		listening, err := address.ValueForProtocol(ma.P_TCP)
		return err == nil && listening == port
	})
}

// refuseStreams answers the remote's identify, which would wait for its streams to
// be accepted
func refuseStreams(c transport.CapableConn) {
	for {
		s, err := c.AcceptStream()
		if err != nil {
			return
		}
		s.Reset()
	}
}

// cpuTime is what this process has used so far, in user and kernel mode
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// residentBytes is what remains resident after garbage collection
func residentBytes() int {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		panic(err)
	}
	return kib * 1024
}
