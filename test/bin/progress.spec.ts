import { expect } from 'aegir/chai'
import { progressLine } from '../../src/bin/progress.ts'

describe('the progress line of reuseport-check', () => {
  function stream (isTTY: boolean, columns: number): { isTTY: boolean, columns: number, write(text: string): boolean, written: string[] } {
    const written: string[] = []

    return { isTTY, columns, written, write: text => written.push(text) > 0 }
  }

  it('replaces itself, fits on one line and is erased', () => {
    const terminal = stream(true, 24)
    const { show, erase } = progressLine(terminal, 'xterm')

    show('one')
    show('0123456789012345678901234')
    erase()
    expect(terminal.written).to.deep.equal(['\r\x1b[Kone', '\r\x1b[K01234567890123456789012', '\r\x1b[K'])
  })

  it('does not touch the line if nothing was shown', () => {
    const terminal = stream(true, 80)

    progressLine(terminal, 'xterm').erase()
    expect(terminal.written).to.be.empty()
  })

  it('is readable on a terminal that does not know its width', () => {
    const terminal = stream(true, 0)

    progressLine(terminal, 'xterm').show('starting')
    expect(terminal.written).to.deep.equal(['\r\x1b[Kstarting'])
  })

  it('is not written to what is no terminal, or one that can not erase', () => {
    const pipe = stream(false, 80)
    const dumb = stream(true, 80)

    for (const { show, erase } of [progressLine(pipe, 'xterm'), progressLine(dumb, 'dumb')]) {
      show('one')
      erase()
    }

    expect([...pipe.written, ...dumb.written]).to.be.empty()
  })
})
