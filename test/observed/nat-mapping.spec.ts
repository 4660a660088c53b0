import { expect } from 'aegir/chai'
import { natMapping } from '../../src/observed/nat-mapping.ts'

describe('NAT mapping', () => {
  it('is what the observers say', () => {
    for (const [observers, most, threshold, mapping] of [
      [0, 0, 4, 'unknown'],
      [1, 1, 4, 'unknown'],
      [2, 2, 4, 'endpoint-independent'],
      [2, 1, 4, 'unknown'],
      [3, 2, 4, 'endpoint-independent'],
      [3, 1, 4, 'unknown'],
      [4, 1, 4, 'endpoint-dependent'],
      [5, 4, 4, 'endpoint-independent'],
      [2, 1, 2, 'endpoint-dependent'],
      [1, 1, 1, 'unknown']
    ] as const) {
      expect(natMapping({ observers, most }, threshold), `${most} of ${observers}, ${threshold}`).to.equal(mapping)
    }
  })
})
