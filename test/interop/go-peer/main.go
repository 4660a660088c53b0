// An interop peer made of go-libp2p. ../README.md says how it is told what to do,
// and what it answers
package main

import (
	"bufio"
	"flag"
	"log"
	"os"
	"strings"

	"github.com/libp2p/go-libp2p/core/host"
	ma "github.com/multiformats/go-multiaddr"
)

func main() {
	var options options
	flag.Func("listen", "listen on this multiaddr. May be repeated", func(s string) error {
		address, err := ma.NewMultiaddr(s)
		options.listen = append(options.listen, address)
		return err
	})
	flag.StringVar(&options.security, "security", "noise", "noise or tls")
	flag.UintVar(&options.seed, "seed", 0, "the key is made of 32 bytes of this value, 1 to 255")
	flag.UintVar(&options.psk, "psk", 0, "be in a private network, whose key is 32 bytes of this value, 1 to 255")
	flag.BoolVar(&options.relayServer, "relay-server", false, "serve as a circuit relay v2")
	flag.Parse()

	h, err := start(options)
	if err != nil {
		log.Fatal(err)
	}

	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		go obey(h, lines.Text())
	}
}

func obey(h host.Host, line string) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}

	// arguments that are missing are empty
	args := append(words[1:], "", "", "")
	switch command := words[0]; command {
	case "dial":
		dial(h, args[0], args[1])
	case "reserve":
		reserve(h, args[0])
	case "echo":
		echo(h, args[0], args[1])
	case "close", "abort":
		// go-libp2p sets SO_LINGER to 0, so what it closes it aborts
		closeAll(h, args[0])
	default:
		log.Printf("no such command: %s", command)
	}
}
