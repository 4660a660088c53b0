import { expect } from 'aegir/chai'
import { findBoundSocket } from '../../src/port-reuse/bound-socket.ts'
import { findPortReuse } from '../../src/port-reuse/find-strategy.ts'
import { noReuse } from '../../src/port-reuse/no-reuse.ts'
import { otherAddress } from '../../src/port-reuse/other-address.ts'
import { soReuseport } from '../../src/port-reuse/so-reuseport.ts'
import { findTCPHandle } from '../../src/port-reuse/tcp-handle.ts'
import { dialsFromListeningPorts, listens } from './contract.ts'

const BINDS = Object.entries({ 'net.BoundSocket': findBoundSocket(), 'the TCP handle': findTCPHandle() })

const { support } = findPortReuse()

/** A kernel allows one of them, or none. `npm run test:bsd` tests the second one */
const STRATEGIES = [
  { name: 'SO_REUSEPORT', create: soReuseport },
  { name: 'another address of the port', create: otherAddress }
]

for (const { name, create } of STRATEGIES) {
  for (const [bindName, bind] of BINDS) {
    // only new versions of Node have both
    if (bind != null) {
      describe(`port reuse by ${name} and ${bindName}`, () => {
        if (support.available && support.name.startsWith(name)) {
          const strategy = create(bind)
          listens(strategy)
          dialsFromListeningPorts(strategy)
        } else {
          it('is refused, as this system does not allow it', () => {
            expect(() => create(bind)).to.throw()
          })
        }
      })
    }
  }
}

describe('no port reuse', () => {
  const strategy = noReuse('there is no reason')

  listens(strategy)

  it('has no dial come from a listening port', () => {
    expect(() => strategy.connect({ host: '127.0.0.1', port: 4001 }, { host: '127.0.0.1', port: 4002 }, {}))
      .to.throw('Can not dial from 127.0.0.1:4001: there is no reason')
  })
})
