const { execArgv, env } = require('node:process')

const conditions = 'conditions=libp2p-reuseport-tcp-source'

// Mocha loads this twice: in the process that it is started as, and in the one with these
// options, which runs the specs. Coverage is measured of the latter only. Processes that the
// specs start would need three times the CPU, and `amplification.spec.ts` bounds that
if (execArgv.includes(`--${conditions}`)) {
  delete env.NODE_V8_COVERAGE
}

module.exports = {
  'node-option': [conditions],
  require: ['./test/kit/left-out.ts']
}
