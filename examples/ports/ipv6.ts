import { once } from 'node:events'
import net from 'node:net'

/**
 * Found out by trying: the interfaces of a machine may list addresses that can't
 * be used
 */
export async function hasIPv6 (): Promise<boolean> {
  const server = net.createServer().listen(0, '::1')

  try {
    await once(server, 'listening')

    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}
