/**
 * Server-sent events read by fetch: unlike EventSource it tells why a stream was refused, and goes on where it is told.
 *
 * Fails  throws ApiFailure as requestJson does; a stream that ends or breaks simply ends.
 */
import { ApiFailure, refusalOf } from './request-json.ts'

export type ServerEvent = { id: string | null; name: string; data: string }

export async function* readEvents(path: string, options: { lastEventId: string | null; signal: AbortSignal }): AsyncGenerator<ServerEvent> {
  const headers: Record<string, string> = { accept: 'text/event-stream, application/json' }
  if (options.lastEventId !== null) headers['last-event-id'] = options.lastEventId
  let response: Response
  try {
    response = await fetch(path, { headers, signal: options.signal, credentials: 'same-origin', cache: 'no-store' })
  } catch (cause) {
    throw new ApiFailure('unreachable', 'No answer from the server', { cause })
  }
  if (!response.ok || response.body === null) throw await refusalOf(response)
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
    if (done || value === undefined) return
    const blocks = (text + value).split('\n\n')
    text = blocks.pop()!
    for (const block of blocks) yield eventOf(block)
  }
}

/** A block without data only moves the id (HTML standard, server-sent events). */
export function eventOf(block: string): ServerEvent {
  const event: ServerEvent = { id: null, name: '', data: '' }
  for (const line of block.split('\n')) {
    const [, field, value] = /^(id|event|data): ?(.*)$/.exec(line) ?? []
    if (field === 'id') event.id = value!
    else if (field === 'event') event.name = value!
    else if (field === 'data') event.data += event.data === '' ? value! : `\n${value!}`
  }
  return event
}
