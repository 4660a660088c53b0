import { findBoundSocket } from './bound-socket.ts'
import { noReuse } from './no-reuse.ts'
import { otherAddress } from './other-address.ts'
import { soReuseport } from './so-reuseport.ts'
import { findTCPHandle } from './tcp-handle.ts'
import type { Bind } from './bind.ts'
import type { Look, PortReuse, Strategy } from './port-reuse.ts'

/** The ways to reuse ports, and the ways to bind a socket, best first */
const STRATEGIES: ReadonlyArray<[name: string, of: (bind: Bind) => Strategy]> = [
  ['SO_REUSEPORT', soReuseport],
  ['another address of the port', otherAddress]
]
const BINDS: ReadonlyArray<[name: string, find: () => Bind | undefined]> = [
  ['net.BoundSocket', findBoundSocket],
  ['the TCP handle in net.Socket', findTCPHandle]
]

/**
 * Errors of a system that can't reuse ports in the way that was tried. The reasons for all other
 * errors may pass: no descriptors are left (EMFILE), the loopback interface is down
 * (EADDRNOTAVAIL)…
 */
const CONCLUSIVE = ['EADDRINUSE', 'EINVAL', 'ENOPROTOOPT', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']

/**
 * If the answer was not conclusive, dials try again, but only after this time, in ms. A trial
 * takes 0.1 ms, about as long as a dial itself. It would be too slow to try at each dial
 */
const AGAIN_MS = 1_000

interface Found {
  readonly portReuse: PortReuse

  /** When a dial tries again, by `performance.now()` */
  readonly again: number
}

let found: Found | undefined

/**
 * How ports are reused on this machine. This is found out by trying, and not from names or
 * version numbers. A conclusive answer is kept for the life of the process.
 *
 * @param look - when to try again if the answer was not conclusive
 */
export function findPortReuse (look: Look = 'once a second'): PortReuse {
  if (found == null || performance.now() >= found.again || (look === 'now' && found.again !== Infinity)) {
    found = tryAll()
  }

  return found.portReuse
}

function tryAll (): Found {
  const reasons: string[] = []
  let isConclusive = true

  for (const [strategyName, strategy] of STRATEGIES) {
    for (const [bindName, find] of BINDS) {
      const bind = find()
      const name = `${strategyName}, by ${bindName}`

      try {
        if (bind != null) {
          return { portReuse: { support: { available: true, name }, ...strategy(bind) }, again: Infinity }
        }
      } catch (err: any) {
        reasons.push(`${name}: ${err.message}`)
        // an error without a code comes from `bindReally`, so it is conclusive
        isConclusive &&= err.code == null || CONCLUSIVE.includes(err.code)
      }
    }
  }

  return {
    portReuse: noReuse(reasons.length === 0 ? `there is neither ${BINDS.map(([name]) => name).join(' nor ')}` : reasons.join('; ')),
    again: isConclusive ? Infinity : performance.now() + AGAIN_MS
  }
}
