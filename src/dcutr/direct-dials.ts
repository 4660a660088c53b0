import { abortError } from '../abort.ts'
import { CONNECTION_ATTEMPT_DELAY_MS, race } from '../dialing/race.ts'
import { MAX_DIALS, PeerAddresses } from './peer-addresses.ts'
import { Turns } from './turns.ts'
import type { PunchDial } from './punch.ts'
import type { Asker, FailedPeers } from './turns.ts'
import type { Attempt, RaceOptions } from '../dialing/race.ts'
import type { ReuseportTcpDialOptions } from '../options.ts'
import type { Role } from '../upgrading/roles.ts'
import type { DCUtRServiceComponents } from '@libp2p/dcutr'
import type { Connection, ConnectionGater, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ProgressEvent, ProgressOptions } from 'progress-events'

export interface DirectDialsComponents {
  transportManager: DCUtRServiceComponents['transportManager']
  connectionGater?: ConnectionGater
}

/** What is dialed, for whom, and as what */
export interface WantedDials {
  peer: PeerId
  asker: Asker
  multiaddrs: Multiaddr[]

  /** The role of a hole punch, which comes from the listening port. A plain dial has no role */
  role?: Role

  /** What the dials are for. A connection that opens after it has aborted is closed */
  signal: AbortSignal
}

/** The port and the role of a dial: options of `reuseportTcp()`, which libp2p passes on to it */
type DialOptions = Pick<ReuseportTcpDialOptions, 'signal' | 'reusePort' | 'initiator'> & ProgressOptions

/**
 * Dials addresses that peers name: only those that may be dialed, and each when it is its turn.
 * A punch can wait for its turn, as the peer's SYNs are sent again meanwhile
 */
export class DirectDials {
  readonly #components: DirectDialsComponents
  readonly #addresses: PeerAddresses

  /** `turns.ts` explains these limits */
  readonly #coordinated: Turns
  readonly #followed: Turns

  constructor (components: DirectDialsComponents, failed: FailedPeers) {
    this.#components = components
    this.#addresses = new PeerAddresses(components.connectionGater, new Turns({ all: 2, ofRelay: 1, ofPeer: 1 }, failed))
    this.#coordinated = new Turns({ all: 64, ofRelay: 32, ofPeer: MAX_DIALS }, failed)
    this.#followed = new Turns({ all: 32, ofRelay: 16, ofPeer: MAX_DIALS }, failed)
  }

  /** Can an address be dialed at once? */
  hasRoom (asker: Asker, role?: Role): boolean {
    return this.#turns(role).hasRoom(asker)
  }

  /**
   * The addresses of the peer that may be dialed
   *
   * @throws {DialError} if none may be dialed
   */
  async select (peer: PeerId, multiaddrs: Multiaddr[]): Promise<Multiaddr[]> {
    return this.#addresses.select(peer, multiaddrs)
  }

  /** A dial for each address */
  dialsOf (wanted: WantedDials): PunchDial[] {
    const { peer, asker, multiaddrs, role } = wanted

    return multiaddrs.map((ma): PunchDial => async (signal, onConnected) => {
      const resolved = await this.#addresses.resolve(peer, ma, asker, signal)
      const inTurn = resolved.map((address): Attempt<Connection> => async raced => {
        return this.#turns(role).run(asker, raced, async () => this.#dial(address, wanted, raced, onConnected))
      })

      return race(inTurn, raceOptions(signal))
    })
  }

  /**
   * Dials the addresses from an ephemeral port, one after the other until one answers (RFC 8305).
   * A dial without an answer leaves an entry in this node's NAT. If this entry were for the
   * listening port, the peer's SYN of a punch could get in before this node has sent its own SYN.
   * The listener would answer with a SYN-ACK. The NAT drops the SYN-ACK, because its entry is for
   * a SYN that was sent from inside
   *
   * @throws {Error} if none may be dialed, or none answers
   */
  async plain (wanted: Omit<WantedDials, 'role'>): Promise<Connection> {
    const multiaddrs = await this.select(wanted.peer, wanted.multiaddrs)

    return race(this.dialsOf({ ...wanted, multiaddrs }), raceOptions(wanted.signal))
  }

  /**
   * Dials the first address that may be dialed
   *
   * @throws {Error} if none may be dialed, or the dial fails
   */
  async first (peer: PeerId, multiaddrs: Multiaddr[], options: DialOptions & { signal: AbortSignal }): Promise<Connection> {
    const [multiaddr] = await this.select(peer, multiaddrs)

    return this.#open(multiaddr, options, options.signal)
  }

  async #dial (ma: Multiaddr, { role, signal: purpose }: WantedDials, signal: AbortSignal, onConnected?: (took: number) => void): Promise<Connection> {
    if (role == null) {
      return this.#open(ma, { signal, reusePort: false }, purpose)
    }

    const began = performance.now()
    const onProgress = ({ type }: ProgressEvent): void => {
      if (type === 'tcp:source-port') {
        onConnected?.(performance.now() - began)
      }
    }

    return this.#open(ma, { signal, reusePort: 'require', initiator: role === 'initiator', onProgress }, purpose)
  }

  /**
   * Dials without the connection manager, as its dial queue drops the options
   *
   * @throws {AbortError} if `purpose` has aborted meanwhile
   */
  async #open (ma: Multiaddr, options: DialOptions, purpose: AbortSignal): Promise<Connection> {
    const connection = await this.#components.transportManager.dial(ma, options)

    if (purpose.aborted) {
      // libp2p closes its connections when it stops, but this one was opened later
      const err = abortError(purpose)
      connection.abort(err)
      throw err
    }

    return connection
  }

  #turns (role?: Role): Turns {
    return role === 'initiator' ? this.#followed : this.#coordinated
  }
}

function raceOptions (signal: AbortSignal): RaceOptions<Connection> {
  return {
    delay: CONNECTION_ATTEMPT_DELAY_MS,
    signal,
    discard: connection => { connection.close().catch(err => { connection.abort(err) }) }
  }
}
