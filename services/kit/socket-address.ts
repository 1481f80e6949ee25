/** Addresses to listen on and connect to: `127.0.0.1:2525`, `[::1]:2525`, `localhost:2525`. */
export type SocketAddress = { host: string; port: number }

/** `null` where the text is none, or the port lies beyond 65535. Port 0 is any free port. */
export function parseSocketAddress(text: string): SocketAddress | null {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s[\]]+)):(\d{1,5})$/.exec(text)
  if (match === null) return null
  const port = Number(match[3])
  return port > 65535 ? null : { host: match[1] ?? match[2]!, port }
}

export function socketAddressText(address: SocketAddress): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}
