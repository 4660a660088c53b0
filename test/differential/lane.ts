/** Two players, one with each transport, which play the same programs at the same time */

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { talkTo } from '../kit/processes.ts'
import { SET_UP } from './nets.ts'
import { PORTS } from './play.ts'
import type { Observation } from './play.ts'
import type { Player } from './player.ts'
import type { Program } from './program.ts'
import type { Script } from '../kit/processes.ts'

const PLAYER = fileURLToPath(new URL('./player.ts', import.meta.url))

/** Ports that programs can have. No program gets a port that an earlier one had: the kernel may still hold connections */
const FIRST_PORT = 2_000
const LAST_PORT = 39_999

export type Pair<T> = Record<'theirs' | 'ours', T>

/** Plays with both transports */
export class Lane {
  #players?: Pair<Script<Player>>
  #base = FIRST_PORT

  async play (program: Program): Promise<Pair<Observation>> {
    if (this.#base + PORTS > LAST_PORT) {
      await this.stop()
    }

    const { theirs, ours } = this.#players ??= { theirs: startPlayer('theirs'), ours: startPlayer('ours') }
    const base = this.#base
    this.#base += PORTS

    const seen = await Promise.all([theirs, ours].map(async player => player.ask('play', program, base).catch((err: Error): Observation => ({ 'process, failed': err.message }))))
    const both = { theirs: seen[0], ours: seen[1] }

    // what is left over would be in the next program
    if (seen.some(observation => observation['process, kept alive by'] !== '')) {
      await this.stop()
    }

    return both
  }

  async stop (): Promise<void> {
    const players = Object.values(this.#players ?? {})
    this.#players = undefined
    this.#base = FIRST_PORT
    await Promise.all(players.map(async player => player.stop()))
  }
}

function startPlayer (transport: keyof Pair<any>): Script<Player> {
  const script = `${SET_UP}\nexec setpriv --pdeathsig KILL "$0" --no-warnings "$1" "$2"`
  const child = spawn('unshare', ['--net', '--mount', 'sh', '-ec', script, process.execPath, PLAYER, transport], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // a resolver that is silent holds a thread
    env: { ...process.env, UV_THREADPOOL_SIZE: '32' }
  })

  return talkTo<Player>(child, transport)
}
