/**
 * Prints the URLs of the modules that an import loads:
 * `node loaded.js libp2p-reuseport-tcp`
 */

import { registerHooks } from 'node:module'

/** @type {string[]} */
const loaded = []

registerHooks({
  load (url, context, nextLoad) {
    loaded.push(url)

    return nextLoad(url, context)
  }
})

await import(process.argv[2])
process.stdout.write(JSON.stringify(loaded))
