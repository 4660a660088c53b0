package main

import (
	"encoding/json"
	"log"
	"os"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
)

// fields of an event
type fields map[string]any

var stdout sync.Mutex

func emit(event string, f fields) {
	f["event"] = event
	line, err := json.Marshal(f)
	if err != nil {
		log.Fatal(err)
	}

	stdout.Lock()
	defer stdout.Unlock()
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		log.Fatal(err)
	}
}

// watch emits the events that no command asks for, as soon as the peer is ready
func watch(h host.Host, ready <-chan struct{}) error {
	identified, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return err
	}

	self := ma.StringCast("/p2p/" + h.ID().String())
	go func() {
		for e := range identified.Out() {
			if e := e.(event.EvtPeerIdentificationCompleted); e.ObservedAddr != nil {
				<-ready
				// some peers append our ID
				address := e.ObservedAddr.Decapsulate(self)
				emit("observed", fields{"peer": e.Peer, "address": address, "relayed": isRelayed(e.Conn.RemoteMultiaddr())})
			}
		}
	}()

	emitConnection := func(event string) func(network.Network, network.Conn) {
		return func(_ network.Network, c network.Conn) {
			<-ready
			emit(event, fields{
				"peer":      c.RemotePeer(),
				"direction": strings.ToLower(c.Stat().Direction.String()),
				"remote":    c.RemoteMultiaddr(),
				"relayed":   isRelayed(c.RemoteMultiaddr()),
			})
		}
	}
	h.Network().Notify(&network.NotifyBundle{
		ConnectedF:    emitConnection("connected"),
		DisconnectedF: emitConnection("disconnected"),
	})

	return nil
}

func isRelayed(address ma.Multiaddr) bool {
	_, err := address.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// holePunches is told of every attempt
type holePunches struct{}

func (holePunches) Trace(e *holepunch.Event) {
	f := fields{"peer": e.Remote}
	switch evt := e.Evt.(type) {
	case *holepunch.StartHolePunchEvt:
		f["state"] = "begun"
	case *holepunch.EndHolePunchEvt:
		f["state"] = "succeeded"
		if !evt.Success {
			f["state"], f["error"] = "failed", evt.Error
		}
	case *holepunch.ProtocolErrorEvt:
		f["state"], f["error"] = "failed", evt.Error
	case *holepunch.DirectDialEvt:
		log.Printf("plain dial before hole punching: %+v", *evt)
		return
	default:
		return
	}
	emit("hole-punch", f)
}
