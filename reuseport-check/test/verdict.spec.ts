import { expect } from 'aegir/chai'
import { report } from '../src/report.ts'
import { judge } from '../src/verdict.ts'
import type { CheckResult, ObservedResult, PeerResult, Source } from '../src/result.ts'

const IP4 = '/ip4/0.0.0.0/tcp/4001'
const IP6 = '/ip6/::/tcp/4001'
const REUSED: Source = { address: '/ip4/10.0.0.2/tcp/4001', port: 4001, kind: 'reused', rule: 'wildcard' }
const UNSEEN: Omit<ObservedResult, 'listening'> = { addresses: [], behindNat: null, natMapping: 'unknown' }

describe('the verdict of reuseport-check', () => {
  let n = 0

  function peer (source: Source = REUSED, rest: Partial<PeerResult> = {}): PeerResult {
    return {
      address: `/ip4/11.0.0.${++n}/tcp/4001`,
      peerId: null,
      reached: true,
      source,
      observed: null,
      connectMs: 80,
      latencyMs: 40,
      error: null,
      libp2pTcp: { peerId: null, reached: true, source: null, observed: null, connectMs: 80, latencyMs: 40, error: null },
      ...rest
    }
  }

  const blocked = { address: '/ip4/10.0.0.2/tcp/51000', port: 51000, kind: 'ephemeral', why: 'faster', message: 'the listening port got no answer' } as const
  const overIPv6: Source = { ...REUSED, address: '/ip6/2b00::2/tcp/4001' }

  function seen (observed: Partial<ObservedResult> = {}): ObservedResult {
    return { listening: IP4, addresses: [{ address: '/ip4/11.0.0.9/tcp/4001', observers: 4 }], behindNat: true, natMapping: 'endpoint-independent', ...observed }
  }

  function text (peers: PeerResult[], observed: ObservedResult[], { columns, portReuse = { available: true, name: 'net.BoundSocket' } }: { columns?: number, portReuse?: CheckResult['portReuse'] } = {}): string {
    const result: CheckResult = {
      peerId: '12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq',
      listening: observed.map(({ listening }) => listening),
      portReuse,
      libp2pTcpListening: ['/ip4/0.0.0.0/tcp/5555'],
      localPeers: false,
      peers,
      inbound: [],
      verdict: judge(peers, observed)
    }

    return report(result, { columns })
  }

  it('endpoint-independent mapping: hole punching is likely to work', () => {
    const peers = [peer(), peer()]
    const observed = [seen(), { listening: IP6, ...UNSEEN }]

    expect(judge(peers, observed)).to.deep.include({ ok: true, portsReused: 'all', because: [], holePunching: 'likely' })
    expect(judge(peers, observed).endpoints.map(({ holePunching }) => holePunching)).to.deep.equal(['likely', 'unknown'])
    expect(text(peers, observed)).to.include([
      'Ports are reused: both dials came from the port that is listened on.',
      'Over IPv4, the external address is 11.0.0.9:4001 (4 observers). The NAT mapping is endpoint-independent: it does not matter who is dialed.',
      'Hole punching over IPv4 is likely to work.',
      'Over IPv6, external address and NAT are unknown: no peer was reached over IPv6.',
      ''
    ].join('\n'))
  })

  it('one observer of several sees another address: that does not change the mapping', () => {
    const addresses = [{ address: '/ip4/11.0.0.9/tcp/4001', observers: 3 }, { address: '/ip4/11.0.0.9/tcp/5001', observers: 1 }]

    expect(text([peer()], [seen({ addresses })])).to.include('the external address is 11.0.0.9:4001 (3 of 4 observers).')
  })

  it('endpoint-dependent mapping: hole punching is unlikely to work', () => {
    const addresses = [5001, 5002, 5003, 5004].map(port => ({ address: `/ip4/11.0.0.9/tcp/${port}`, observers: 1 }))
    const peers = [peer(), peer(), peer(), peer()]
    const observed = [seen({ addresses, natMapping: 'endpoint-dependent' })]

    expect(judge(peers, observed)).to.include({ ok: true, holePunching: 'unlikely' })
    expect(text(peers, observed)).to.include('Over IPv4, peers see this node at 4 different external addresses. ')
      .and.include('is endpoint-dependent: each peer sees another address.')
      .and.include('unlikely to work, except with peers that anybody can reach: those with a public address or behind a full-cone NAT.')
  })

  for (const [observers, missing] of [[1, '3 more peers at other addresses'], [3, '1 more peer at another address']] as const) {
    it(`${observers} of four observers: unknown mapping, and how many more it takes`, () => {
      const observed = [seen({ addresses: [{ address: '/ip4/11.0.0.9/tcp/5001', observers }], natMapping: 'unknown' })]

      expect(judge([peer()], observed).holePunching).to.equal('unknown')
      expect(text([peer()], observed)).to.include(`The NAT mapping is unknown: to be sure, ask ${missing}.`)
        .and.include('Whether hole punching over IPv4 works is unknown, because the NAT mapping is unknown.')
    })
  }

  it('an address of this machine: no NAT, whatever the number of observers', () => {
    const observed = [seen({ listening: IP6, addresses: [{ address: '/ip6/2b00::2/tcp/4001', observers: 1 }], behindNat: false, natMapping: 'unknown' })]

    expect(judge([peer(overIPv6)], observed).holePunching).to.equal('likely')
    expect(text([peer(overIPv6)], observed)).to.include('Over IPv6, the external address is [2b00::2]:4001 (1 observer). It is an address of this machine: there is no NAT.')
  })

  it('no public address seen: unknown', () => {
    expect(judge([peer()], [{ listening: IP4, ...UNSEEN }]).holePunching).to.equal('unknown')
    expect(text([peer()], [{ listening: IP4, ...UNSEEN }])).to.include('unknown: no peer sees this node at a public address.')
  })

  it('three peers, and none reached from the listening port: the network blocks hole punching', () => {
    const observed = [{ listening: IP4, ...UNSEEN }]
    const peers = [peer(blocked), peer(blocked), peer(blocked)]

    expect(judge(peers, observed)).to.deep.include({ ok: false, portsReused: 'none', because: [blocked.message], holePunching: 'unlikely' })
    expect(text(peers, observed)).to.include('Ports are not reused: the listening port got no answer.')
      .and.include('unknown: no dial came from the port that is listened on.')
      .and.include('Hole punching is unlikely to work: ')
    // their own firewalls may be the reason
    expect(judge(peers.slice(1), observed).holePunching).to.equal('unknown')
  })

  for (const why of ['turned_off', 'unavailable', 'no_listener', 'unusable'] as const) {
    it(`${why}: has nothing to do with the NAT`, () => {
      const local = { ...blocked, why, message: 'a reason of this machine' }

      expect(judge([peer(local), peer(local), peer(local)], [{ listening: IP4, ...UNSEEN }])).to.include({ portsReused: 'none', holePunching: 'unknown' })
      expect(text([peer(local)], [{ listening: IP4, ...UNSEEN }])).to.not.include('Hole punching')
      expect(judge([peer(), peer(local)], [seen()])).to.include({ portsReused: 'some', holePunching: 'likely' })
    })
  }

  it('some dials blocked: unknown, for this IP version', () => {
    const peers = [peer(), peer(blocked), peer(overIPv6)]
    const observed = [seen(), seen({ listening: IP6, addresses: [{ address: '/ip6/2b00::2/tcp/4001', observers: 2 }] })]

    expect(judge(peers, observed)).to.include({ ok: false, portsReused: 'some', holePunching: 'likely' })
    expect(judge(peers, observed).endpoints.map(({ holePunching }) => holePunching)).to.deep.equal(['unknown', 'likely'])
    expect(text(peers, observed)).to.include('Ports are reused for 2 of 3 dials; otherwise the listening port got no answer.')
      .and.include('is unknown, because not all dials came from the port that is listened on.')
  })

  it('a peer that dialed us at the same moment: tells nothing', () => {
    const crossed = { ...blocked, why: 'simultaneous_open', message: 'the peer dialed us at the same moment' } as const
    const unseen = { listening: IP4, ...UNSEEN }

    expect(judge([peer(crossed)], [unseen])).to.deep.include({ portsReused: 'unknown', because: [], holePunching: 'unknown' })
    expect(text([peer(crossed)], [unseen])).to.include('not from a listening port: the peer dialed us at the same moment\n')
      .and.not.include('unlikely')
    expect(text([peer(crossed), peer(overIPv6)], [unseen])).to.include('Ports are reused: the dial came from the port that is listened on.')
      .and.include('Over IPv4, external address and NAT are unknown: the peers dialed this node at the same moment.')
      .and.not.include('unlikely')

    expect(judge([peer(crossed), peer()], [seen()])).to.include({ portsReused: 'all', holePunching: 'likely' })
    expect(judge([peer(crossed), peer(blocked)], [seen()])).to.include({ portsReused: 'none', holePunching: 'unknown' })
  })

  it('nobody reached: nothing to say', () => {
    const peers = [peer(REUSED, { reached: false, source: null, connectMs: null, latencyMs: null, error: 'connect ECONNREFUSED 11.0.0.1:4001' })]

    expect(judge(peers, [{ listening: IP4, ...UNSEEN }])).to.include({ ok: false, portsReused: 'unknown', holePunching: 'unknown' })
    expect(text(peers, [{ listening: IP4, ...UNSEEN }])).to.match(/tcp\/4001: connect ECONNREFUSED 11\.0\.0\.1:4001\n\nNo peer could be reached\.\n/)
      .and.not.include('Over IPv4')
  })

  it('@libp2p/tcp: how many saw another port', () => {
    const seenAt = (observed: string): PeerResult => {
      const { libp2pTcp, ...rest } = peer()

      return { ...rest, libp2pTcp: { ...libp2pTcp, observed } }
    }

    expect(text([seenAt('/ip4/11.0.0.9/tcp/51000'), seenAt('/ip4/11.0.0.9/tcp/5555')], [seen()]))
      .to.include('With @libp2p/tcp, 1 of 2 peers saw another port than the one that is listened on.')
  })

  it('@libp2p/tcp: why it failed, if that is another reason', () => {
    const { libp2pTcp } = peer()

    expect(text([peer(REUSED, { error: 'refused', libp2pTcp: { ...libp2pTcp, error: 'connection error: refused' } })], [seen()])).to.not.include('with @libp2p/tcp:')
    expect(text([peer(REUSED, { libp2pTcp: { ...libp2pTcp, error: 'no answer within 10 s' } })], [seen()])).to.include('tcp/4001: with @libp2p/tcp: no answer within 10 s\n')
  })

  it('a table that is wider than the terminal: one line for each value', () => {
    const peers = [peer(), peer(REUSED, { observed: '/ip4/11.0.0.9/tcp/4001' })]
    const table = text(peers, [seen()])
    const [head] = table.match(/^\| peer.*/m) ?? []
    const stacked = text(peers, [seen()], { columns: 80 })

    expect(text(peers, [seen()], { columns: head?.length })).to.equal(table)
    expect(text(peers, [seen()], { columns: Number(head?.length) - 1 })).to.equal(stacked)
    expect(stacked).to.include([
      `\n/ip4/11.0.0.${n}/tcp/4001`,
      '  dialed from       4001',
      '  reused            yes',
      '  peer saw          11.0.0.9:4001',
      '  connected in      80 ms',
      '  round trip        40 ms',
      '  with @libp2p/tcp  -\n'
    ].join('\n'))
  })

  it('port reuse: how, or why not', () => {
    expect(text([peer()], [seen()])).to.include('Ports can be reused on this machine, by net.BoundSocket\n')
    expect(text([peer()], [seen()], { portReuse: { available: false, why: 'no' } })).to.include('Ports are not reused on this machine: no\n')
  })

  it('what peers say can not give commands to the terminal', () => {
    expect(text([peer(REUSED, { error: 'a\x1b[2Jb\x9bc' })], [seen()])).to.include(': a [2Jb c\n')
  })
})
