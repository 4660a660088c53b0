import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { COMMAND, LIBRARY, emptyDirectory, installed, manifestIn, run, tarball } from './installed.ts'

describe('npm install', () => {
  /** How many packages npm would install in an empty project */
  async function packagesOf (name: string): Promise<number> {
    const directory = emptyDirectory()
    await run(directory, 'npm', 'install', '--prefer-offline', '--package-lock-only', name)
    const { packages } = JSON.parse(fs.readFileSync(path.join(directory, 'package-lock.json'), 'utf-8'))

    return Object.keys(packages).length - 1
  }

  it('brings three packages more than @libp2p/tcp at most', async () => {
    const tcp = await packagesOf(`@libp2p/tcp@${manifestIn(LIBRARY).devDependencies['@libp2p/tcp']}`)

    expect(tcp).to.be.greaterThan(10)
    expect(await packagesOf(await tarball(LIBRARY))).to.be.at.most(tcp + 3)
  })
})

describe('npx reuseport-check', () => {
  async function npx (option: string): Promise<string> {
    return run(await installed(), 'npx', 'reuseport-check', option)
  }

  it('says what it can do', async () => {
    expect(await npx('--help')).to.match(/^Usage: reuseport-check /)
  })

  it('says its version', async () => {
    expect(await npx('--version')).to.equal(manifestIn(COMMAND).version)
  })

  it('dials the peers that it starts from the port that it listens on', async () => {
    const { localPeers, peers, verdict } = JSON.parse(await npx('--json'))

    expect(localPeers).to.equal(true)
    expect(peers).to.not.be.empty()
    expect(verdict).to.include({ ok: true, portsReused: 'all' })
  })
})
