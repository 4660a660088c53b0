package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

const echoProtocol = "/libp2p-reuseport-tcp/echo"

const echoTimeout = time.Minute

func serveEcho(s network.Stream) {
	if _, err := io.Copy(s, s); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

func echo(h host.Host, id, length string) {
	start := time.Now()
	n, err := strconv.Atoi(length)
	var relayed bool
	if err == nil {
		relayed, err = echoBytes(h, id, n)
	}
	answer("echoed", "echo-failed", fields{"peer": id, "bytes": n, "relayed": relayed, "ms": since(start)}, err)
}

func echoBytes(h host.Host, id string, n int) (relayed bool, err error) {
	p, err := peer.Decode(id)
	if err != nil {
		return false, err
	}

	ctx := network.WithAllowLimitedConn(network.WithNoDial(context.Background(), "echo"), "echo")
	// the swarm prefers direct connections
	s, err := h.NewStream(ctx, p, echoProtocol)
	if err != nil {
		return false, err
	}
	defer s.Close()
	relayed = isRelayed(s.Conn().RemoteMultiaddr())
	s.SetDeadline(time.Now().Add(echoTimeout))

	sent := make([]byte, n)
	rand.Read(sent)
	written := make(chan error, 1)
	go func() {
		_, err := s.Write(sent)
		written <- err
	}()

	received := make([]byte, n)
	if _, err = io.ReadFull(s, received); err != nil {
		// or else it may be written forever
		s.Reset()
	}
	if err := errors.Join(err, <-written); err != nil {
		return relayed, err
	}
	if !bytes.Equal(sent, received) {
		return relayed, errors.New("what came back is not what was sent")
	}

	return relayed, nil
}
