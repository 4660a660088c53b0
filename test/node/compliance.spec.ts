import tests from '@libp2p/interface-compliance-tests/transport'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { TCP } from '@multiformats/multiaddr-matcher'
import { reuseportTcp } from '../../src/index.ts'
import type { Libp2pInit } from 'libp2p'

for (const host of ['/ip4/127.0.0.1', '/ip6/::1']) {
  describe(`transport compliance over ${host}`, () => {
    const listening = (): Libp2pInit => ({
      addresses: { listen: [`${host}/tcp/0`, `${host}/tcp/0`] },
      transports: [reuseportTcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionGater: { denyDialMultiaddr: () => false }
    })

    tests({
      // the dialer listens as well: its dials come from its listening port
      setup: async () => ({
        dialer: listening(),
        listener: listening(),
        dialMultiaddrMatcher: TCP,
        listenMultiaddrMatcher: TCP
      }),
      teardown: async () => {}
    })
  })
}
