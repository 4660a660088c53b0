import { inMs, print } from '../kit/print.ts'
import { median } from '../kit/statistics.ts'
import { createLab } from '../lab/lab.ts'
import { playPunch } from './punch.ts'
import type { Punch, Role } from './punch.ts'
import type { Relay } from './relay.ts'
import type { Lab, LabOptions, Weather } from '../lab/lab.ts'

/**
 * One way, in ms
 */
const LATENCY = 20

/**
 * In so many rounds one may stay on the relay
 */
const ROUNDS_FOR_ONE = 20

/**
 * Nobody but the relay tells the peers at which address they are seen
 */
const RELAY = '11.0.0.1'

/**
 * What the two machines are called in their addresses
 */
const MACHINES = [11, 12]

/**
 * The port of the first round. Each has another one, so that no NAT remembers the
 * round before
 */
const FIRST_PORT = 4001

/**
 * A frame that is lost in each round:
 *
 * - `first-syn-to-relay`: the first SYN of one of the peers to the relay. Linux
 * sends it again after 1,000 ms
 * - `punch-ack`: the first peer's SYN of the punch is lost, the second one's meets
 * the first one's dial and is answered with SYN-ACK, and the ACK to that is lost:
 * one end is connected, the other one no sooner than it has sent its SYN-ACK again
 * - `punch-ack-and-syn-ack`: the SYN-ACK that is sent again after 1 s is lost as well. The
 * next one follows 2 s later, when the second peer has begun to speak
 * - `punch-syn-ack-and-ack`: the first SYN-ACK is lost, and then the ACK to the next one
 */
export type DropName = 'first-syn-to-relay' | 'punch-ack' | 'punch-ack-and-syn-ack' | 'punch-syn-ack-and-ack'

interface DropRow {
  drop: DropName
  what: string

  /**
   * Which frames are lost, given where A and B listen
   */
  frames(a: string, b: string): Parameters<Lab['drop']>
  maxFailedAttempts: number
}

const DROPS: DropRow[] = [
  {
    drop: 'first-syn-to-relay',
    what: 'the first SYN to the relay of the peer that dials',
    frames: a => ['first-syn', a, `${RELAY}:4001`],
    maxFailedAttempts: 2
  },
  {
    drop: 'first-syn-to-relay',
    what: 'the first SYN to the relay of the peer that is dialed',
    frames: (a, b) => ['first-syn', b, `${RELAY}:4001`],
    maxFailedAttempts: 2
  },
  {
    // the peer that dials over the relay is the initiator of the direct connection
    drop: 'punch-ack',
    what: 'the SYN of the initiator, and the ACK to its SYN-ACK',
    frames: (a, b) => ['punch-ack', a, b],
    maxFailedAttempts: 0
  },
  {
    drop: 'punch-ack-and-syn-ack',
    what: 'the SYN of the initiator, the ACK to its SYN-ACK, and the SYN-ACK that follows',
    frames: (a, b) => ['punch-ack-and-syn-ack', a, b],
    maxFailedAttempts: 0
  },
  {
    drop: 'punch-syn-ack-and-ack',
    what: 'the SYN of the initiator, its SYN-ACK, and the ACK to the next SYN-ACK',
    frames: (a, b) => ['punch-syn-ack-and-ack', a, b],
    maxFailedAttempts: 0
  }
]

interface Round {
  /**
   * Not if the round came to no result
   */
  punch?: Punch

  /**
   * Why this is not as it should be
   */
  wrong: string[]
}

/**
 * Two nodes behind port-restricted NATs, on a network that loses and delays frames
 * at random, connect over a relay and punch. Returns what is wrong
 */
