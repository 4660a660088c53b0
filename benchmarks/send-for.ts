/**
 * What both connections and streams are
 */
interface Sink<T> {
  send(data: T): boolean
  addEventListener(type: 'drain', listener: () => void, options: { once: true }): void
}

/**
 * How many messages may be sent between two looks at the clock, which is slow
 * next to sending
 */
const BETWEEN_LOOKS = 64

/**
 * Sends one message after the other for so many ms, no faster than the sink
 * drains
 *
 * @returns how many were sent
 */
export async function sendFor <T> (ms: number, sink: Sink<T>, nextMessage: () => T): Promise<number> {
  const end = performance.now() + ms
  let sent = 0

  while (true) {
    const canSendMore = sink.send(nextMessage())
    sent++

    if (!canSendMore) {
      await new Promise<void>(resolve => { sink.addEventListener('drain', resolve, { once: true }) })
    }

    if ((!canSendMore || sent % BETWEEN_LOOKS === 0) && performance.now() > end) {
      return sent
    }
  }
}
