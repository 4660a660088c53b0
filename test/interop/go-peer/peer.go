package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"math"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

type options struct {
	listen      []ma.Multiaddr
	security    string
	seed        uint // 0: a random key
	psk         uint // 0: no private network
	relayServer bool
}

// relayResources are for as many peers as come. Relayed connections are still
// limited ones, as they are in the wild
var relayResources = relay.Resources{
	Limit:                 &relay.RelayLimit{Duration: time.Hour, Data: 1 << 40},
	ReservationTTL:        time.Hour,
	MaxReservations:       math.MaxInt,
	MaxCircuits:           math.MaxInt,
	BufferSize:            2048,
	MaxReservationsPerIP:  math.MaxInt,
	MaxReservationsPerASN: math.MaxInt,
}

// start listens and says so
func start(o options) (host.Host, error) {
	securities := map[string]libp2p.Option{
		"noise": libp2p.Security(noise.ID, noise.New),
		"tls":   libp2p.Security(libp2ptls.ID, libp2ptls.New),
	}
	security, ok := securities[o.security]
	if !ok {
		return nil, fmt.Errorf("no such security: %s", o.security)
	}

	key, err := makeKey(o.seed)
	if err != nil {
		return nil, err
	}

	privateNetwork := libp2p.ChainOptions()
	if o.psk > 0 {
		psk, err := repeat(o.psk)
		if err != nil {
			return nil, err
		}
		privateNetwork = libp2p.PrivateNetwork(psk)
	}

	h, err := libp2p.New(
		libp2p.Identity(key),
		privateNetwork,
		libp2p.NoListenAddrs,
		libp2p.EnableRelay(),
		libp2p.Transport(tcp.NewTCPTransport),
		security,
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.ConnectionManager(connmgr.NullConnMgr{}),
		// turns AutoNAT off. Who has no reservation announces its public addresses
		// all the same
		libp2p.ForceReachabilityPrivate(),
		libp2p.EnableHolePunching(holepunch.WithTracer(holePunches{})),
		libp2p.DisableMetrics(),
	)
	if err != nil {
		return nil, err
	}

	h.SetStreamHandler(echoProtocol, serveEcho)

	if o.relayServer {
		_, err := relay.New(h, relay.WithResources(relayResources), relay.WithReservationAddressFilter(func(ma.Multiaddr) bool { return true }))
		if err != nil {
			return nil, err
		}
	}

	ready := make(chan struct{})
	if err := watch(h, ready); err != nil {
		return nil, err
	}

	for _, address := range o.listen {
		// given several addresses, it would be content with one
		if err := h.Network().Listen(address); err != nil {
			return nil, err
		}
	}

	emit("ready", fields{"peer": h.ID()})
	close(ready)

	for _, address := range h.Network().ListenAddresses() {
		if !isRelayed(address) {
			emit("listening", fields{"address": address})
		}
	}

	return h, nil
}

func makeKey(seed uint) (crypto.PrivKey, error) {
	if seed == 0 {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		return key, err
	}
	b, err := repeat(seed)
	if err != nil {
		return nil, err
	}
	return crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(b))
}

// repeat returns 32 bytes of this value
func repeat(value uint) ([]byte, error) {
	if value > 255 {
		return nil, fmt.Errorf("no byte has the value %d", value)
	}
	return bytes.Repeat([]byte{byte(value)}, 32), nil
}
