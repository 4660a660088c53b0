import type { WriteStream } from 'node:tty'

/**
 * Resolves when `text` is written, or when nobody reads on, as in `… | head -1`
 *
 * @throws {Error} the system's error, for instance when a disk is full
 */
export async function write (stream: Pick<WriteStream, 'write' | 'once'>, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    // an error comes here as well as to the callback, and must be listened to
    stream.once('error', () => {})
    stream.write(text, err => {
      if (err == null || (err as NodeJS.ErrnoException).code === 'EPIPE') {
        resolve()
      } else {
        reject(err)
      }
    })
  })
}
