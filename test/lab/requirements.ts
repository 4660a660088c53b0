import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { execa } from 'execa'
import { print } from '../kit/print.ts'

const TOOLS = {
  ip: { package: 'iproute2', try: ['-Version'] },
  unshare: { package: 'util-linux', try: ['--net', 'true'] },
  nsenter: { package: 'util-linux', try: ['--version'] },
  setpriv: { package: 'util-linux', try: ['--pdeathsig', 'KILL', 'true'] },
  nft: { package: 'nftables', try: ['--version'] },
  python3: { package: 'python3', try: ['--version'] }
}

/** Ends the process with exit code 1 if this machine does not have what the lab needs */
export async function requireLab (): Promise<void> {
  const missing = await whatIsMissing()

  if (missing.length > 0) {
    end(['The lab can not be built here:', ...missing.map(what => `- ${what}`)])
  }
}

/**
 * Ends the process, with exit code 1 if there are failures.
 *
 * Nothing has to be cleaned up first, nor when this process is killed: the lab's
 * processes end with this one, and the rest of the lab with them
 */
export function end (failures: string[]): never {
  print(...failures)
  process.exit(failures.length > 0 ? 1 : 0)
}

async function whatIsMissing (): Promise<string[]> {
  if (process.platform !== 'linux') {
    return [`it is made of Linux network namespaces, this is ${process.platform}`]
  }

  if (process.getuid?.() !== 0) {
    return ['only root can make network namespaces']
  }

  const missing: string[] = []

  for (const [tool, { package: name, try: args }] of Object.entries(TOOLS)) {
    await execa(tool, args).catch(err => missing.push(`${tool} (Debian package ${name}): ${err.shortMessage}`))
  }

  await access('/dev/net/tun', constants.R_OK | constants.W_OK).catch((err: Error) => missing.push(err.message))

  return missing
}
