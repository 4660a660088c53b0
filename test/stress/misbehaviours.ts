import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'

/**
 * What a hostile peer does on a connection, whichever end opened it: both ends of a handshake
 * begin with the same lines
 */
export type Misbehaviour = (socket: Socket) => void

const HEADER = Buffer.from('\x13/multistream/1.0.0\n')
const NOISE = Buffer.from('\x07/noise\n')

/** How far the peer goes before it misbehaves. A message of noise has its length in front */
const STEPS: Record<string, Buffer> = {
  accepting: Buffer.alloc(0),
  'the multistream header': HEADER,
  '/noise': Buffer.concat([HEADER, NOISE]),
  'half a noise message': Buffer.concat([HEADER, NOISE, Buffer.from([0, 96]), randomBytes(48)]),
  // a peer that is dialed and sends it claims that there was a simultaneous open
  'the first message of an initiator': Buffer.concat([HEADER, NOISE, Buffer.from([0, 32]), randomBytes(32)])
}

const ENDINGS: Record<string, Misbehaviour> = {
  'is silent': () => {},
  closes: socket => { socket.destroy() },
  'half-closes': socket => { socket.end() },
  resets: socket => { socket.resetAndDestroy() }
}

/** In ms: a reset overtakes what was sent just before */
const PAUSE = 20

export const MISBEHAVIOURS: Record<string, Misbehaviour> = {
  ...Object.fromEntries(Object.entries(ENDINGS).flatMap(([ending, end]) => Object.entries(STEPS).map(([step, bytes]) => [
    `${ending} after ${step}`,
    (socket: Socket) => {
      socket.write(bytes)
      whileOpen(socket, setTimeout(() => { end(socket) }, PAUSE))
    }
  ]))),

  'sends garbage': socket => { socket.write(randomBytes(1_000)) },

  'announces a line that never ends': socket => { socket.write(Buffer.alloc(1_000, 0xff)) },

  'sends a byte a second': socket => {
    let sent = 0

    whileOpen(socket, setInterval(() => { socket.write(HEADER.subarray(sent, ++sent)) }, 1_000))
  },

  'never stops sending the longest message of noise': socket => {
    socket.write(Buffer.concat([HEADER, NOISE, Buffer.from([0xff, 0xff])]))
    whileOpen(socket, setInterval(() => { socket.write(randomBytes(10)) }, 1))
  },

  floods: socket => {
    const flood = (): void => {
      while (!socket.destroyed && socket.write(randomBytes(65_536))) {
        // until the socket is full
      }
    }

    socket.write(Buffer.concat([HEADER, NOISE]))
    socket.on('drain', flood)
    flood()
  },

  'does not read': socket => {
    socket.pause()
    socket.write(Buffer.concat([HEADER, NOISE]))
    // when everybody has given up it reads the FIN, so that it is not left over itself
    whileOpen(socket, setTimeout(() => { socket.resume() }, 3_000))
  }
}

function whileOpen (socket: Socket, timer: ReturnType<typeof setTimeout>): void {
  socket.once('close', () => { clearTimeout(timer) })
}
