import { findPortReuse } from '../../src/port-reuse/find-strategy.ts'
import { winsock } from '../../src/port-reuse/winsock.ts'
import type { FindPortReuse } from '../../src/port-reuse/port-reuse.ts'

/** Port reuse by Winsock. Undefined elsewhere than on Windows */
export const WINSOCK = findWinsock()

/** How the tests reuse ports on this machine */
export const portReuse: FindPortReuse = WINSOCK ?? findPortReuse

function findWinsock (): FindPortReuse | undefined {
  try {
    return winsock()
  } catch {
    // winsock.spec.ts says why
    return undefined
  }
}
