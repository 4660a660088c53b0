import type { Lab } from './lab.ts'
import type { StreamNode } from './processes/stream-node.ts'
import type { TransportName } from './row.ts'
import type { Participant } from '../test/stress/processes.ts'

/**
 * Starts two nodes in processes of their own
 *
 * @returns the one that is connected to the other, which counts and echoes
 */
export async function startPair (name: TransportName, lab: Lab): Promise<Participant<StreamNode>> {
  const [dialed, dialer] = [lab.start<StreamNode>('stream-node.ts'), lab.start<StreamNode>('stream-node.ts')]
  const [address] = await Promise.all([dialed, dialer].map(async node => node.ask('start', name)))
  await dialer.ask('dial', address)

  return dialer
}
