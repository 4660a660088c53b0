import { expect } from 'aegir/chai'
import { runInNamespace } from '../fixtures/namespace.ts'

/**
 * By the arguments of Node: where a dial to a name with two addresses arrives if both answer,
 * and if only the IPv6 one does
 */
const OUTCOMES: Record<string, [both: string, onlyIPv6: string]> = {
  '--dns-result-order=ipv4first': ['IPv4', 'IPv6'],
  '--dns-result-order=ipv6first': ['IPv6', 'IPv6'],
  '--dns-result-order=ipv4first --no-network-family-autoselection': ['IPv4', 'ECONNREFUSED'],
  '--dns-result-order=ipv6first --no-network-family-autoselection': ['IPv6', 'IPv6']
}

describe('a name with addresses of both families', () => {
  Object.entries(OUTCOMES).forEach(([options, [both, onlyIPv6]]) => {
    it(`is dialed in the order that Node has, as by @libp2p/tcp (${options})`, async function () {
      const setUp = `
        hosts=$(mktemp)
        printf '::1 two-families.test\\n127.0.0.1 two-families.test\\n' > "$hosts"
        mount --bind "$hosts" /etc/hosts
        rm "$hosts"
        export NODE_OPTIONS='${options}'
      `

      expect(await runInNamespace(this, setUp, 'two-families.ts')).to.deep.equal({
        both: { libp2pTcp: both, reuseportTcp: both },
        onlyIPv6: { libp2pTcp: onlyIPv6, reuseportTcp: onlyIPv6 }
      })
    })
  })
})
