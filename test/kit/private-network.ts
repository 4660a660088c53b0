import { preSharedKey } from '@libp2p/pnet'
import type { Libp2pOptions } from 'libp2p'

/** What makes a node one of a private network, whose key is 32 bytes of this value, 1 to 255 */
export function inPrivateNetwork (value: number): Pick<Libp2pOptions, 'connectionProtector'> {
  const hex = Buffer.alloc(32, value).toString('hex')

  return { connectionProtector: preSharedKey({ psk: Buffer.from(`/key/swarm/psk/1.0.0/\n/base16/\n${hex}`) }) }
}
