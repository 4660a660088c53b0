import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { expect } from 'aegir/chai'
import { within } from '../kit/wait.ts'
import { reusesPorts, runtime } from './runtime.ts'

/** How long a process may take to be done, and then to end, in ms */
const DONE_LIMIT = 10_000
const END_LIMIT = 2_000

/** To run a TypeScript file, and fetch nothing */
const ARGUMENTS = {
  node: ['--experimental-strip-types', '--no-warnings'],
  bun: ['--no-install'],
  deno: ['run', '--allow-all', '--no-lock', '--cached-only']
}[runtime]

describe(`a process of ${runtime}`, function () {
  this.timeout(DONE_LIMIT + END_LIMIT)

  for (const part of ['transport', 'nodes']) {
    // libp2p's locks keep a BroadcastChannel open, which Deno can't unref
    const ends = !(runtime === 'deno' && part === 'nodes')

    it(`${part}: ${ends ? 'ends' : 'does not end'} when all is closed, and ${reusesPorts ? 'logs nothing' : 'logs once'} about ports that can not be reused`, async () => {
      const child = spawn(process.execPath, [...ARGUMENTS, path.join(import.meta.dirname, 'program.ts'), part], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          ...process.env,
          DEBUG: 'libp2p:reuseport-tcp*',
          DEBUG_COLORS: 'no',
          DENO_NO_UPDATE_CHECK: '1',
          LIBP2P_TCP_REUSEPORT: '',
          NODE_OPTIONS: ''
        }
      })
      const stderr = text(child.stderr)
      const ended = once(child, 'exit')

      try {
        const [said] = await within(DONE_LIMIT, once(child.stdout, 'data'), 'The program')
        expect(`${said}`).to.equal('done\n')
        expect(await within(END_LIMIT, ended, 'The process').catch(() => 'it runs on')).to.deep.equal(ends ? [0, null] : 'it runs on')
      } finally {
        child.kill('SIGKILL')
      }

      const lines = (await stderr).split('\n').filter(line => line.includes('ports can not be reused here'))
      expect(lines).to.have.lengthOf(reusesPorts ? 0 : 1)
      // not in the scope of errors
      expect(lines.every(line => line.includes(' libp2p:reuseport-tcp ports can not'))).to.equal(true)
    })
  }
})
