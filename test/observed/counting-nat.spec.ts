import { expect } from 'aegir/chai'
import { nextAddresses, nextPorts } from '../../src/observed/counting-nat.ts'
import type { Endpoint } from '../../src/endpoint.ts'

describe('a NAT that counts', () => {
  it('gives the ports after the last one, if the ports rise by small steps', () => {
    for (const [ports, first] of [
      [[], undefined],
      [[5_000], undefined],
      [[5_000, 5_001], 5_002],
      [[5_000, 5_008], 5_009],
      [[5_000, 5_009], undefined],
      [[5_001, 5_000], undefined],
      [[5_000, 5_000], undefined],
      // a large step, as the last dial came an hour later
      [[5_000, 5_001, 5_004, 9_000], 9_001],
      [[40_123, 20_321, 33_333, 33_335, 61_001], undefined]
    ] as const) {
      expect(nextPorts(ports), `${ports.join()}`).to.deep.equal(first == null ? [] : [0, 1, 2, 3, 4, 5, 6].map(i => first + i))
    }

    expect(nextPorts([65_530, 65_532])).to.deep.equal([65_533, 65_534, 65_535])
  })

  it('is one that uses another port for each destination', () => {
    const at = (host: string, port: number): Endpoint => ({ host, port })
    const dials = (...externals: Endpoint[]): any[] => externals.map(external => ({ external, isOpen: true }))
    const flows = (...externals: Endpoint[]): any[] => externals.map((external, began) => ({ external, began }))
    const rising = [at('11.0.0.9', 1_000), at('11.0.0.9', 1_002)]
    const first = (...of: [any[], any[]]): Endpoint | undefined => nextAddresses(...of)[0]

    expect(first(dials(...rising), flows(...rising))).to.deep.equal(at('11.0.0.9', 1_003))
    // these are this host's ephemeral ports, which its NAT has kept
    expect(first(dials(at('11.0.0.9', 4_001), at('11.0.0.9', 4_001)), flows(...rising))).to.equal(undefined)
    // the ports before the network has changed say nothing
    expect(first(dials(...rising), flows(...rising, at('11.0.0.8', 1_003)))).to.equal(undefined)
    expect(first(dials(), flows())).to.equal(undefined)
  })
})
