/** Programs that are played each time, first: each tells apart what once differed, or what must not */

import { REFUSALS } from './nets.ts'
import type { Program } from './program.ts'

const LOOPBACK = '/ip4/127.0.0.1'
const WILDCARD = '/ip4/0.0.0.0'

export const REGRESSIONS: Record<string, Program> = {
  'a connection in both directions': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'dial', to: LOOPBACK, port: 'peer', peer: 'echoes' },
      { do: 'arrive', at: LOOPBACK, port: 0 },
      { do: 'send', connection: 0, bytes: 8_000_000 },
      { do: 'send', connection: 1, bytes: 16_000, as: 'list' },
      { do: 'peer sends', connection: 1, bytes: 300_000 },
      { do: 'peer ends', connection: 1 },
      { do: 'close', connection: 0 }
    ]
  },
  'a dial to an own listener': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'dial', to: LOOPBACK, port: 0 },
      { do: 'send', connection: 0, bytes: 1_000 },
      { do: 'dial', to: '/ip4/11.0.0.1', port: 0 }
    ]
  },
  // point 7 of issue 20
  ...Object.fromEntries(REFUSALS.flatMap(does => (['output', 'input'] as const).flatMap(at => ([
    [`a listening port is refused: ${does}, at ${at}`, {
      net: { what: 'from listeners', at, does },
      steps: [
        { do: 'listen', on: WILDCARD, port: 0 },
        { do: 'dial', to: '/ip4/11.0.0.2', port: 'peer' },
        { do: 'send', connection: 0, bytes: 1_000 }
      ]
    }]
  ] as Array<[string, Program]>)))),
  'a peer that resets at once': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'dial', to: LOOPBACK, port: 'peer', peer: 'resets' }
    ]
  },
  // point 8
  'a dial while a listener looks its name up': {
    steps: [
      { do: 'listen', on: '/dns4/slow.test', port: 0, background: true },
      { do: 'dial', to: LOOPBACK, port: 'peer' }
    ]
  },
  'a dial while a listener looks its name up for ever': {
    steps: [
      { do: 'listen', on: '/dns4/silent.test', port: 0, background: true },
      { do: 'dial', to: '/ip6/::1', port: 'peer' }
    ]
  },
  // point 9
  'a dial to an own address that no interface has': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'dial', to: '/ip4/11.0.2.7', port: 0 },
      { do: 'send', connection: 0, bytes: 1_000 }
    ]
  },
  'a dial to the own address of an interface without carrier': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'dial', to: '/ip4/11.0.1.1', port: 0 }
    ]
  },
  // point 10
  'a plain HTTP server': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'dial', to: LOOPBACK, port: 'peer', peer: 'says HTTP', upgrader: 'fails late' }
    ]
  },
  // point 14
  'close with a short inactivity timeout': {
    options: { outboundSocketInactivityTimeout: 500 },
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer', peer: 'does not read' },
      { do: 'send', connection: 0, bytes: 3_000_000 },
      { do: 'close', connection: 0, background: true },
      { do: 'wait', ms: 900 }
    ]
  },
  // point 15
  'a buffer that is used again': {
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer' },
      { do: 'send', connection: 0, bytes: 1, as: 'reused buffer' }
    ]
  },
  // point 20
  'addresses in the order of Node': {
    dnsResultOrder: 'ipv4first',
    steps: [
      { do: 'listen', on: '/dns/both.test', port: 0 },
      { do: 'dial', to: '/dns/both.test', port: 'peer' }
    ]
  },
  'no network family autoselection': {
    noAutoSelectFamily: true,
    steps: [
      { do: 'dial', to: '/dns/both.test', port: 'peer', hears: '127.0.0.1' }
    ]
  },
  // point 21
  'a listener closes with connections': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'arrive', at: LOOPBACK, port: 0 },
      { do: 'arrive', at: LOOPBACK, port: 0 },
      { do: 'close listener', listener: 0 }
    ]
  },
  'a listener of a name that does not exist': {
    steps: [
      { do: 'listen', on: '/dns/unknown.test', port: 0 }
    ]
  },
  'a listener without descriptors': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'use up descriptors', left: 0 },
      { do: 'listen', on: WILDCARD, port: 0 }
    ]
  },
  // point 22
  'a dial is refused': {
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'closed' }
    ]
  },
  'upgrades fail': {
    upgrader: 'fails',
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'dial', to: LOOPBACK, port: 'peer', upgrader: 'fails' },
      { do: 'arrive', at: LOOPBACK, port: 0 }
    ]
  },
  // point 23
  'the signal of a dial aborted before': {
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer', abort: 'before' }
    ]
  },
  'nobody connects to a listener': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 }
    ]
  },

  // each is a row of docs/differences.md
  'a row: a transport listens twice': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'listen', on: WILDCARD, port: 0 }
    ]
  },
  'a row: a peer half-closes while it is sent more than the kernel takes': {
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer', peer: 'does not read' },
      { do: 'send', connection: 0, bytes: 8_000_000 },
      { do: 'send', connection: 0, bytes: 300_000 },
      { do: 'peer ends', connection: 0 }
    ]
  },
  'a row: a peer half-closes with allowHalfOpen': {
    options: { dialOpts: { allowHalfOpen: true } },
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer', peer: 'ends' },
      { do: 'send', connection: 0, bytes: 1 }
    ]
  },
  'a row: a peer answers the FIN of close()': {
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer', peer: 'echoes' },
      { do: 'peer pauses', connection: 0 },
      { do: 'send', connection: 0, bytes: 1_000 },
      { do: 'close', connection: 0, background: true },
      { do: 'peer reads', connection: 0 }
    ]
  },
  'a row: a peer does not answer the FIN of close()': {
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer', peer: 'keeps its half open' },
      { do: 'send', connection: 0, bytes: 1_000 },
      { do: 'close', connection: 0 }
    ]
  },
  'a row: a connection is lost during close(), with data queued': {
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer', peer: 'does not read' },
      { do: 'send', connection: 0, bytes: 8_000_000 },
      { do: 'send', connection: 0, bytes: 300_000 },
      { do: 'close', connection: 0, background: true },
      { do: 'peer resets', connection: 0 }
    ]
  },
  'a row: the signal of close() aborts, with data queued': {
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer', peer: 'does not read' },
      { do: 'send', connection: 0, bytes: 8_000_000 },
      { do: 'close', connection: 0, signal: 'aborts' }
    ]
  },
  'a row: the signal of a dial aborts in onProgress': {
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer', abort: 'in onProgress' }
    ]
  },
  'a row: the signal of a dial aborts when that has succeeded': {
    steps: [
      { do: 'dial', to: LOOPBACK, port: 'peer', abort: 'later' },
      { do: 'wait', ms: 900 }
    ]
  },
  'a row: connections are counted in the metrics': {
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'listen', on: WILDCARD, port: 1 },
      { do: 'arrive', at: LOOPBACK, port: 1 }
    ]
  },
  'a row: /dns4': {
    steps: [
      { do: 'dial', to: '/dns4/both.test', port: 'peer', hears: '127.0.0.1' }
    ]
  },
  'a row: a name with addresses that do not answer': {
    net: { what: 'to peers', at: 'output', does: 'reject with icmpx port-unreachable' },
    steps: [
      { do: 'dial', to: '/dns/both.test', port: 'peer' }
    ]
  },
  'a row: a listener closes while it looks its name up': {
    steps: [
      { do: 'listen', on: '/dns4/slow.test', port: 0, background: true },
      { do: 'close listener', listener: 0 }
    ]
  },
  'a row: a listener pauses': {
    options: { closeServerOnMaxConnections: { closeAbove: 1, listenBelow: 1 } },
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'arrive', at: LOOPBACK, port: 0 },
      { do: 'arrive', at: LOOPBACK, port: 0 }
    ]
  },
  'a row: a connection closes before its upgrade, with a limit': {
    options: { closeServerOnMaxConnections: { closeAbove: 1, listenBelow: 1 } },
    steps: [
      { do: 'listen', on: WILDCARD, port: 0 },
      { do: 'arrive', at: LOOPBACK, port: 0, peer: 'resets' }
    ]
  }
}
