import path from 'node:path'
import { expect } from 'aegir/chai'
import { execa } from 'execa'
import { findBreach } from '../../src/dcutr/contract.ts'
import { NODE_OPTIONS } from '../fixtures/start-other-transport.ts'

/**
 * If the first test fails, another version of `@libp2p/dcutr` is installed, and
 * src/dcutr/libp2p-dcutr.ts has to follow it
 */
describe('the contract with @libp2p/dcutr', () => {
  it('is kept by the installed version', async () => {
    expect(await findBreach()).to.equal(undefined)
  })

  const changes: Array<[what: string, text: string, changed: string, breach: string]> = [
    ['swaps the roles', 'initiator: false', 'initiator: true', 'initiator /ip4/11.0.0.3/tcp/4001, end] instead of [coordinate'],
    ['renames its private method', 'upgradeInbound', 'upgradeConnection', 'its steps are [Cannot read properties of undefined'],
    ['asks for its addresses in another way', 'getAddresses()', 'getAllAddresses()', 'its steps are [coordinate']
  ]

  for (const [what, text, changed, breach] of changes) {
    it(`is broken by one that ${what}, which then runs as it is`, async () => {
      const { stdout } = await execa(process.execPath, [...NODE_OPTIONS, path.join(import.meta.dirname, '../fixtures/changed-dcutr.ts'), text, changed])
      const { lines, protocols } = JSON.parse(stdout)

      expect(lines).to.have.lengthOf(1).with.nested.property('[0]').that.includes(breach)
      expect(protocols).to.include('/libp2p/dcutr')
    })
  }
})
