/** Proves before anything starts that an address can be listened on; throws the system's error where not. */
import { createServer } from 'node:net'
import { parseSocketAddress } from '../kit/socket-address.ts'

/** Only a probe: another program may take the address before we do, and then the part that needs it says so. */
export async function ensureFreeAddress(text: string): Promise<void> {
  const address = parseSocketAddress(text)
  if (address === null || address.port === 0) return
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: address.host, port: address.port }, resolve)
  })
  await new Promise((resolve) => server.close(resolve))
}
