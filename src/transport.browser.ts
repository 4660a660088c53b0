import { serviceCapabilities, transportSymbol } from '@libp2p/interface'
import type { Transport } from '@libp2p/interface'

const MESSAGE = 'TCP connections are not possible in browsers'

/**
 * Takes the place of the transport in browsers, which have no TCP sockets
 */
export class ReuseportTcp implements Transport {
  readonly [transportSymbol] = true
  readonly [Symbol.toStringTag] = 'libp2p-reuseport-tcp'
  readonly [serviceCapabilities]: string[] = ['@libp2p/transport']

  constructor () {
    throw new Error(MESSAGE)
  }

  async dial (): Promise<never> {
    throw new Error(MESSAGE)
  }

  async connect (): Promise<never> {
    throw new Error(MESSAGE)
  }

  createListener (): never {
    throw new Error(MESSAGE)
  }

  listenFilter (): [] {
    return []
  }

  dialFilter (): [] {
    return []
  }
}
