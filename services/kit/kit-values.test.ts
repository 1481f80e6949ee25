import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { cidrFault } from './cidr-fault.ts'
import { systemClock } from './clock.ts'
import { nearestName } from './nearest-name.ts'
import { openOperatorLog, textLine } from './operator-log.ts'
import { onShutdown } from './shutdown.ts'
import { parseSocketAddress, socketAddressText } from './socket-address.ts'

describe('a socket address', () => {
  it.each([
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65535 }],
    ['[::1]:25', { host: '::1', port: 25 }],
  ])('%s is read, and written as it was', (text, address) => {
    expect(parseSocketAddress(text)).toEqual(address)
    expect(socketAddressText(address)).toBe(text)
  })

  it.each(['127.0.0.1', ':25', '::1:25', 'a b:25', 'a:65536', 'a:', '[::1]25', 'a:2x'])('%s is none', (text) => {
    expect(parseSocketAddress(text)).toBe(null)
  })
})

describe('a network', () => {
  it.each(['10.0.0.0/8', '10.1.2.3', '0.0.0.0/0', '::/0', '2001:db8::/32', '::1', '2001:db8:0:1::/64', '::ffff:10.0.0.0/104'])('%s is one', (text) => {
    expect(cidrFault(text)).toBe(null)
  })

  it.each([
    ['10.0.0.1/31', '10.0.0.0/31'],
    ['2001:db8::1/127', '2001:db8::/127'],
    ['fe80::1:2:3:4/64', 'fe80::/64'],
  ])('%s has bits too many, and %s is offered', (text, remedy) => {
    expect(cidrFault(text)?.remedy).toContain(remedy)
  })

  it.each(['10.0.0.0/33', '::/129', '10.0.0/8', 'x', '10.0.0.0/', '10.0.0.0/a'])('%s is none', (text) => {
    expect(cidrFault(text)).not.toBe(null)
  })
})

it.each([
  ['knwon', 'known'],
  ['messagebytes', 'messageBytes'],
  ['listne', 'listen'],
  ['zzzzzz', null],
])('the name nearest to %s is %s', (written, meant) => {
  expect(nearestName(written, ['known', 'domains', 'messageBytes', 'listen'])).toBe(meant)
})

it('the system clock gives whole numbers, and durations never run back', () => {
  expect(Number.isInteger(systemClock.nowMs())).toBe(true)
  const readings = Array.from({ length: 1_000 }, () => systemClock.monotonicUs())
  expect(readings.every((reading, index) => Number.isInteger(reading) && reading >= (readings[index - 1] ?? 0))).toBe(true)
})

describe('the operator log', () => {
  const written = (format: 'json' | 'text', write: (log: ReturnType<typeof openOperatorLog>) => void): string => {
    let text = ''
    const stream = new Writable({ write: (chunk, _encoding, done) => void ((text += String(chunk)), done()) })
    write(openOperatorLog('gateway', { format, stream, level: 'info' }))
    return text
  }

  it('is one JSON object a line where no terminal is', () => {
    const line = JSON.parse(written('json', (log) => log.warn({ queue: 3 }, 'slow'))) as Record<string, unknown>
    expect(line).toMatchObject({ level: 'warn', role: 'gateway', queue: 3, msg: 'slow' })
  })

  it('is a sentence on a terminal, with the role before it and the reasons after it', () => {
    const text = written('text', (log) => log.error({ err: new Error('cannot write', { cause: new Error('disk full') }), path: 'x' }, 'spool'))
    expect(text).toMatch(/^\d\d:\d\d:\d\d gateway {2}error: spool: cannot write: disk full \(path=x\)\n$/)
  })

  it('leaves out what is below its level', () => {
    expect(written('text', (log) => log.debug('x'))).toBe('')
  })

  it('colours the level on a terminal alone', () => {
    const entry = { level: 'warn', time: '2026-11-24T12:00:00.000Z', role: 'api', msg: 'x' }
    expect(textLine(entry, true)).toContain('\u001b[33mwarn\u001b[0m')
    expect(textLine(entry, false)).not.toContain('\u001b')
  })
})

describe('a shutdown', () => {
  const log = openOperatorLog('test', { level: 'silent' })
  const exits = () => {
    const codes: number[] = []
    let tell = (): void => {}
    const first = new Promise<void>((resolve) => (tell = resolve))
    return { codes, first, exit: (code: number) => void (codes.push(code), tell()) }
  }

  it('stops in order at the first signal and ends with 0', async () => {
    const { codes, first, exit } = exits()
    let stops = 0
    const shutdown = onShutdown({ log, exit, stop: async () => void (stops += 1) })
    process.emit('SIGTERM')
    await first
    expect({ stops, codes, aborted: shutdown.signal.aborted }).toEqual({ stops: 1, codes: [0], aborted: true })
    shutdown.dispose()
  })

  it('ends at once with 1 at the second signal, while it still stops', async () => {
    const { codes, first, exit } = exits()
    const shutdown = onShutdown({ log, exit, stop: () => new Promise(() => {}) })
    process.emit('SIGINT')
    process.emit('SIGINT')
    await first
    expect(codes).toEqual([1])
    shutdown.dispose()
  })

  it('ends with 1 where stopping fails', async () => {
    const { codes, first, exit } = exits()
    const shutdown = onShutdown({ log, exit, stop: async () => Promise.reject(new Error('stuck')) })
    shutdown.begin('test')
    await first
    expect(codes).toEqual([1])
    shutdown.dispose()
  })
})
