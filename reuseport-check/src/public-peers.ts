import { Resolver } from 'node:dns/promises'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * The names of the IPFS network's bootstrap nodes, as IPFS documents them ('Public utilities',
 * 'Amino DHT bootstrappers'). Each name stands for one or several nodes
 */
const NAMES = ['bootstrap.libp2p.io', 'va1.bootstrap.libp2p.io']

export const PUBLIC_PEERS_NOTICE = `This dials the public bootstrap nodes of the IPFS network: ${NAMES.map(name => `/dnsaddr/${name}`).join(', ')}. They see the address of this machine.\n`

/**
 * Asks the name server for the ids of the bootstrap nodes.
 *
 * @returns one address for each node. libp2p looks it up again when it dials
 * @throws {Error} the system's error, if a name can't be looked up, or the reason of the signal
 */
export async function findPublicPeers (signal: AbortSignal): Promise<Multiaddr[]> {
  const resolver = new Resolver()
  const cancel = (): void => { resolver.cancel() }
  signal.addEventListener('abort', cancel)

  try {
    const found = await Promise.all(NAMES.map(async name => {
      const records = await resolver.resolveTxt(`_dnsaddr.${name}`)
      const ids = records.map(chunks => /^dnsaddr=.*\/p2p\/(\w+)$/.exec(chunks.join(''))?.[1]).filter(id => id != null)

      return [...new Set(ids)].map(id => multiaddr(`/dnsaddr/${name}/p2p/${id}`))
    }))

    return found.flat()
  } catch (err) {
    signal.throwIfAborted()
    throw err
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}
