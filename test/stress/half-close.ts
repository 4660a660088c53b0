import pMap from 'p-map'
import type { HalfCloseNode } from './half-close-node.ts'
import type { HalfClosePeer } from './half-close-peer.ts'
import type { Stage } from './stage.ts'

const EXCHANGES = 120
const AT_ONCE = 8

/**
 * One end sends a request and a FIN and reads on, the other replies: dialed by us and by
 * the peer, each in both parts, with random sizes. Every byte is compared
 */
export async function halfClose (stage: Stage): Promise<void> {
  const node = stage.start<HalfCloseNode>('half-close-node.ts')
  const peer = stage.start<HalfClosePeer>('half-close-peer.ts')
  const [nodePort, peerPort] = [await node.ask('listen', stage.seed), await peer.ask('listen', stage.seed)]
  let started = 0

  await pMap(Array.from({ length: EXCHANGES }, (_, n) => n), async n => {
    stage.progress(`exchange ${started++}`)

    await (n % 2 === 0 ? node.ask('dial', peerPort, n) : peer.ask('dial', nodePort, n))
      .catch(err => { stage.expect(false, `exchange ${n} failed: ${err.message}`) })
  }, { concurrency: AT_ONCE })

  const done = await peer.ask('done')
  const left = await node.ask('leftOver')
  const bytes = done.reduce((sum, n) => sum + n, 0)

  stage.print(`${done.length} exchanges with a peer that half-closes, or that we half-close to, ${(bytes / 1e6).toFixed()} MB, every byte compared`)
  stage.expectEqual('complete exchanges', done.length, EXCHANGES)
  stage.expectNothing('left over', left)
}
