import { until } from '../fixtures/until.ts'
import type { Libp2p } from '@libp2p/interface'

/**
 * The address at which others dial this node over a relay, or over this one
 *
 * @throws {Error} if it has none within `timeout` ms
 */
export async function relayedAddress (node: Pick<Libp2p<any>, 'getMultiaddrs'>, timeout: number, relay = ''): Promise<string> {
  const find = (): string | undefined => node.getMultiaddrs().map(ma => ma.toString()).find(ma => ma.includes(`${relay}/p2p-circuit`))
  await until(() => find() != null, timeout)

  return `${find()}`
}
