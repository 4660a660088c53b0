/**
 * @throws {Error} if something did not happen as often as it was meant to
 */
export function expectEqual (what: string, actual: number, expected: number): void {
  if (actual !== expected) {
    throw new Error(`${what}: ${actual}, expected ${expected}`)
  }
}

/**
 * @throws {Error} unless all of our connections came from the listening port, and none
 * of the peer's did, as those see it who accepted them
 */
export function expectSources (contestant: string, fromListeningPort: number, connections: number): void {
  expectEqual('connections from the listening port', fromListeningPort, contestant === 'ours' ? connections : 0)
}
