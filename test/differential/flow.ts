/** Bytes whose order can be checked at any moment, also those of a connection that is lost in the middle */

/** As long as what multistream-select and the name of a protocol begin with, 28 bytes */
const HTTP = 'HTTP/1.1 400 Bad Request\r\n\r\n'
export const HTTP_BYTES = HTTP.length

/** A prime, so that no size of a chunk hides that chunks are in the wrong order */
const PERIOD = 1_048_573

const PATTERN = Buffer.from(Uint8Array.from({ length: PERIOD }, (_, i) => (i * 7 + (i >> 8) * 31) & 0xff))
PATTERN.write(HTTP)

/** One direction of a connection */
export class Flow {
  #sent = 0
  #received = 0
  #isRight = true

  /** The next bytes to send */
  next (bytes: number): Uint8Array {
    const data = Buffer.alloc(bytes)

    for (let i = 0; i < bytes;) {
      i += PATTERN.copy(data, i, (this.#sent + i) % PERIOD)
    }

    this.#sent += bytes

    return data
  }

  /** They were not sent after all */
  takeBack (bytes: number): void {
    this.#sent -= bytes
  }

  received (data: Uint8Array): void {
    for (let i = 0; i < data.byteLength;) {
      const at = (this.#received + i) % PERIOD
      const length = Math.min(PERIOD - at, data.byteLength - i)
      this.#isRight &&= PATTERN.subarray(at, at + length).equals(data.subarray(i, i + length))
      i += length
    }

    this.#received += data.byteLength
  }

  /** How much arrived: to the byte only if it is all of it, as a part depends on the moment */
  toString (): string {
    const changed = this.#isRight ? '' : ', changed'

    if (this.#received === this.#sent) {
      return `all ${this.#sent}${changed}`
    }

    return this.#received === 0 ? 'nothing' : `a part${changed}`
  }
}
