import 'libp2p-reuseport-tcp'
import 'libp2p-reuseport-tcp/dcutr'

export { answer } from './unused-by.js'
