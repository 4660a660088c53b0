import { reuseportTcp } from 'libp2p-reuseport-tcp'
import { dcutr } from 'libp2p-reuseport-tcp/dcutr'

export const answer = 42

/**
 * Nobody calls this, so nobody uses the imports
 */
export function uncalled () {
  return [reuseportTcp(), dcutr()]
}
