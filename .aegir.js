/** @type {import('aegir').PartialOptions} */
export default {
  build: {
    bundlesizeMax: '20kB'
  },
  dependencyCheck: {
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
