/**
 * @throws {Error} if something did not happen as often as it was meant to
 */
export function expectEqual (what: string, actual: number, expected: number): void {
  if (actual !== expected) {
    throw new Error(`${what}: ${actual}, expected ${expected}`)
  }
}

/**
 * @throws {Error} if so many of the connections came from the listening port, as
 * those see it who accepted them: all of ours do, and none of the peer's
 */
export function expectSources (contestant: string, fromListeningPort: number, connections: number): void {
  expectEqual('connections from the listening port', fromListeningPort, contestant === 'ours' ? connections : 0)
}
