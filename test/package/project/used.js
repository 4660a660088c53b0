import { defaultLogger } from '@libp2p/logger'
import { reuseportTcp } from 'libp2p-reuseport-tcp'

reuseportTcp()({ logger: defaultLogger() })
