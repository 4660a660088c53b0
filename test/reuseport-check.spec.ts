import { expect } from 'aegir/chai'
import { runInNamespace } from './fixtures/namespace.ts'

const FIXTURE = 'bootstrap-nodes.ts'

/** In networks of their own, as peers in different ones are different observers */
const BOOTSTRAP_NODES = ['12.0.0.1', '13.0.0.1', '14.0.0.1', '15.0.0.1', '16.0.0.1']

/** This machine is 11.0.0.23 */
const ROUTES = `
  ip address add 11.0.0.23/32 dev lo
  ${BOOTSTRAP_NODES.map(address => `ip route add local ${address} dev lo src 11.0.0.23`).join('\n')}
`

const NAME_SERVER = `
  mount -t tmpfs tmpfs /mnt
  echo nameserver 127.0.0.1 > /mnt/resolv.conf
  mount --bind /mnt/resolv.conf /etc/resolv.conf
`

describe('reuseport-check, in a network of its own', () => {
  it('--public: says whom it dials, and finds the bootstrap nodes of IPFS by their names', async function () {
    const { code, stderr, stdout } = await runInNamespace(this, ROUTES + NAME_SERVER, FIXTURE, JSON.stringify(BOOTSTRAP_NODES), '--public', '--port', '4002')

    expect(stderr).to.equal('This dials the public bootstrap nodes of the IPFS network: /dnsaddr/bootstrap.libp2p.io, /dnsaddr/va1.bootstrap.libp2p.io. They see the address of this machine.')
    expect(stdout.match(/^\| \/dnsaddr\/bootstrap\.libp2p\.io\/p2p\/\w+ +\| 4002 +\| yes +\| 11\.0\.0\.23:4002 /gm)).to.have.lengthOf(4)
    expect(stdout).to.match(/^\| \/dnsaddr\/va1\.bootstrap\.libp2p\.io\/p2p\/\w+ +\| 4002 +\| yes +\| 11\.0\.0\.23:4002 /m)
    expect(stdout).to.include('the external address is 11.0.0.23:4002 (5 observers). It is an address of this machine: there is no NAT.\nHole punching over IPv4 is likely to work.\n')
    expect(code).to.equal(0)
  })

  it('--public: fails if there is no such name', async function () {
    const { code, stderr } = await runInNamespace(this, NAME_SERVER, FIXTURE, '[]', '--public')

    expect(stderr).to.match(/\nreuseport-check: queryTxt E\w+ _dnsaddr\.\w+\.libp2p\.io$/)
    expect(code).to.equal(1)
  })

  it('fails if the machine has no address', async function () {
    expect(await runInNamespace(this, 'ip link set lo down', FIXTURE, '[]')).to.deep.equal({
      code: 1,
      stdout: '',
      stderr: 'reuseport-check: This machine has no IP address, not even that of the loopback interface, so it can not dial'
    })
  })
})
