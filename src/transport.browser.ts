/** Replaces the transport in browsers, which have no TCP sockets */
export class ReuseportTcp {
  constructor () {
    throw new Error('TCP connections are not possible in browsers')
  }
}
