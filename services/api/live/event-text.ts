/** One event of a stream as text (HTML standard, server-sent events). `data` is one line of JSON. */
export function eventText(name: string, id: string | null, data: unknown): string {
  return `${id === null ? '' : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}

/** Shows nobody anything, keeps proxies from closing, and moves the place from which the stream can be resumed. */
export function heartbeatText(id: string | null): string {
  return `: alive\n${id === null ? '' : `id: ${id}\n`}\n`
}
