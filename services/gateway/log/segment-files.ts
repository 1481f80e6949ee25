/**
 * The files of the event log as this node finds them at its start: which boots there were and how the last ended.
 *
 * Why   nothing but the folder itself is asked: no side file can be lost or disagree with it.
 *       A torn last line of a boot that died stays as it is; whoever reads the log skips it, and a new boot never
 *       writes into an old segment.
 */
import { open, readdir } from 'node:fs/promises'
import path from 'node:path'
import type { SegmentOpened } from '../../contracts/event.ts'
import { maxLineBytes } from '../../contracts/event.ts'

export type SegmentFile = { path: string; bootNumber: number; segment: number }

export type PreviousBoot = {
  /** Highest boot number that any file name holds, 0 for none: it must not be used again, whatever is in the file. */
  lastBootNumber: number
  /** Newest boot of which a line is durable. */
  boot: string | null
  lastSeq: number | null
  endedCleanly: boolean | null
}

export function segmentFileName(node: string, bootNumber: number, segment: number): string {
  return `${node}-${bootNumber}-${String(segment).padStart(6, '0')}.jsonl`
}

/** Segments of this node, oldest first. */
export async function listSegments(folder: string, node: string): Promise<SegmentFile[]> {
  const pattern = new RegExp(`^${node}-(\\d{1,12})-(\\d{6,12})\\.jsonl$`)
  const found: SegmentFile[] = []
  for (const name of await readdir(folder)) {
    const match = pattern.exec(name)
    if (match !== null)
      found.push({ path: path.join(folder, name), bootNumber: Number(match[1]), segment: Number(match[2]) })
  }
  return found.sort((a, b) => a.bootNumber - b.bootNumber || a.segment - b.segment)
}

export async function findPreviousBoot(segments: readonly SegmentFile[]): Promise<PreviousBoot> {
  const lastBootNumber = segments.at(-1)?.bootNumber ?? 0
  for (const segment of [...segments].reverse()) {
    const last = await readLastLine(segment.path)
    if (last === null) continue
    return { lastBootNumber, boot: last.boot, lastSeq: last.seq, endedCleanly: last.kind === 'gateway.stopped' }
  }
  return { lastBootNumber, boot: null, lastSeq: null, endedCleanly: null }
}

type LinePlace = { kind: string; boot: string; seq: number }

/** The last line that is whole; `null` where a file has none. */
async function readLastLine(file: string): Promise<LinePlace | null> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    const tailBytes = Math.min(size, 2 * maxLineBytes)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(tailBytes), 0, tailBytes, size - tailBytes)
    let end = buffer.subarray(0, bytesRead).lastIndexOf(10)
    while (end > 0) {
      const start = buffer.lastIndexOf(10, end - 1) + 1
      const place = linePlace(buffer.toString('utf8', start, end))
      if (place !== null) return place
      end = start - 1
    }
    return null
  } finally {
    await handle.close()
  }
}

/** The header of a segment, or `null` where its first line is none. */
export async function readSegmentHeader(file: string): Promise<SegmentOpened | null> {
  const handle = await open(file, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4_096), 0, 4_096, 0)
    const end = buffer.subarray(0, bytesRead).indexOf(10)
    if (end < 0) return null
    const header = parsed(buffer.toString('utf8', 0, end))
    return header !== null && header['kind'] === 'segment.opened' ? (header as unknown as SegmentOpened) : null
  } finally {
    await handle.close()
  }
}

function linePlace(line: string): LinePlace | null {
  const event = parsed(line)
  if (event === null) return null
  const { kind, boot, seq } = event
  return typeof kind === 'string' && typeof boot === 'string' && typeof seq === 'number' ? { kind, boot, seq } : null
}

function parsed(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}
