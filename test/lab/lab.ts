import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startHelper } from '../kit/processes.ts'
import { createNamespace } from './namespace.ts'
import { hasIPv6, hostAddress, lanPrefix, putBehind, setDefaultRoutes, setUpRouter } from './router.ts'
import type { Namespace } from './namespace.ts'
import type { NatKind } from './nat-rules.ts'

/**
 * Machines around one public network segment, on which every frame is under way
 * for a while. Nothing of it is to be seen outside, and no route leads out
 */
export interface Lab {
  /**
   * A machine on the public segment. The addresses have prefix lengths. For
   * libp2p to think them public they must not be of a private or documentation
   * range: 11.0.0.1/24, 2b00::1/64
   */
  host(...addresses: string[]): Promise<Namespace>

  /**
   * A machine behind a router of its own, which is 11.0.0.N and 2b00::N on the
   * public segment. With kind `none` it has these addresses itself. Frames to and
   * from it are under way for `distance` ms more
   */
  hostBehind(kind: NatKind, n: number, distance?: number): Promise<Namespace>

  /** A machine behind two routers in a row, the outer one of which is 11.0.0.N */
  hostBehindTwo(outer: RouterKind, inner: RouterKind, n: number): Promise<Namespace>

  /** Two machines behind the same router, which is 11.0.0.N, each in a LAN of its own */
  twoHostsBehind(kind: RouterKind, n: number): Promise<[Namespace, Namespace]>

  /** Changes the network of a machine that {@link hostBehind} has put behind a router */
  roam(host: Namespace): Roaming

  /** How many TCP simultaneous opens crossed the public segment so far */
  simultaneousOpens(): Promise<number>

  /**
   * Has frames of choice lost
   *
   * @param what - which of those between two ends
   * @param ends - ADDRESS or ADDRESS:PORT each, as seen on the public segment
   * @returns a function that says which ones were, and throws if they did not come
   */
  drop(what: Drop, ...ends: [string, string]): Promise<() => Promise<string>>

  stop(): Promise<void>
}

/**
 * Changes of the network of a machine. Its TCP connections are dead after each of them, unless
 * the link was down for a short time only
 */
export interface Roaming {
  /** The router gets 11.0.0.N as its address instead of the one it has */
  renumber(n: number): Promise<void>

  /** The router forgets all connections, and maps port `from` to port `to` from now on */
  reboot(from: number, to: number): Promise<void>

  /** The machine has no link for so many ms */
  unplug(time: number): Promise<void>

  /** The machine gets another address in a LAN of another router, which is 11.0.0.N */
  move(kind: RouterKind, n: number): Promise<void>
}

/**
 * Frames of choice:
 *
 * - `first-syn`: the first one from the first end to the second
 * - `punch-ack`: both dial each other at the same instant, and the first one's SYN
 * is lost, as a NAT does to a SYN that comes early. So the second one's meets the
 * first one's dial, is answered with SYN-ACK, and the ACK to that is lost, too
 * - `punch-ack-and-syn-ack`: and the SYN-ACK that follows
 * - `punch-syn-ack-and-ack`: the SYN is lost, the SYN-ACK, and the ACK to the next SYN-ACK
 */
export type Drop = 'first-syn' | 'punch-ack' | 'punch-ack-and-syn-ack' | 'punch-syn-ack-and-ack'

export interface LabOptions extends Weather {
  /** How long a frame is under way on the public segment, in ms, one way */
  latency: number

  /**
   * Are all IPv4 addresses on the public segment, not only those of the prefix that a
   * machine is in?
   */
  isWholeInternet?: boolean
}

/** What else happens to frames on the public segment */
export interface Weather {
  /** How much longer a frame may be under way, in ms */
  jitter?: number

  /** How many of the frames get lost, in percent */
  loss?: number

  /** Decides on the jitter and the loss */
  seed?: number
}

type RouterKind = Exclude<NatKind, 'none'>

/** The router of a machine, its kind, and the numbers of its address and its LAN */
interface Router {
  machine: Namespace
  kind: RouterKind
  n: number
  lan: number
}

interface Route {
  to: string
  via: string
}

