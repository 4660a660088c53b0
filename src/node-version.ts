/**
 * As in `engines` of package.json, which npm only warns of
 */
const OLDEST = [22, 12]

/**
 * Other runtimes say which Node they are like, and browsers say nothing
 *
 * @throws {Error} if it is older than what this package is made for
 */
export function checkNodeVersion (version: string | undefined = globalThis.process?.versions?.node): void {
  const [major, minor] = version?.split('.').map(Number) ?? OLDEST

  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    throw new Error(`libp2p-reuseport-tcp needs Node ${OLDEST.join('.')} or newer, this is ${version}`)
  }
}
