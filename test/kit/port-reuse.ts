import { findPortReuse } from '../../src/port-reuse/find-strategy.ts'
import { winsock } from '../../src/port-reuse/winsock.ts'
import type { FindPortReuse } from '../../src/port-reuse/port-reuse.ts'

const found = await findWinsock().catch((err: Error) => err)

/** Port reuse by Winsock on Windows, or the error for which it is not used here */
export const WINSOCK = found instanceof Error ? undefined : found
export const WHY_NO_WINSOCK = found instanceof Error ? found : new Error('it is used')

/** How the tests reuse ports on this machine */
export const portReuse: FindPortReuse = WINSOCK ?? findPortReuse

async function findWinsock (): Promise<FindPortReuse> {
  if (process.env.WINSOCK === 'false') {
    throw new Error('The environment says WINSOCK=false')
  }

  const find = winsock()
  // a dial waits for the trial, and fails if that did. Nobody is there
  const socket = await find().connect({ host: '127.0.0.1', port: 0 }, { host: '127.0.0.1', port: 1 }, {})
  socket.on('error', () => {}).destroy()

  return find
}
