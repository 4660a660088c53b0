/** @type {import('aegir').PartialOptions} */
export default {
  build: {
    bundlesizeMax: '20kB'
  },
  lint: {
    files: [
      '*.{js,ts}',
      '{src,test,benchmarks,examples}/**/*.{js,ts}',
      'reuseport-check/{src,test}/**/*.ts'
    ]
  },
  test: {
    // in the run that `npm run coverage` reports
    cov: process.env.COVERAGE === 'true',
    // a process that does not end is an error there, too
    covTimeout: 2 ** 31 - 1,
    // those of the package and of other runtimes have scripts of their own
    files: [
      'test/*.spec.ts',
      'test/!(package|runtimes)/**/*.spec.ts',
      'reuseport-check/test/*.spec.ts'
    ]
  },
  dependencyCheck: {
    ignore: [
      // run as commands
      '@arethetypeswrong/cli',
      'bun',
      'deno',
      'esbuild',
      'publint',
      'typedoc',
      // loaded by require, if it is there
      'koffi',
      // installed for users, in test/package
      'typescript',
      // ourselves, as users import us
      'libp2p-reuseport-tcp'
    ],
    // these run from a checkout, with the development dependencies
    productionIgnorePatterns: [
      '/benchmarks',
      '/dist',
      '/examples',
      '/reuseport-check',
      '/test',
      '.aegir.js'
    ],
    // a package of its own
    developmentIgnorePatterns: [
      '/dist',
      '/reuseport-check',
      '/src'
    ]
  }
}
