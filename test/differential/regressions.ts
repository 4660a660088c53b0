/**
 * Programs that are played each time, first: what once differed by mistake. What differs on
 * purpose is in test/differences.spec.ts, row by row
 */

import { REFUSALS } from './nets.ts'
import type { PeerKind, Program, Step } from './program.ts'

const LOOPBACK = '/ip4/127.0.0.1'
const LISTEN: Step = { do: 'listen', on: '/ip4/0.0.0.0', port: 0 }
const ARRIVE: Step = { do: 'arrive', at: LOOPBACK, port: 0 }
const SEND: Step = { do: 'send', connection: 0, bytes: 1_000 }

function dial (peer?: PeerKind): Step & { do: 'dial' } {
  return { do: 'dial', to: LOOPBACK, port: 'peer', peer }
}

export const REGRESSIONS: Record<string, Program> = {
  'a connection in both directions': {
    steps: [LISTEN, dial('echoes'), ARRIVE, { ...SEND, bytes: 8_000_000 }, { ...SEND, connection: 1, bytes: 16_000, as: 'list' }, { do: 'peer sends', connection: 1, bytes: 300_000 }, { do: 'peer ends', connection: 1 }, { do: 'close', connection: 0 }]
  },
  'a dial to an own listener': { steps: [LISTEN, { ...dial(), port: 0 }, SEND, { ...dial(), to: '/ip4/11.0.0.1', port: 0 }] },
  ...Object.fromEntries(REFUSALS.flatMap(does => (['output', 'input'] as const).map((at): [string, Program] => [
    `a listening port is refused: ${does}, at ${at}`,
    { net: { what: 'from listeners', at, does }, steps: [LISTEN, { ...dial(), to: '/ip4/11.0.0.2' }, SEND] }
  ]))),
  'a peer that resets at once': { steps: [LISTEN, dial('resets')] },
  'a dial while a listener looks its name up': { steps: [{ ...LISTEN, on: '/dns4/slow.test', background: true }, dial()] },
  'a dial while a listener looks its name up for ever': { steps: [{ ...LISTEN, on: '/dns4/silent.test', background: true }, { ...dial(), to: '/ip6/::1' }] },
  'a dial to an own address that no interface has': { steps: [LISTEN, { ...dial(), to: '/ip4/11.0.2.7', port: 0 }, SEND] },
  'a dial to the own address of an interface without carrier': { steps: [LISTEN, { ...dial(), to: '/ip4/11.0.1.1', port: 0 }] },
  'a plain HTTP server': { steps: [LISTEN, { ...dial('says HTTP'), upgrader: 'fails late' }] },
  'close with a short inactivity timeout': {
    options: { outboundSocketInactivityTimeout: 500 },
    steps: [dial('does not read'), { ...SEND, bytes: 3_000_000 }, { do: 'close', connection: 0, background: true }, { do: 'wait', ms: 900 }]
  },
  'a buffer that is used again': { steps: [dial(), { ...SEND, bytes: 1, as: 'reused buffer' }] },
  'addresses in the order of Node': { dnsResultOrder: 'ipv4first', steps: [{ ...LISTEN, on: '/dns/both.test' }, { ...dial(), to: '/dns/both.test' }] },
  'no network family autoselection': { noAutoSelectFamily: true, steps: [{ ...dial(), to: '/dns/both.test', hears: '127.0.0.1' }] },
  'a listener closes with connections': { steps: [LISTEN, ARRIVE, ARRIVE, { do: 'close listener', listener: 0 }] },
  'a listener of a name that does not exist': { steps: [{ ...LISTEN, on: '/dns/unknown.test' }] },
  'a listener without descriptors': { steps: [LISTEN, { do: 'use up descriptors', left: 0 }, LISTEN] },
  'a dial is refused': { steps: [{ ...dial(), port: 'closed' }] },
  'upgrades fail': { upgrader: 'fails', steps: [LISTEN, { ...dial(), upgrader: 'fails' }, ARRIVE] },
  'the signal of a dial aborted before': { steps: [{ ...dial(), abort: 'before' }] },
  'nobody connects to a listener': { steps: [LISTEN] },

  // what docs/differences.md says without a row in its table
  'a peer does not answer the FIN of close()': { steps: [dial('keeps its half open'), SEND, { do: 'close', connection: 0 }] },
  'a name with addresses of both families': { steps: [{ ...dial(), to: '/dns4/both.test', hears: '127.0.0.1' }] },
  'a name with addresses that do not answer': { net: { what: 'to peers', at: 'output', does: 'reject with icmpx port-unreachable' }, steps: [{ ...dial(), to: '/dns/both.test' }] },
  'a listener closes while it looks its name up': { steps: [{ ...LISTEN, on: '/dns4/slow.test', background: true }, { do: 'close listener', listener: 0 }] },
  'a listener pauses': { options: { closeServerOnMaxConnections: { closeAbove: 1, listenBelow: 1 } }, steps: [LISTEN, ARRIVE, ARRIVE] },
  'a connection closes before its upgrade, with a limit': { options: { closeServerOnMaxConnections: { closeAbove: 1, listenBelow: 1 } }, steps: [LISTEN, { ...ARRIVE, peer: 'resets' }] }
}
