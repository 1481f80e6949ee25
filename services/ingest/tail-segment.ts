/**
 * Follows one growing segment: its octets from a position on, as they are appended, by `@logdna/tail-file`.
 *
 * Why    README.md tells what was tried. A segment is only ever appended to, so whatever else happens to the file
 *        (cut, replaced, removed) ends the stream: the caller looks at the file anew, and finds by its header and the
 *        sequence numbers what is left to do.
 */
import TailFile from '@logdna/tail-file'

const pollIntervalMs = 100
/** Each pause of a read leaves listeners behind until that read ends: few pauses, then. */
const bufferBytes = 4_194_304

export async function* tailSegment(path: string, startBytes: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  if (signal.aborted) return
  const tail = new TailFile(path, { startPos: startBytes, pollFileIntervalMs: pollIntervalMs, maxPollFailures: 1, highWaterMark: bufferBytes })
  const over = new Error('no longer followed')
  let isOver = false
  const end = (): void => {
    if (isOver) return
    isOver = true
    // With an error it ends at once; without, it waits for a last read that never comes while it is paused.
    void (tail as { quit(reason: Error): Promise<void> }).quit(over)
  }
  // Stays on: a read that is under way when we leave may still fail.
  tail.on('error', () => {})
  tail.on('truncated', end)
  tail.on('renamed', end)
  tail.on('tail_error', end)
  signal.addEventListener('abort', end)
  try {
    await tail.start()
    for await (const chunk of tail) yield chunk as Buffer
  } catch (error) {
    if (error !== over && (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  } finally {
    signal.removeEventListener('abort', end)
    end()
  }
}