export async function testLossyPunches (weather: LabOptions & Required<Weather>, rounds: number): Promise<string[]> {
  const { latency, jitter, loss, seed } = weather
  const allowed = loss === 0 ? 0 : Math.ceil(rounds / ROUNDS_FOR_ONE)
  const what = `${loss} % of the frames lost, ${latency} ms and up to ${jitter} ms more`
  print(`Hole punches between port-restricted NATs, ${what}, seed ${seed}`)

  const played = await play(weather, rounds, async (lab, roles) => playPunch(roles, 'this package').then(
    punch => ({ punch, wrong: [...punch.failures, ...(punch.outcome === 'direct' ? [] : [whatBecame(punch)])] }),
    (err: Error) => ({ wrong: [err.message] })
  ))
  const failed = played.filter(({ wrong }) => wrong.length > 0)
  printRounds(played, `at most ${allowed} may not be`)

  return failed.length <= allowed ? [] : [`Failed in ${failed.length} of ${rounds} hole punches, where ${allowed} may, with ${what}, seed ${seed}`]
}

/**
 * The same with no loss but that of the frames named. Returns what is wrong
 */
export async function testDrops (drops: DropName[], rounds: number): Promise<string[]> {
  const failures: string[] = []

  for (const { what, frames, maxFailedAttempts } of DROPS.filter(({ drop }) => drops.includes(drop))) {
    print(`Hole punches between port-restricted NATs, lost: ${what}`)

    const played = await play({ latency: LATENCY }, rounds, async (lab, roles, a, b): Promise<Round> => {
      const lost = await lab.drop(...frames(a, b))

      try {
        const punch = await playPunch(roles, 'this package')
        print(`  lost: ${await lost()}`)
        const isLate = punch.outcome === 'relayed' || punch.failedAttempts > maxFailedAttempts

        return { punch, wrong: [...punch.failures, ...(isLate ? [whatBecame(punch)] : [])] }
      } catch (err: any) {
        return { wrong: [err.message] }
      }
    })

    printRounds(played, maxFailedAttempts === 0 ? 'all must be, at the first attempt' : 'all must be')
    const failed = played.filter(({ wrong }) => wrong.length > 0).length

    if (failed > 0) {
      failures.push(`Failed in ${failed} of ${rounds} hole punches, lost: ${what}`)
    }
  }

  return failures
}

/**
 * The machines change roles after each round
 */
async function play (options: LabOptions, rounds: number, playRound: (lab: Lab, roles: { a: Role, b: Role }, endOfA: string, endOfB: string) => Promise<Round>): Promise<Round[]> {
  const lab = createLab(options)
  const played: Round[] = []

  try {
    const relayHost = await lab.host(`${RELAY}/24`)
    const relays = relayHost.start<Relay>(new URL('./relay.ts', import.meta.url), 'limited', `/ip4/${RELAY}/tcp/4001`)
    const [relay] = await relays.ask('addresses')
    const machines = [await lab.hostBehind('port-restricted', MACHINES[0]), await lab.hostBehind('port-restricted', MACHINES[1])]

    for (let round = 0; round < rounds; round++) {
      const port = FIRST_PORT + round
      const [a, b] = [round % 2, (round + 1) % 2]
      const role = (machine: number): Role => ({ machine: machines[machine], listen: [`/ip4/0.0.0.0/tcp/${port}`], relay, observers: machine === a ? [relay] : [] })
      const end = (machine: number): string => `11.0.0.${MACHINES[machine]}:${port}`

      played.push(await playRound(lab, { a: role(a), b: role(b) }, end(a), end(b)))
    }
  } finally {
    await lab.stop()
  }

  return played
}

function whatBecame ({ outcome, failedAttempts, remarks }: Punch): string {
  return `${outcome} after ${failedAttempts} failed attempts: ${remarks.join('; ')}`
}

function printRounds (rounds: Round[], expected: string): void {
  const direct = rounds.flatMap(({ punch }) => punch?.outcome === 'direct' ? punch : [])
  const times = direct.map(({ time }) => time)

  print(
    `  ${direct.length} of ${rounds.length} direct (${expected}), ${direct.filter(({ failedAttempts }) => failedAttempts === 0).length} of them at the first attempt; median ${inMs(median(times))}, worst ${inMs(Math.max(...times))}`,
    ...rounds.flatMap(({ wrong }, i) => wrong.length === 0 ? [] : [`  round ${i + 1}: ${wrong.join('; ')}`]),
    ''
  )
}
