import { DialError } from '@libp2p/interface'
import { tryGetNetConfig } from '@libp2p/utils'
import { CODE_DNS, CODE_DNS4, CODE_DNS6, CODE_DNSADDR, CODE_P2P, CODE_SNI } from '@multiformats/multiaddr'
import { TCP } from '@multiformats/multiaddr-matcher'
import { untilAborted } from '../abort.ts'
import { parseDialAddr, resolveName, toMultiaddr } from '../address.ts'
import { familyOf, isPublic } from '../endpoint.ts'
import type { Asker, Turns } from './turns.ts'
import type { ConnectionGater, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/** How many addresses of a peer are dialed at most: it may name anybody's */
export const MAX_DIALS = 8

/** The parts of a multiaddr that somebody looks up before a socket connects */
const NAMES = [CODE_DNS, CODE_DNS4, CODE_DNS6, CODE_DNSADDR, CODE_SNI]

/**
 * What may be dialed of what a peer names: public addresses only, or it could have us dial
 * what is behind our firewall, or on this machine. `@libp2p/dcutr` takes any name for public
 */
export class PeerAddresses {
  readonly #gater?: ConnectionGater
  readonly #lookups: Turns

  /**
   * @param gater - is asked for each address, and again for what a name resolves to
   * @param lookups - how many names are looked up at a time
   */
  constructor (gater: ConnectionGater | undefined, lookups: Turns) {
    this.#gater = gater
    this.#lookups = lookups
  }

  /**
   * The addresses that are the peer's and that we may dial, with its peer id: some peers leave
   * it out, but nobody else must answer
   *
   * @throws {DialError} if we may not dial the peer, or none of them
   */
  async select (peer: PeerId, multiaddrs: Multiaddr[]): Promise<Multiaddr[]> {
    const selected: Multiaddr[] = []
    let room = MAX_DIALS

    if (await this.#gater?.denyDialPeer?.(peer) === true) {
      throw new DialError(`The connection gater denies dialing ${peer}`)
    }

    for (const ma of multiaddrs) {
      const id = ma.getComponents().find(({ code }) => code === CODE_P2P)?.value
      const dials = countDials(ma)

      if (dials > 0 && dials <= room && (id == null || id === peer.toString()) && await this.#mayDial(ma)) {
        selected.push(id == null ? ma.encapsulate(`/p2p/${peer}`) : ma)
        room -= dials
      }
    }

    if (selected.length === 0) {
      throw new DialError(`None of the addresses of ${peer} may be dialed`)
    }

    return selected
  }

  /**
   * A selected address, or the public ones that its name resolves to, the first one of each
   * family. Only these are dialed, not the name: its server could give another answer then
   *
   * @throws {DialError} if it resolves to none that may be dialed
   * @throws {Error} the resolver's error, or {@link AbortError}
   */
  async resolve (peer: PeerId, ma: Multiaddr, asker: Asker, signal: AbortSignal): Promise<Multiaddr[]> {
    const target = TCP.exactMatch(ma) ? parseDialAddr(ma) : undefined

    if (target?.type !== 'name') {
      return [ma]
    }

    const { name, port, family } = target
    // a lookup has its place until it ends, whoever still waits for it
    const found = await untilAborted(this.#lookups.run(asker, signal, async () => resolveName(name, port, family)), signal)
    const endpoints = found.filter(({ host }) => isPublic(host))
    const resolved: Multiaddr[] = []

    for (const endpoint of [4, 6].map(wanted => endpoints.find(({ host }) => familyOf(host) === wanted))) {
      const literal = endpoint == null ? undefined : toMultiaddr(endpoint).encapsulate(`/p2p/${peer}`)

      if (literal != null && await this.#mayDial(literal)) {
        resolved.push(literal)
      }
    }

    if (resolved.length === 0) {
      throw new DialError(`${ma} does not resolve to a public address that may be dialed`)
    }

    return resolved
  }

  async #mayDial (ma: Multiaddr): Promise<boolean> {
    return await this.#gater?.denyDialMultiaddr?.(ma) !== true
  }
}

/**
 * How many dials an address may come to: two for a name that may have addresses of both
 * families, none if it is not public. Transports other than TCP look up names themselves, a
 * server name (SNI) beside an IP address included
 */
function countDials (ma: Multiaddr): number {
  const config = tryGetNetConfig(ma)

  switch (config?.type) {
    case 'ip4':
    case 'ip6':
      return isPublic(config.host) && !ma.getComponents().some(({ code }) => NAMES.includes(code)) ? 1 : 0
    case 'dns4':
    case 'dns6':
      return TCP.exactMatch(ma) && config.port !== 0 ? 1 : 0
    case 'dns':
      return TCP.exactMatch(ma) && config.port !== 0 ? 2 : 0
    default:
      return 0
  }
}
