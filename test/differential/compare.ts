/** What differs between two observations, apart from what docs/differences.md says */

import type { Pair } from './lane.ts'
import type { Observation } from './play.ts'
import type { Program } from './program.ts'

interface Difference {
  what: string
  theirs?: string
  ours?: string
}

interface Accepted {
  /** What docs/differences.md says of it, word by word */
  documented: string

  /** Is it this difference, or everything that this program shows, as it follows from this one? */
  covers(difference: Difference, program: Program, seen: Pair<Observation>): boolean
}

/** Each as narrow as it can be: what it covers is not tested */
export const ACCEPTED: Accepted[] = [
  {
    documented: '| a transport listens twice on one address | EADDRINUSE | both listen |',
    covers: (_, { options, steps }, { theirs, ours }) => steps.some((step, i) => {
      // a listener of theirs that pauses lets another one in, and can't listen again
      const isSecond = step.do === 'listen' && steps.slice(0, i).some(other => other.do === 'listen' && other.port === step.port)

      return ours[`${i} listen`] === 'listens' && (theirs[`${i} listen`] === 'Error EADDRINUSE' || (isSecond && options?.closeServerOnMaxConnections != null))
    })
  },
  {
    documented: '| a peer half-closes while it is sent more than the kernel takes | it gets a part of it | it gets all of it |',
    covers: ({ what, theirs, ours }, program) => what.endsWith('peer, received') && theirs === 'a part' && ours?.startsWith('all') === true && peerDoes('peer ends', what, program)
  },
  {
    documented: '| a peer half-closes with `allowHalfOpen: true` | the connection closes | it stays open for writing |',
    covers: (_, { options }, { ours }) => options?.dialOpts?.allowHalfOpen === true && Object.entries(ours).some(([what, events]) => what.endsWith(' dialed, events') && events.includes('remoteCloseWrite'))
  },
  {
    documented: '| a peer takes nothing for longer than the inactivity timeout during `close()` | it loses the rest | it gets all of it, if that takes less than 5 s |',
    covers: (_, program, { theirs, ours }) => program.steps.some((_, n) => isClosed(n, program) && ['dialed', 'accepted'].some(end => {
      return theirs[`${n} ${end}, events`]?.endsWith('TimeoutError') && ours[`${n} ${end}, status`]?.startsWith('closed')
    }))
  },
  {
    documented: '| a peer answers the FIN of `close()` | the answer is dropped | it is delivered; the peer has 1 s |',
    covers: ({ what, theirs, ours = '' }, program) => isClosed(Number.parseInt(what, 10), program) &&
      (what.endsWith('peer, was heard') ? ours.startsWith('all') : /(dialed|accepted), events$/.test(what) && ours.replace('message, ', '') === theirs)
  },
  {
    documented: 'the kernel answers with RST what the peer goes on sending',
    covers: ({ what, ours }, program, seen) => {
      const n = Number.parseInt(what, 10)

      return isClosed(n, program) && seen.theirs[`${n} peer, events`]?.endsWith('RST, closed') && seen.ours[`${n} peer, events`]?.endsWith('data, FIN, closed') &&
        (/ peer, events/.test(what) || (what.endsWith('peer, received') && ours?.startsWith('all') === true))
    }
  },
  {
    documented: 'the peer has 1 s',
    covers: ({ what, theirs, ours }, program) => {
      const n = Number.parseInt(what, 10)
      const made = madeBy(program)[n] ?? n

      return isClosed(made, program) && !peerReads(made, program) && (
        // the dial if its upgrade waits for the end of the connection
        (/ (close|dial), when$/.test(what) && ours === 'later') ||
        (/ (pause|resume)$/.test(what) && theirs === 'StreamStateError') ||
        (what.endsWith('peer, received') && theirs === 'a part' && ours?.startsWith('all') === true) ||
        (/peer, events/.test(what) && theirs?.replace(/RST, closed$/, 'FIN') === ours) ||
        (/ close$/.test(what) && theirs === 'closed, then closed' && ours === 'closed, then closing' && isClosed(made, { steps: program.steps.slice(0, n) }))
      )
    }
  },
  {
    documented: 'a RST or `abort()` within this second is in the close event',
    covers: (_, { steps }, { theirs, ours }) => steps.some((step, i) => step.do === 'close' && theirs[`${i} close`] === 'closed, then closed' && ours[`${i} close`] === 'closed, then aborted') && steps.some(({ do: action }) => action === 'peer resets' || action === 'abort')
  },
  {
    documented: '| a connection is lost during `close()`, with data queued | it never settles | it resolves, the close event tells |',
    covers: ({ what }, _, { theirs, ours }) => {
      const close = what.replace(', when', '')

      return close.endsWith(' close') && ours[close] === 'closed, then aborted' && theirs[close] === 'never ends'
    }
  },
  {
    documented: '| a connection closes while it is paused, with data that was not read | the data is dropped | `resume()` delivers it, then `end` comes |',
    covers: ({ what, theirs, ours }, program) => {
      const n = Number.parseInt(what, 10)

      return isClosed(n, program) && program.steps.some(({ do: action }, i) => action === 'pause' && madeBy(program)[i] === n) &&
        ((/(dialed|accepted), events$/.test(what) && theirs?.replace('end, ', '') === ours) || (/(dialed|accepted), status$/.test(what) && ours?.includes('paused') === true))
    }
  },
  {
    documented: 'it has one that does not listen as `unknown`',
    covers: ({ what, theirs, ours }) => what === 'metric libp2p_tcp_inbound_connections_total unknown' && theirs === '0' && ours == null
  },
  {
    documented: 'rejects with an event, which is no error',
    covers: ({ what, theirs, ours }) => what.endsWith(' close') && ours?.startsWith('closed') === true && /^rejects with a Stream\w+Event$/.test(`${theirs}`)
  },
  {
    documented: 'A listener emits `close` when its connections have closed here',
    covers: ({ what, ours = '' }) => what.endsWith('listener, events') && /close with connections[^,]*$/.test(ours) && !ours.includes('open')
  },
  {
    documented: '| the signal of `close()` aborts, with data queued | it rejects with the reason | AbortError, and the connection is aborted |',
    covers: (_, { steps }, { theirs, ours }) => steps.some((step, i) => step.do === 'close' && step.signal != null && [theirs, ours].every(seen => seen[`${i} close`] === 'AbortError'))
  },
  {
    documented: '| the signal of a dial aborts in `onProgress` | the peer sees a connection | nothing is opened |',
    covers: (_, { steps }) => steps.some(step => step.do === 'dial' && step.abort === 'in onProgress')
  },
  {
    documented: '| the signal of a dial aborts when that has succeeded | the connection is aborted | it stays open |',
    covers: (_, { steps }, { theirs, ours }) => steps.some((step, i) => step.do === 'dial' && step.abort === 'later' && [theirs, ours].every(seen => seen[`${i} dial`] === 'connected'))
  },
  {
    documented: '| connections are counted in the metrics | of the first listener | of all listeners |',
    covers: ({ what, theirs = '0', ours }, { steps }) => what.startsWith('metric libp2p_tcp_inbound_connections_total') && Number(theirs) <= Number(ours) && steps.filter(step => step.do === 'listen').length > 1
  },
  {
    documented: 'the error is what the listening port got',
    covers: ({ what }, { net }, { theirs, ours }) => what.endsWith(' dial') && net?.what === 'from listeners' && net.does !== 'drop' && [theirs, ours].every(seen => /Error E[A-Z]+$/.test(seen[what]))
  },
  {
    documented: 'a dial takes up to 1.25 s longer',
    covers: ({ what, ours }, { net }) => what.endsWith('dial, when') && ours === 'later' && net?.what === 'from listeners' && net.does !== 'reject with tcp reset'
  },
  {
    documented: '`@libp2p/tcp` asks for the addresses of both families',
    covers: (_, { steps }) => steps.some(step => (step.do === 'dial' && step.to === '/dns4/both.test') || (step.do === 'listen' && step.on === '/dns4/both.test'))
  },
  {
    documented: 'gives each address of a name 250 ms',
    covers: ({ what }, { net }, { theirs }) => net?.what === 'to peers' && /dial(, when)?$/.test(what) && theirs[what.replace(', when', '')] === 'AggregateError ETIMEDOUT'
  },
  {
    documented: 'closed while it looks its name up',
    covers: (_, { steps }, { ours }) => steps.some((_, i) => ours[`${i} listen`] === 'AbortError')
  },
  {
    documented: 'says that it is paused at once',
    covers: ({ what }, { options }) => what.startsWith('metric libp2p_tcp_listener_status_info') && options?.closeServerOnMaxConnections != null
  },
  {
    documented: 'stays paused for ever',
    covers: (_, { options }, { theirs }) => options?.closeServerOnMaxConnections != null && theirs['process, kept alive by'] === 'TCPServerWrap'
  }
]

