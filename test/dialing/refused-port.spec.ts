import { expect } from 'aegir/chai'
import { runInNamespace } from '../fixtures/namespace.ts'

const ADDRESSES = `
for host in 1 2 3 4; do ip address add 11.0.0.$host/32 dev lo; done
ip link add out type veth peer name nobody
ip address add 11.0.1.1/24 dev out
ip link set out up
ip link set nobody up
`

const REFUSED = 'ephemeral: 0.0.0.0:4001 was refused: connect'
const SILENT = 'ephemeral: no answer to 0.0.0.0:4001 within 250ms'
const SUSPENDED = 'ephemeral: several peers could be reached from an ephemeral port, but not from the listening port, 1'

interface Outcomes {
  plain: string[]
  required: string[]
  punch: string[]
  forEver: string[]
  closed: string[]
}

/** Each dial with the number of its sockets. The first three of `plain` are to different sites */
function refused (code: string): Outcomes {
  return {
    plain: [...[1, 2, 3].map(n => `${REFUSED} ${code} 11.0.0.${n}:PORT, 2`), SUSPENDED],
    required: [`${code}, 1`],
    punch: [`${code}, 1`],
    forEver: [`${REFUSED} ${code} 11.0.0.1:PORT, 2`],
    closed: [`${code}, 2`]
  }
}

const DROPPED: Outcomes = {
  plain: [...[1, 2, 3].map(() => `${SILENT}, 2`), SUSPENDED],
  required: ['AbortError, 1'],
  punch: ['AbortError, 1'],
  forEver: ['AbortError, 1'],
  // what the rival was told
  closed: ['ECONNREFUSED, 2']
}

describe('a network that refuses the listening port', () => {
  let outcomes: { byRule: Record<string, Outcomes>, withoutRule: string[], withoutArp: string[] }

  before(async function () {
    outcomes = await runInNamespace(this, ADDRESSES, 'refused-port.ts')
  })

  Object.entries({ output: 'here', input: 'at the peer' }).forEach(([chain, where]) => {
    Object.entries({
      'reject with icmpx port-unreachable': refused('ECONNREFUSED'),
      'reject with tcp reset': refused('ECONNREFUSED'),
      'reject with icmpx admin-prohibited': refused('EHOSTUNREACH'),
      drop: DROPPED
    }).forEach(([verdict, expected]) => {
      it(`has dials come from an ephemeral port, and is remembered (${verdict}, ${where})`, () => {
        expect(outcomes.byRule[`${chain}: ${verdict}`]).to.deep.equal(expected)
      })
    })
  })

  it('is told from a closed port by one more SYN', () => {
    expect(outcomes.withoutRule).to.deep.equal(['wildcard, 1', 'ECONNREFUSED, 2'])
  })

  it('is not meant by an error that took long, so that is not waited for twice', () => {
    expect(outcomes.withoutArp).to.deep.equal(['EHOSTUNREACH, 1'])
  })
})
