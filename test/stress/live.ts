import assert from 'node:assert/strict'
import { startScript } from '../kit/processes.ts'
import { until } from '../kit/wait.ts'
import { startPeer } from './peer.ts'
import { openFilesLimit } from './resources.ts'
import type { Dialer } from './dialer.ts'

const CONNECTIONS = 5_000
const DESCRIPTORS_NEEDED = CONNECTIONS + 200
const LIMIT = 60_000

/** 5,000 connections at once, all from one listening port */
export async function live (): Promise<string[]> {
  assert.ok(openFilesLimit() >= DESCRIPTORS_NEEDED, `${openFilesLimit()} files can be open, ${DESCRIPTORS_NEEDED} are needed: ulimit -n ${DESCRIPTORS_NEEDED}`)

  const dialer = startScript<Dialer>(new URL('dialer.ts', import.meta.url), [], { limit: LIMIT })
  const port = await dialer.ask('listen')
  const peer = await startPeer('echoes')
  const dialed = await dialer.ask('dialAll', peer.port, CONNECTIONS)
  const open = await peer.open()
  const closed = await dialer.ask('closeAll')
  const left = await dialer.ask('leftOver')
  await until(async () => await peer.open() === 0)
  peer.close()

  assert.deepEqual({ dialed, open, closed, left, ended: await dialer.stop() }, { dialed: { loopback: CONNECTIONS }, open: CONNECTIONS, closed: { closed: CONNECTIONS }, left: {}, ended: 'code 0' })
  assert.equal(peer.sources.filter(source => source === port).length, CONNECTIONS, 'connections from the listening port')

  return [`${CONNECTIONS} connections open at once from one port, an echo on each, nothing left over`]
}
