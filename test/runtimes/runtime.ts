/** What runs this: Bun and Deno say that they are Node as well */
export const runtime = (['bun', 'deno', 'node'] as const).find(name => name in process.versions) ?? 'node'

/** If another one can do this one day, the table in the README is to be changed as well */
export const reusesPorts = runtime === 'node'
