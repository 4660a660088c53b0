/**
 * The process under observation in the part `live`: holds many connections at
 * once, all from its one listening port
 */

import pMap from 'p-map'
import { tell } from '../kit/serve.ts'
import { createTransport, ruleOrWhy } from '../kit/transport.ts'
import { within } from '../kit/wait.ts'
import { count } from './counting.ts'
import { startEcho } from './echo.ts'
import { toMultiaddr } from './loopback.ts'
import { bytes } from './random.ts'
import { leftOver, openFilesLimit, startWatching } from './resources.ts'
import { serve } from './troubles.ts'
import type { Counts } from './counting.ts'
import type { PeerAddress } from './loopback.ts'
import type { RawConnection } from '../../src/index.ts'

export type LiveDialer = typeof commands

/**
 * How many dials, echoes or closes run at a time
 */
const CONCURRENCY = 100

/**
 * How long each of them may take, in ms
 */
const LIMIT = 10_000

const PAYLOAD_SIZE = 1_000

const { connect, listen } = createTransport()
let connections: RawConnection[] = []

const commands = {
  openFilesLimit,
  async listen (): Promise<number> {
    const { port } = await listen('/ip4/127.0.0.1/tcp/0')
    startWatching()

    return port
  },

  /**
   * @returns how many dials came from where
   */
  async dial (peers: PeerAddress[]): Promise<Counts> {
    const sources: string[] = []

    connections = await pMap(peers, async peer => {
      if (sources.length % 100 === 0) {
        tell('progress', `${sources.length.toLocaleString('en')} connections`)
      }

      const { connection, source } = await within(LIMIT, connect(toMultiaddr(peer)), `the dial to ${toMultiaddr(peer)}`)
      sources.push(ruleOrWhy(source))

      return connection
    }, { concurrency: CONCURRENCY })

    return count(sources)
  },
  async echo (seed: number): Promise<number> {
    const complete = await pMap(connections, async (connection, i) => {
      await within(LIMIT, startEcho(connection, { payload: bytes(`${seed} ${i}`, PAYLOAD_SIZE) }).complete, `the echo of ${connection.remoteAddr}`)
    }, { concurrency: CONCURRENCY })

    return complete.length
  },
  open: () => connections.filter(({ status }) => status === 'open').length,
  async close (): Promise<Counts> {
    await pMap(connections, async connection => within(LIMIT, connection.close(), `closing ${connection.remoteAddr}`), { concurrency: CONCURRENCY })

    return count(connections.map(({ status }) => status))
  },
  leftOver
}

serve(commands)
