/**
 * Posts a message to an HTTP server as it is read, and takes a bounded answer.
 *
 * Limits  `maxAnswerBytes`; no redirects: what a URL answers is what it says, and mail goes nowhere else.
 * Fails   throws for a connection that fails, an answer that is too long, or none before `signal` aborts.
 */
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { PluginMessage } from './plugin-contract.ts'

export type PostOptions = {
  url: string
  headers: Record<string, string | string[]>
  message: PluginMessage
  signal: AbortSignal
  /** PEM of who may vouch for the server, in place of those that Node trusts. */
  ca?: string
  maxAnswerBytes?: number
}

export type HttpAnswer = { status: number; body: string }

export async function postMessage(options: PostOptions): Promise<HttpAnswer> {
  const { message, signal } = options
  const { request, response } = open(options, message.sizeBytes)
  let isAnswered = false
  response.then(() => (isAnswered = true), () => (isAnswered = true))
  try {
    for await (const chunk of message.octets()) {
      if (isAnswered) break
      if (!request.write(chunk)) await Promise.race([room(request), response])
    }
    if (!isAnswered) request.end()
    return await readAnswer(await response, options.maxAnswerBytes ?? 64 * 1024)
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    request.destroy()
  }
}

/** Asks a URL that takes no message. */
export async function getText(url: string, signal: AbortSignal): Promise<HttpAnswer> {
  const { request, response } = open({ url, headers: {}, signal }, null)
  request.end()
  try {
    return await readAnswer(await response, 64 * 1024)
  } finally {
    request.destroy()
  }
}

function open(
  { url, headers, signal, ca }: Pick<PostOptions, 'url' | 'headers' | 'signal' | 'ca'>,
  sizeBytes: number | null,
): { request: ClientRequest; response: Promise<IncomingMessage> } {
  const target = new URL(url)
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest
  const request = send(target, {
    method: sizeBytes === null ? 'GET' : 'POST',
    // A connection for each: one that was kept may have ended unnoticed, and the message would have to be sent again.
    agent: false,
    signal,
    ...(ca === undefined ? {} : { ca }),
    headers: sizeBytes === null ? headers : { ...headers, 'content-length': String(sizeBytes) },
  })
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    request.on('error', reject)
    request.once('close', () => reject(new Error('it closed the connection without an answer')))
  })
  response.catch(() => {})
  return { request, response }
}

function room(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => request.once('drain', resolve))
}

async function readAnswer(response: IncomingMessage, maxBytes: number): Promise<HttpAnswer> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of response as AsyncIterable<Buffer>) {
    size += part.length
    if (size > maxBytes) throw new Error('its answer is too long')
    parts.push(part)
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') }
}
