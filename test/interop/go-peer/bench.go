package main

import (
	"context"
	"fmt"
	"io"
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
	manet "github.com/multiformats/go-multiaddr/net"
)

// parallel is how many dials are under way at the same time
const parallel = 50

// dialed counts all dials, so that each has another destination
var dialed atomic.Uint32

// held are the connections that were not closed yet
var held struct {
	sync.Mutex
	connections []io.Closer
}

// raw dials without upgrade, from the port of a listener of its own
var raw reuseport.Transport

var rawListener = sync.OnceValues(func() (manet.Listener, error) {
	return raw.Listen(ma.StringCast("/ip4/0.0.0.0/tcp/0"))
})

type dialFunc func(destination ma.Multiaddr) (io.Closer, error)

// benchDial opens connections and keeps them. The swarm never hears of them
func benchDial(h host.Host, count, port, id string) {
	n, err := strconv.Atoi(count)
	var dial dialFunc
	var listening ma.Multiaddr
	if err == nil {
		dial, listening, err = dialer(h, id)
	}
	if err != nil {
		answer("", "bench-failed", fields{}, err)
		return
	}

	cpu, start := cpuTime(), time.Now()
	err = openAll(n, port, dial)
	answer("bench", "bench-failed", fields{
		"seconds":    time.Since(start).Seconds(),
		"cpuSeconds": (cpuTime() - cpu).Seconds(),
		"port":       portOf(listening),
	}, err)
}

// benchClose closes the newest of them
func benchClose(count string) {
	n, err := strconv.Atoi(count)
	held.Lock()
	defer held.Unlock()
	for ; n > 0 && len(held.connections) > 0; n-- {
		last := len(held.connections) - 1
		held.connections[last].Close()
		held.connections = held.connections[:last]
	}
	answer("bench", "bench-failed", fields{}, err)
}

// benchMemory says what remains resident after garbage collection
func benchMemory() {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	kib := 0
	if err == nil {
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		_, err = fmt.Sscan(rest, &kib)
	}
	answer("bench", "bench-failed", fields{"rssBytes": kib * 1024}, err)
}

// dialer returns what dials, with encryption and multiplexer if there is a peer ID, and
// from where
func dialer(h host.Host, id string) (dialFunc, ma.Multiaddr, error) {
	if id == "" {
		l, err := rawListener()
		if err != nil {
			return nil, nil, err
		}
		return dialRaw, l.Multiaddr(), nil
	}

	p, err := peer.Decode(id)
	return func(destination ma.Multiaddr) (io.Closer, error) {
		c, err := h.Network().(*swarm.Swarm).TransportForDialing(destination).Dial(context.Background(), destination, p)
		if err == nil {
			go refuseStreams(c)
		}
		return c, err
	}, slices.DeleteFunc(h.Network().ListenAddresses(), isRelayed)[0], err
}

func dialRaw(destination ma.Multiaddr) (io.Closer, error) {
	c, err := raw.Dial(destination)
	if err == nil {
		// as the TCP transport does
		err = c.(interface{ SetLinger(int) error }).SetLinger(0)
	}
	return c, err
}

// openAll dials so many loopback addresses until one fails
func openAll(n int, port string, dial dialFunc) error {
	var group sync.WaitGroup
	var next atomic.Int64
	failures := make(chan error, parallel)
	for range parallel {
		group.Go(func() {
			for len(failures) == 0 && int(next.Add(1)) <= n {
				c, err := dial(destination(port))
				if err != nil {
					failures <- err
					return
				}
				held.Lock()
				held.connections = append(held.connections, c)
				held.Unlock()
			}
		})
	}
	group.Wait()
	close(failures)
	return <-failures
}

func destination(port string) ma.Multiaddr {
	n := dialed.Add(1)
	return ma.StringCast(fmt.Sprintf("/ip4/127.%d.%d.%d/tcp/%s", 1+n>>16, n>>8&255, n&255, port))
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

func portOf(address ma.Multiaddr) int {
	a, err := manet.ToNetAddr(address)
	if err != nil {
		return 0
	}
	return a.(*net.TCPAddr).Port
}

// cpuTime is what this process has used so far, in user and kernel mode
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
