/** Plays programs one after another with one of the transports. A process of its own, in namespaces of its own */

import { tcp } from '@libp2p/tcp'
import { reuseportTcp } from '../../src/index.ts'
import { serve } from '../kit/serve.ts'
import { startDns } from './nets.ts'
import { Play } from './play.ts'
import type { CreateTransport, Observation } from './play.ts'
import type { Program } from './program.ts'

const TRANSPORTS: Record<string, CreateTransport> = {
  theirs: (init, components) => tcp(init)(components),
  ours: (init, components) => reuseportTcp(init)(components)
}

const functions = {
  play: async (program: Program, base: number): Promise<Observation> => new Play(TRANSPORTS[process.argv[2]], program, base).run()
}

export type Player = typeof functions

await startDns()
serve(functions)
