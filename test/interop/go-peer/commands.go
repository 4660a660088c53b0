package main

import (
	"context"
	"fmt"
	"log"
	"strconv"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"
)

// answer emits the event that says how a command ended
func answer(succeeded, failed string, f fields, err error) {
	if err != nil {
		f["error"] = err.Error()
		emit(failed, f)
		return
	}
	emit(succeeded, f)
}

func since(start time.Time) float64 {
	return float64(time.Since(start).Microseconds()) / 1000
}

func dial(h host.Host, address, at string) {
	start := time.Now()
	if at != "" {
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			answer("", "dial-failed", fields{"address": address, "ms": 0}, err)
			return
		}
		start = time.UnixMilli(ms)
		time.Sleep(time.Until(start))
	}

	_, err := connect(h, address)
	answer("dialed", "dial-failed", fields{"address": address, "ms": since(start)}, err)
}

// connect dials this address and none that the peerstore may know
func connect(h host.Host, address string) (*peer.AddrInfo, error) {
	info, err := peer.AddrInfoFromString(address)
	if err != nil {
		return nil, err
	}

	ctx := context.Background()
	if len(info.Addrs) == 1 && !isRelayed(info.Addrs[0]) {
		// a relayed connection does not do instead
		ctx = network.WithForceDirectDial(ctx, "dial")
	}

	h.Peerstore().ClearAddrs(info.ID)
	h.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.TempAddrTTL)
	h.Network().(*swarm.Swarm).Backoff().Clear(info.ID)
	// unlike the host's Connect, it does not wait for identify
	_, err = h.Network().DialPeer(ctx, info.ID)

	return info, err
}

var relays struct {
	sync.Mutex
	addresses []ma.Multiaddr
}

func reserve(h host.Host, address string) {
	f := fields{"address": fmt.Sprintf("%s/p2p-circuit/p2p/%s", address, h.ID())}
	info, err := connect(h, address)
	if err == nil {
		_, err = client.Reserve(context.Background(), h, *info)
	}
	if err == nil {
		err = announceRelay(h, address)
	}
	answer("reserved", "reserve-failed", f, err)
}

// announceRelay has the host announce itself behind this relay, as AutoRelay would
func announceRelay(h host.Host, address string) error {
	relays.Lock()
	defer relays.Unlock()
	relays.addresses = append(relays.addresses, ma.StringCast(address+"/p2p-circuit"))

	emitter, err := h.EventBus().Emitter(new(event.EvtAutoRelayAddrsUpdated))
	if err != nil {
		return err
	}
	defer emitter.Close()

	return emitter.Emit(event.EvtAutoRelayAddrsUpdated{RelayAddrs: relays.addresses})
}

func closeAll(h host.Host, id string) {
	p, err := peer.Decode(id)
	if err == nil {
		err = h.Network().ClosePeer(p)
	}
	if err != nil {
		log.Printf("close %s: %v", id, err)
	}
	emit("closed", fields{"peer": id})
}
