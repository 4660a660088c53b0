/**
 * What `--help` prints
 */
export const HELP = `Usage: reuseport-check [options] [multiaddr…]

Starts a node, dials the peers from the port that it listens on, and says which port
they were dialed from, which address they saw, and what follows for NATs and hole
punching. Without peers it starts two on this machine and dials those.

Options:
  --port N           listen on this port (default: 0, a free one)
  --timeout SECONDS  how long to wait for each peer (default: 10)
  --json             print one JSON document and nothing else
  -h, --help         print this
  --version          print the version

Exit codes:
  0    all peers were reached, and dialed from the listening port
  1    one was not, or the check could not be made
  2    the arguments are wrong
  130  ended by Ctrl-C (143: by SIGTERM)

Examples:
  reuseport-check
  reuseport-check --port 4001 /ip4/192.0.2.1/tcp/4001 /dns4/example.com/tcp/4001
  reuseport-check --json /dnsaddr/example.com/p2p/12D3Koo… | jq .verdict

The environment variable LIBP2P_TCP_REUSEPORT=false turns port reuse off. The fields of
the JSON document are described in src/bin/result.ts of the package.
`
