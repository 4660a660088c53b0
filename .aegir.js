/** @type {import('aegir').PartialOptions} */
export default {
  build: {
    bundlesizeMax: '10kB'
  }
}
