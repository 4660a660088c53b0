/**
 * Prints what an import does beside loading modules:
 * `node effects.js libp2p-reuseport-tcp`
 */

import { createHook } from 'node:async_hooks'

/**
 * What Node makes to load modules, and to run them
 */
const FOR_LOADING = ['FSREQCALLBACK', 'FSREQPROMISE', 'Immediate', 'Microtask', 'PROMISE', 'TickObject']

// whoever imports node:process, directly or not, opens these
const stdio = [process.stdin, process.stdout, process.stderr]
// this makes itself a resolver
await import('node:dns/promises')

/** @type {Set<string>} */
const created = new Set()
const before = { state: state(), active: process.getActiveResourcesInfo() }
const hook = createHook({ init (id, type) { created.add(type) } }).enable()

await import(process.argv[2])

hook.disable()
const after = { state: state(), active: process.getActiveResourcesInfo() }

stdio[1].write(JSON.stringify([
  ...[...created].filter(type => !FOR_LOADING.includes(type)).map(type => `creates a ${type}`),
  ...after.active.slice(before.active.length).map(type => `leaves a ${type} open`),
  ...[...after.state].filter(([name, value]) => !Object.is(before.state.get(name), value)).map(([name]) => `sets ${name}`),
  ...[...before.state.keys()].filter(name => !after.state.has(name)).map(name => `deletes ${name}`)
]))

/**
 * The globals with their properties, those of their prototypes, the environment and
 * what listens to the process
 */
function state () {
  /** @type {Map<string, unknown>} */
  const values = new Map()

  properties(globalThis).forEach(([name, global]) => {
    values.set(name, global)
    properties(global).forEach(([property, value]) => { values.set(`${name}.${property}`, value) })
    properties(properties(global).find(([property]) => property === 'prototype')?.[1])
      .forEach(([property, value]) => { values.set(`${name}.prototype.${property}`, value) })
  })
  Object.entries(process.env).forEach(([name, value]) => { values.set(`process.env.${name}`, value) })
  process.eventNames().forEach(name => { values.set(`process.on(${String(name)})`, process.listenerCount(name)) })

  return values
}

/**
 * The getters of those that have no value: to call one may load something
 *
 * @param {unknown} value
 * @returns {Array<[string, unknown]>}
 */
function properties (value) {
  const descriptors = value == null ? {} : Object.getOwnPropertyDescriptors(Object(value))

  return Object.entries(descriptors).map(([name, { value, get }]) => [name, value ?? get])
}