/** The step that made a connection, for each step that is about one */
function madeBy ({ steps }: Program): Array<number | undefined> {
  const made: number[] = []

  return steps.map((step, i) => {
    if (step.do === 'dial' || step.do === 'arrive') {
      made.push(i)
    }

    return 'connection' in step ? made[step.connection % made.length] : undefined
  })
}

/** Does the peer of the step that `what` begins with do this, when it is told to, or at once? */
function peerDoes (action: 'peer ends', what: string, program: Program): boolean {
  const made = madeBy(program)
  const n = Number.parseInt(what, 10)
  const step = program.steps[n]

  return ('peer' in step && step.peer === 'ends') || program.steps.some((step, i) => step.do === action && made[i] === n)
}

/** Is the connection that this step made closed by the program? */
function isClosed (n: number, program: Program): boolean {
  const made = madeBy(program)

  return program.steps.some((step, i) => step.do === 'close' && made[i] === n)
}

/** Does the peer of the connection that this step made read, and answer FIN with FIN? */
function peerReads (n: number, program: Program): boolean {
  const made = madeBy(program)
  const step = program.steps[n]

  return !('peer' in step && (step.peer === 'does not read' || step.peer === 'keeps its half open')) &&
    !program.steps.some(({ do: action }, i) => action === 'peer pauses' && made[i] === n)
}

/** @returns a line for each difference */
export function compare (program: Program, seen: Pair<Observation>): string[] {
  return [...new Set([...Object.keys(seen.theirs), ...Object.keys(seen.ours)])]
    .map(what => ({ what, theirs: seen.theirs[what], ours: seen.ours[what] }))
    .filter(({ theirs, ours }) => theirs !== ours)
    .filter(difference => !ACCEPTED.some(({ covers }) => covers(difference, program, seen)))
    .map(({ what, theirs = '', ours = '' }) => `${what}: ${theirs === '' ? 'none' : theirs}  |  here: ${ours === '' ? 'none' : ours}`)
}
