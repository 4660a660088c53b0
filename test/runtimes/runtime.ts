/**
 * What runs this: Bun and Deno say that they are Node as well
 */
export const runtime = 'bun' in process.versions ? 'bun' : 'deno' in process.versions ? 'deno' : 'node'

/**
 * If another one can do this one day, the table in the README is to be changed as well
 */
export const reusesPorts = runtime === 'node'
