/**
 * The oldest supported version of Node, as in `engines` of package.json. npm only warns if the
 * version is older
 */
const OLDEST = [22, 12]

/**
 * Checks the version of Node. Other runtimes have the version of Node that they are compatible
 * with. Browsers have none
 *
 * @throws {Error} if the version is older than the oldest supported one
 */
export function checkNodeVersion (version: string | undefined = globalThis.process?.versions?.node): void {
  const [major, minor] = version?.split('.').map(Number) ?? OLDEST

  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    throw new Error(`libp2p-reuseport-tcp needs Node ${OLDEST.join('.')} or newer, this is ${version}`)
  }
}
