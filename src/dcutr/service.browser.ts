/**
 * Replaces the service in browsers, which have no TCP ports to reuse. There it is
 * `@libp2p/dcutr`, which punches holes with the transports that browsers have
 */
export { dcutr } from '@libp2p/dcutr'