export function createLab ({ latency, jitter = 0, loss = 0, seed = 0, isWholeInternet = false }: LabOptions): Lab {
  const delaySwitch = startHelper('python3', ['-B', fileURLToPath(new URL('./delay-switch.py', import.meta.url)), ...[latency, jitter, loss, seed].map(String)])
  const namespaces: Namespace[] = []
  const publicMachines: Namespace[] = []
  const routers = new Map<Namespace, Router>()
  const routes: Route[] = []

  /** Linux removes the routes when the link goes down, and with the last address */
  const goOnline = async (namespace: Namespace): Promise<void> => {
    await namespace.run('ip', 'link', 'set', 'public', 'up')

    if (isWholeInternet) {
      await namespace.run('ip', 'route', 'add', 'default', 'dev', 'public')
    }
  }

  /** Every machine that is on the public segment comes from here */
  const publicMachine = async (addresses: string[], distance = 0): Promise<Namespace> => {
    const namespace = await createNamespace()
    namespaces.push(namespace)
    const plugged = await delaySwitch.ask(`plug ${namespace.pid} public ${distance}`)

    if (plugged !== 'ok') {
      throw new Error(`The switch can't plug in a machine: ${plugged}`)
    }

    for (const address of addresses) {
      // nobody else has this address, so don't spend a second on asking
      await namespace.run('ip', 'address', 'add', address, 'dev', 'public', ...(address.includes(':') ? ['nodad'] : []))
    }

    await goOnline(namespace)
    publicMachines.push(namespace)
    await Promise.all(routes.map(async route => learn(namespace, route)))

    return namespace
  }

  /** All other machines on the public segment learn of a LAN with public addresses */
  const announce = async (route: Route, router: Namespace): Promise<void> => {
    routes.push(route)
    await Promise.all(publicMachines.filter(machine => machine !== router).map(async machine => learn(machine, route)))
  }

  const routerOn = async (machine: Namespace, kind: RouterKind, n: number, lans: number[]): Promise<Namespace> => {
    await setUpRouter(machine, kind, `11.0.0.${n}`, lans)

    if (hasIPv6(kind)) {
      await announce({ to: `${lanPrefix(n)}::/64`, via: `2b00::${n}` }, machine)
    }

    return machine
  }

  const hostIn = async (router: Namespace, kind: RouterKind, lan: number): Promise<Namespace> => {
    const host = await createNamespace()
    namespaces.push(host)
    await putBehind(router, host, kind, lan)

    return host
  }

  return {
    host: async (...addresses) => publicMachine(addresses),
    hostBehind: async (kind, n, distance) => {
      const machine = await publicMachine(publicAddresses(n), distance)

      if (kind === 'none') {
        return machine
      }

      const host = await hostIn(await routerOn(machine, kind, n, [n]), kind, n)
      routers.set(host, { machine, kind, n, lan: n })

      return host
    },
    roam: host => {
      const routerOf = (): Router => {
        const router = routers.get(host)

        if (router == null) {
          throw new Error('This machine is not behind a router that can be changed')
        }

        return router
      }

      return {
        renumber: async n => {
          const router = routerOf()
          await router.machine.run('ip', 'address', 'del', `11.0.0.${router.n}/24`, 'dev', 'public')
          await router.machine.run('ip', 'address', 'add', `11.0.0.${n}/24`, 'dev', 'public')
          await goOnline(router.machine)
          routers.set(host, { ...router, n })
        },
        reboot: async (from, to) => {
          const { machine } = routerOf()
          // the kernel forgets what it has masqueraded when the device goes down
          await machine.run('ip', 'link', 'set', 'public', 'down')
          await machine.run('nft', `insert rule ip nat postrouting oifname public tcp sport ${from} masquerade to :${to}`)
          await goOnline(machine)
        },
        unplug: async time => {
          const { kind, lan } = routerOf()
          await host.run('ip', 'link', 'set', 'public', 'down')
          await delay(time)
          await host.run('ip', 'link', 'set', 'public', 'up')
          // Linux has removed the route with the link
          await setDefaultRoutes(host, kind, lan)
        },
        move: async (kind, n) => {
          const machine = await routerOn(await publicMachine(publicAddresses(n)), kind, n, [n])
          await host.run('ip', 'link', 'del', 'public')
          await putBehind(machine, host, kind, n)
          routers.set(host, { machine, kind, n, lan: n })
        }
      }
    },
    hostBehindTwo: async (outer, inner, n) => {
      const router = await hostIn(await routerOn(await publicMachine(publicAddresses(n)), outer, n, [n]), outer, n)
      await setUpRouter(router, inner, hostAddress(n), [secondLan(n)])

      return hostIn(router, inner, secondLan(n))
    },
    twoHostsBehind: async (kind, n) => {
      const lans = [n, secondLan(n)]
      const router = await routerOn(await publicMachine(publicAddresses(n)), kind, n, lans)

      return [await hostIn(router, kind, lans[0]), await hostIn(router, kind, lans[1])]
    },
    simultaneousOpens: async () => Number(await delaySwitch.ask('simultaneous-opens')),
    drop: async (what, ...ends) => {
      const id = await delaySwitch.ask(['drop', what, ...ends].join(' '))

      return async () => {
        const [state, frames] = (await delaySwitch.ask(`dropped ${id}`)).split(': ')

        if (state !== 'done') {
          throw new Error(`Not all frames that were to be lost came. Lost: ${frames === '' ? 'none' : frames}`)
        }

        return frames
      }
    },
    stop: async () => {
      await delaySwitch.stop()
      await Promise.all(namespaces.map(async namespace => namespace.stop()))
    }
  }
}

async function learn (machine: Namespace, { to, via }: Route): Promise<void> {
  await machine.run('ip', '-6', 'route', 'add', to, 'via', via)
}

function publicAddresses (n: number): string[] {
  return [`11.0.0.${n}/24`, `2b00::${n}/64`]
}

/** The number of the other LAN that a router's number stands for */
function secondLan (n: number): number {
  return n + 100
}
