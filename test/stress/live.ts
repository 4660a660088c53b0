import { add, format } from './counting.ts'
import { LOOPBACK_HOSTS } from './loopback.ts'
import type { EchoPeer } from './echo-peer.ts'
import type { LiveDialer } from './live-dialer.ts'
import type { Stage } from './stage.ts'

const PEER_PROCESSES = 4
const PORTS_PER_PROCESS = 5
const CONNECTIONS = LOOPBACK_HOSTS.length * PEER_PROCESSES * PORTS_PER_PROCESS

/**
 * The dialer has a descriptor for each connection, and some more. A peer has a
 * quarter of the connections, and as many listeners
 */
const DESCRIPTORS_NEEDED = CONNECTIONS + 200

/**
 * 5,000 connections at once, all from one listening port
 */
export async function live (stage: Stage): Promise<void> {
  const dialer = stage.start<LiveDialer>('live-dialer.ts')
  const openFilesLimit = await dialer.ask('openFilesLimit')

  if (openFilesLimit < DESCRIPTORS_NEEDED) {
    stage.expect(false, `${openFilesLimit} files can be open, ${DESCRIPTORS_NEEDED} are needed: ulimit -n ${DESCRIPTORS_NEEDED}`)
    return
  }

  const port = await dialer.ask('listen')
  const peers = Array.from({ length: PEER_PROCESSES }, () => stage.start<EchoPeer>('echo-peer.ts'))
  const addresses = (await Promise.all(peers.map(async peer => peer.ask('listen', LOOPBACK_HOSTS, PORTS_PER_PROCESS, port)))).flat()
  const sources = await dialer.ask('dial', addresses)
  const echoes = await dialer.ask('echo', stage.seed)
  const open = await dialer.ask('open')
  const during = add(await Promise.all(peers.map(async peer => peer.ask('seen'))))
  const closed = await dialer.ask('close')
  const left = add([await dialer.ask('leftOver'), ...await Promise.all(peers.map(async peer => peer.ask('leftOver')))])
  const after = add(await Promise.all(peers.map(async peer => peer.ask('seen'))))

  stage.print(`dialed from: ${format(sources)}`)
  stage.print(`open at once: ${open.toLocaleString('en')}; peers saw ${during.open.toLocaleString('en')} open, ${during.fromListeningPort.toLocaleString('en')} from port ${port}, ${during.fromEphemeralPort.toLocaleString('en')} from ephemeral ports; ${echoes.toLocaleString('en')} echoes`)
  stage.print(`then: ${format(closed)}; left over: ${format(left) || 'nothing'}; ${openFilesLimit.toLocaleString('en')} files can be open`)

  stage.expectEqual('open connections', open, CONNECTIONS)
  stage.expectEqual('open connections of the peers', during.open, CONNECTIONS)
  stage.expectEqual('connections from the listening port', during.fromListeningPort, CONNECTIONS)
  stage.expectEqual('connections that did not come from the port that the dialer said', during.fromUnexpectedPort, 0)
  stage.expectEqual('echoes', echoes, CONNECTIONS)
  stage.expectEqual('closed connections', closed.closed, CONNECTIONS)
  stage.expectEqual('open connections of the peers afterwards', after.open, 0)
  stage.expectEqual('unexpected errors of the peers', after.errors, 0)
  stage.expectNothing('left over', left)
}
