/** What this machine can do. The specs ask this, and not which system it is. It is found out by trying */

import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { createLibp2p } from 'libp2p'
import { portReuse, reuseportTcp } from 'libp2p-reuseport-tcp'
import type { PortReuseSupport } from 'libp2p-reuseport-tcp'

const support = await findSupport()

/** Can dials come from a listening port, if no way to reuse ports is given? */
export const REUSES_PORTS = support.available

/** Can another process of this user listen on the port of a listener? */
export const HAS_SO_REUSEPORT = support.available && support.name.startsWith('SO_REUSEPORT')

/** Is there a shell that redirects and pipes as POSIX says? */
export const HAS_SHELL = hasShell()

/** Can a process handle signals? */
export const HANDLES_SIGNALS = await handlesSignals()

/** `it`, if the machine can do what the test needs. Otherwise the test is left out */
export function where (able: boolean): { it: Mocha.PendingTestFunction } {
  return { it: able ? it : it.skip }
}

async function findSupport (): Promise<PortReuseSupport> {
  const { services } = await createLibp2p({ start: false, transports: [reuseportTcp()], services: { portReuse: portReuse() } })

  return services.portReuse.support()
}

function hasShell (): boolean {
  try {
    execFileSync('sh', ['-c', 'test -c /dev/full && exit | head -1'])

    return true
  } catch {
    // whatever the reason is
    return false
  }
}

async function handlesSignals (): Promise<boolean> {
  const child = fork('-e', ['process.once("SIGTERM", () => { process.exit(7) }); setInterval(() => {}, 1_000); process.send("ready")'])
  const ended = once(child, 'exit')
  await Promise.race([once(child, 'message'), ended])
  child.kill('SIGTERM')
  const [code] = await ended

  return code === 7
}
