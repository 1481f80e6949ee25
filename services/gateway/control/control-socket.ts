/**
 * The socket of the control interface: `<data>/gateway.sock`, for the owner of the gateway alone (mode 0600).
 *
 * Owns    that a socket left by a dead process is replaced, and that of a living one is not.
 * Limits  a system takes about 107 octets of path; in a deeper folder the gateway runs without the interface and says so.
 * Why     whoever may open the socket may do everything: who a user of the API is, and what he may do, is the API's.
 * Fails   throws where another gateway answers on this data folder.
 */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { Logger } from 'pino'
import type { ControlApp } from './control-app.ts'

const maxPathBytes = 107
const stopMs = 2_000

/** Returns how to close it. */
export async function openControlSocket(socketPath: string, app: ControlApp, log: Logger): Promise<() => Promise<void>> {
  if (Buffer.byteLength(socketPath) > maxPathBytes) {
    log.warn({ socketPath }, `The path of the control socket has more than ${maxPathBytes} octets: queue and quarantine cannot be worked on; use a shorter data folder`)
    return async () => {}
  }
  await refuseSecondGateway(socketPath)
  rmSync(socketPath, { force: true })
  const server = createServer((request, response) => app.routing(request, response))
  // The socket is made inside this call: no moment in which others could open it.
  const earlierMask = process.umask(0o177)
  try {
    server.listen(socketPath)
  } finally {
    process.umask(earlierMask)
  }
  await once(server, 'listening')
  return async () => {
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeIdleConnections()
    const timer = setTimeout(() => server.closeAllConnections(), stopMs)
    await closed
    clearTimeout(timer)
    await app.close()
  }
}

/** Asked before spool and event log are opened: two gateways must never write into one of either. */
export async function refuseSecondGateway(socketPath: string): Promise<void> {
  if (Buffer.byteLength(socketPath) > maxPathBytes || !(await isAnswered(socketPath))) return
  throw new Error(`Another gateway runs on this data folder: it answers on ${socketPath}. Stop it, or change data (or TOLLGATE_DATA)`)
}

function isAnswered(socketPath: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'ECONNREFUSED' || error.code === 'ENOTSOCK') resolve(false)
      else reject(error)
    })
  })
}
