import { pEvent } from 'p-event'
import { dial } from '../../examples/ports/dial.ts'
import { startNode } from '../../examples/ports/node.ts'
import { reuseportTcp } from '../../src/index.ts'
import { echo, sendAndReceive } from './echo.ts'
import { portNumber, step, whichPort } from './steps.ts'
import type { Dialed } from '../../examples/ports/dial.ts'
import type { Node } from '../../examples/ports/node.ts'
import type { Connection } from '@libp2p/interface'

const ADDRESS = '/ip4/127.0.0.1/tcp/0'
const PROTOCOL = '/libp2p-reuseport-tcp/echo'

/**
 * Has one libp2p node dial another one
 */
export async function tryNodes (): Promise<void> {
  const nodes: Node[] = []

  const dialPeer = async (): Promise<Dialed> => dial(nodes[0], nodes[1].getMultiaddrs()[0])

  await step('nodes: start', async () => {
    nodes.push(await startNode(reuseportTcp(), [ADDRESS]))
    nodes.push(await startNode(reuseportTcp(), [ADDRESS]))
    await nodes[1].handle(PROTOCOL, echo)
  })

  await step('nodes: port that the peer sees', async () => {
    const { connection, source } = await dialPeer()
    const { observedAddr } = await nodes[0].services.identify.identify(connection)

    if (observedAddr == null || source == null) {
      throw new Error('it is not said')
    }

    return whichPort(portNumber(observedAddr), portNumber(nodes[0].getMultiaddrs()[0]), source)
  })

  await step('nodes: ping', async () => {
    await nodes[0].services.ping.ping(nodes[1].peerId)
  })

  await step('nodes: send and receive', async () => {
    const { connection } = await dialPeer()
    await sendAndReceive(await connection.newStream(PROTOCOL))
  })

  await step('nodes: close', async () => {
    const { connection, source } = await dialPeer()
    const closed = pEvent<'connection:close', CustomEvent<Connection>>(nodes[1], 'connection:close', {
      filter: ({ detail: { remoteAddr } }) => source?.localAddr != null && portNumber(remoteAddr) === portNumber(source.localAddr)
    })
    await Promise.all([closed, connection.close()])
  })

  await step('nodes: stop', async () => {
    await Promise.all(nodes.map(async node => node.stop()))
  })
}
