import { play } from '../nat/play.ts'
import { CONES, DROPS, PRIVATE_PAIRS, behind } from '../nat/scenes.ts'
import type { Cell } from './cell.ts'
import type { Implementation } from './implementations.ts'
import type { NatPair } from '../nat/nat-pairs.ts'
import type { Played } from '../nat/play.ts'
import type { Scene } from '../nat/scene.ts'

/**
 * How many public nodes beside the relay a peer asks at which address they see it. With a
 * fourth observer go-libp2p announces the address as its own, and spends five seconds on a
 * plain dial to it before it punches
 */
const OBSERVERS = 2

/** How many hole punches are under way at the same time */
const CONCURRENCY = 3

/** What is in front of the dialer and of the other one. Most of it is the same as among our own */
const FEW: NatPair[] = [
  ['none', 'port-restricted', 'direct'],
  ['port-restricted', 'none', 'direct'],
  ['full-cone', 'port-restricted', 'direct'],
  ['port-restricted', 'full-cone', 'direct'],
  ['none', 'symmetric', 'direct'],
  ['symmetric', 'none', 'direct'],
  ['full-cone', 'symmetric', 'direct'],
  ['symmetric', 'full-cone', 'direct'],
  // it takes long to find out that there is no way
  ['port-restricted', 'symmetric', 'relayed'],
  ['symmetric', 'port-restricted', 'relayed']
]

/** Frames that are lost in a hole punch, by the names in `DROPS` */
const USUAL_DROPS = ['first-syn-to-relay', 'punch-ack']

/** Over a relay of each kind. With `only`: only with these frames lost */
export async function * testHolePunching (ours: Implementation, theirs: Implementation, relays: Implementation[], runs: number, only: string[] = []): AsyncGenerator<Cell> {
  const few = Math.min(runs, 2)

  for (const dialer of ['we', 'they'] as const) {
    const scene = (pair: NatPair, relay: Implementation, more: Partial<Scene> = {}, weAsk = OBSERVERS): Scene => {
      const us = { implementation: ours, asks: weAsk }
      const them = { implementation: theirs, asks: OBSERVERS }
      const sides = dialer === 'we' ? behind(pair, them, us) : behind(pair, us, them)

      return { ...sides, relay: relay === 'go' || relay === 'rust' ? relay : 'unlimited', runs, atOnce: CONCURRENCY, ...more }
    }
    const drops = (names: string[], over: Implementation[], count: number): Scene[] => names.flatMap(name => over.map(relay => {
      // who has asked others would not need the relay to know its address
      return scene(CONES, relay, { runs: count, ...DROPS[name].at(dialer === 'we' ? 0 : -1) }, name === 'first-syn-to-relay' ? 0 : OBSERVERS)
    }))
    const scenes = only.length > 0
      ? drops(only, relays, runs)
      : [
          ...relays.map(relay => scene(CONES, relay)),
          ...FEW.map(pair => scene(pair, ours, { runs: pair[2] === 'direct' ? few : 1 })),
          ...(theirs === 'rust' ? [] : PRIVATE_PAIRS.map(pair => scene(pair, ours, { isPrivate: true, special: 'private network' }))),
          ...drops(USUAL_DROPS, [ours], few)
        ]

    for (const each of scenes) {
      yield cellOf(await play(each), `${dialer} dial over the ${each.relay === 'unlimited' ? 'js' : each.relay} relay`)
    }
  }
}

function cellOf ({ scene: { names, special, expected, runs }, rounds, simultaneousOpens }: Played, who: string): Cell {
  const errors = rounds.flatMap(({ wrong }) => wrong.length === 0 ? [] : [wrong.join('; ')])

  return {
    what: `${who}, ${names.join(' and ')}${special == null ? '' : `, ${special}`}: ${expected}`,
    of: runs,
    succeeded: rounds.length - errors.length,
    errors,
    remarks: expected === 'direct' ? [`${simultaneousOpens} simultaneous opens`] : []
  }
}
