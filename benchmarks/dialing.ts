import { expectEqual, expectSources } from './expect.ts'
import type { Lab } from './lab.ts'
import type { Dialer } from './processes/dialer.ts'
import type { PlainPeer } from './processes/plain-peer.ts'
import type { TransportName } from './row.ts'
import type { Participant } from '../test/stress/processes.ts'

/**
 * A process that dials, and one that is dialed and knows better
 */
export interface Dialing {
  dialer: Participant<Dialer>
  peer: Participant<PlainPeer>

  /**
   * Where the dialer listens
   */
  port: number

  /**
   * Dials once more so often, and checks that the peer saw it
   *
   * @returns what a dial took, in µs
   */
  dial(count: number): Promise<{ time: number, cpu: number }>

  /**
   * Closes the newest connections, and checks that the peer saw it
   */
  close(count: number): Promise<void>
}

export async function startDialing (name: TransportName, lab: Lab, nodeOptions?: string[]): Promise<Dialing> {
  const [dialer, peer] = [lab.start<Dialer>('dialer.ts', nodeOptions), lab.start<PlainPeer>('plain-peer.ts')]
  const [port, peerPort] = await Promise.all([dialer.ask('listen', name), peer.ask('listen')])
  let dials = 0
  let open = 0

  const check = async (): Promise<void> => {
    const seen = await peer.ask('seen', open, port)

    expectEqual('open connections', await dialer.ask('open', open), open)
    expectEqual('open connections of the peer', seen.open, open)
    expectEqual('connections that the peer accepted', seen.accepted, dials)
    expectSources(name, seen.fromPort, dials)
  }

  return {
    dialer,
    peer,
    port,
    async dial (count) {
      const { time, cpu } = await dialer.ask('dial', peerPort, dials, count)
      dials += count
      open += count
      await check()

      return { time: time / count, cpu: cpu / count }
    },
    async close (count) {
      open -= count
      await dialer.ask('close', count)
      await check()
    }
  }
}
