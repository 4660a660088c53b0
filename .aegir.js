/** @type {import('aegir').PartialOptions} */
export default {
  build: {
    bundlesizeMax: '20kB'
  },
  test: {
    // those of other runtimes have a script of their own
    files: [
      'test/*.spec.ts',
      'test/!(runtimes)/**/*.spec.ts'
    ]
  },
  dependencyCheck: {
    ignore: [
      // run as commands
      '@arethetypeswrong/cli',
      'publint',
      // ourselves, as users import us
      'libp2p-reuseport-tcp'
    ],
    // these run from a checkout, with the development dependencies
    productionIgnorePatterns: [
      '/benchmarks',
      '/dist',
      '/examples',
      '/test',
      '.aegir.js'
    ]
  }
}
