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

/** How many addresses of a peer are dialed at most. A peer can name addresses of others */
export const MAX_DIALS = 8

/** The parts of a multiaddr that are names, which are looked up before a socket connects */
const NAMES = [CODE_DNS, CODE_DNS4, CODE_DNS6, CODE_DNSADDR, CODE_SNI]

/**
 * Selects the addresses of a peer that may be dialed. These are public addresses only. Else a
 * peer could make this node dial hosts behind its firewall, or its own machine.
 * `@libp2p/dcutr` treats any name as public
 */
export class PeerAddresses {
  readonly #gater?: ConnectionGater
  readonly #lookups: Turns

  /**
   * @param gater - is asked about each address, and about each address that a name resolves to
   * @param lookups - limits how many names are looked up at a time
   */
  constructor (gater: ConnectionGater | undefined, lookups: Turns) {
    this.#gater = gater
    this.#lookups = lookups
  }

  /**
   * The addresses of the peer that may be dialed. An address without a peer id gets the peer's,
   * so that no other peer can answer
   *
   * @throws {DialError} if the peer, or each of its addresses, may not be dialed
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
   * A selected address as it is, or, if it has a name, the public addresses that the name
   * resolves to: the first one of each family. The dials use these addresses and not the name,
   * because the name server could answer differently the next time
   *
   * @throws {DialError} if the name resolves to no address that may be dialed
   * @throws {Error} the resolver's error, or {@link AbortError}
   */
  async resolve (peer: PeerId, ma: Multiaddr, asker: Asker, signal: AbortSignal): Promise<Multiaddr[]> {
    const target = TCP.exactMatch(ma) ? parseDialAddr(ma) : undefined

    if (target?.type !== 'name') {
      return [ma]
    }

    const { name, port, family } = target
    // a lookup keeps its place until it ends, even if nobody waits for it any more
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
 * How many dials an address may need: two for a name that may have addresses of both families,
 * none if the address may not be dialed. Transports other than TCP look up names by themselves,
 * even a server name (SNI) next to an IP address. So these addresses may not be dialed
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
