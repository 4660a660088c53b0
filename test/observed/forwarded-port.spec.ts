import { expect } from 'aegir/chai'
import { forwardedPort } from '../../src/observed/forwarded-port.ts'
import type { Dial } from '../../src/observed/dials.ts'

describe('forwarded port', () => {
  it('is guessed if enough dialed peers agree on the IP address and not on the port', () => {
    // the newest dial comes first
    for (const [dials, guess] of [
      ['', undefined],
      ['9:1 9:2 9:3', undefined],
      ['9:1 9:2 9:3 9:4', '11.0.0.9:4001'],
      ['9:1 9:2 9:3 9:4 8:5 7:6', '11.0.0.9:4001'],
      // the mapping does not depend on the destination
      ['9:1 9:1 9:1 9:1', undefined],
      // one that lies
      ['8:5 9:1 9:2 9:3 9:4', undefined],
      // a NAT with many IP addresses
      ['9:1 8:5 9:2 7:6 9:3 6:7 9:4 5:8', undefined],
      // another network
      ['8:1 8:2 8:3 8:4 9:1 9:2 9:3 9:4', '11.0.0.8:4001']
    ] as const) {
      const parsed = dials.split(' ').filter(dial => dial !== '').map((dial): Dial => {
        const [host, port] = dial.split(':')

        return { external: { host: `11.0.0.${host}`, port: Number(port) }, isOpen: true }
      })
      const { external } = forwardedPort({ host: '0.0.0.0', port: 4001 }, parsed, 4) ?? {}

      expect(external == null ? undefined : `${external.host}:${external.port}`, dials).to.equal(guess)
    }
  })
})
