/**
 * Reads the PROXY header off a socket of a listed proxy, before anything else is said to it.
 *
 * Owns    the octets of the header and none behind it: those stay in the socket, for SMTP or for TLS.
 * Limits  `waitMs` for the whole header.
 */
import type { Socket } from 'node:net'
import { readProxyHeader, type ProxySource } from './proxy-header.ts'

const waitMs = 10_000

/** `read`: octets of the header. `gone`: the proxy only looked whether we are there. */
export type ProxyGreeting = { source: ProxySource; headerBytes: number } | { refusal: string } | 'gone'

export function proxyGreeting(socket: Socket): Promise<ProxyGreeting> {
  return new Promise((resolve) => {
    let octets: Buffer = Buffer.alloc(0)
    const timer = setTimeout(() => settle({ refusal: `no PROXY header within ${waitMs / 1_000} s` }), waitMs)
    const settle = (greeting: ProxyGreeting): void => {
      clearTimeout(timer)
      for (const [event, listener] of listeners) socket.off(event, listener)
      // Nobody reads on until a session, or TLS, does.
      socket.pause()
      resolve(greeting)
    }
    const onData = (chunk: Buffer): void => {
      octets = octets.length === 0 ? chunk : Buffer.concat([octets, chunk])
      const reading = readProxyHeader(octets)
      if (reading.status === 'partial') return
      if (reading.status === 'none') return settle({ refusal: reading.why })
      const { source, headerBytes } = reading
      settle({ source, headerBytes })
      if (octets.length > headerBytes) socket.unshift(octets.subarray(headerBytes))
    }
    const onEnd = (): void => settle(octets.length === 0 ? 'gone' : { refusal: 'the PROXY header broke off' })
    const listeners = [
      ['data', onData],
      ['end', onEnd],
      ['close', onEnd],
    ] as const
    for (const [event, listener] of listeners) socket.on(event, listener)
  })
}
