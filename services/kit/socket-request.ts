/**
 * HTTP over a Unix socket: how a command or the API asks a gateway on this machine.
 *
 * Limits  an answer read whole has at most `maxAnswerBytes`.
 * Fails   throws SocketUnanswered where nobody listens, so that the caller can say which process is missing.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { join } from 'node:path'

const maxAnswerBytes = 16 * 1024 * 1024
const timeoutMs = 60_000

export type SocketQuestion = { method: 'GET' | 'POST' | 'DELETE'; path: string; body?: unknown }

/** Nobody listens on the socket, or there is none. */
export class SocketUnanswered extends Error {}

export function gatewaySocketPath(dataFolder: string): string {
  return join(dataFolder, 'gateway.sock')
}

/** The answer as it comes; the caller reads it to its end or destroys it. */
export function openSocketAnswer(socketPath: string, { method, path, body }: SocketQuestion): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? null : JSON.stringify(body)
    const headers = text === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const asking = httpRequest({ socketPath, method, path, headers, agent: false }, resolve)
    asking.setTimeout(timeoutMs, () => asking.destroy(new Error(`${socketPath} does not answer`)))
    asking.once('error', (error: NodeJS.ErrnoException) => {
      const isNobody = ['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'ENAMETOOLONG', 'EINVAL'].includes(error.code ?? '')
      reject(isNobody ? new SocketUnanswered(`Nobody listens on ${socketPath}`, { cause: error }) : error)
    })
    asking.end(text ?? undefined)
  })
}

export async function askSocket(socketPath: string, question: SocketQuestion): Promise<{ status: number; body: unknown }> {
  const answer = await openSocketAnswer(socketPath, question)
  const chunks: Buffer[] = []
  let byteLength = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    byteLength += chunk.length
    if (byteLength > maxAnswerBytes) throw new Error(`${socketPath} answers more than ${maxAnswerBytes} octets`)
    chunks.push(chunk)
  }
  const text = Buffer.concat(chunks).toString()
  return { status: answer.statusCode ?? 0, body: text === '' ? null : JSON.parse(text) }
}
