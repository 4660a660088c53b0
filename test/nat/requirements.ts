import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { run } from './run.ts'

const TOOLS = {
  ip: { package: 'iproute2', try: ['-Version'] },
  unshare: { package: 'util-linux', try: ['--net', 'true'] },
  nsenter: { package: 'util-linux', try: ['--version'] },
  setpriv: { package: 'util-linux', try: ['--pdeathsig', 'KILL', 'true'] },
  nft: { package: 'nftables', try: ['--version'] },
  python3: { package: 'python3', try: ['--version'] }
}

/**
 * What the lab needs and this machine does not have, each in a line
 */
export async function whatIsMissing (): Promise<string[]> {
  if (process.platform !== 'linux') {
    return [`it is made of Linux network namespaces, this is ${process.platform}`]
  }

  if (process.getuid?.() !== 0) {
    return ['only root can make network namespaces']
  }

  const missing: string[] = []

  for (const [tool, { package: name, try: args }] of Object.entries(TOOLS)) {
    await run(tool, args).catch((err: Error) => missing.push(`${tool} (Debian package ${name}): ${err.message.trim()}`))
  }

  await access('/dev/net/tun', constants.R_OK | constants.W_OK).catch((err: Error) => missing.push(err.message))

  return missing
}
