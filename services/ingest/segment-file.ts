/**
 * A file of the event log: what it is by its first line, whatever its name, and where to go on reading it.
 *
 * Leaves  reading on as it grows to tail-segment.ts.
 */
import { open, stat, type FileHandle } from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream'
import zlib from 'node:zlib'
import { maxLineBytes, type SegmentOpened } from '../contracts/event.ts'
import type { Database } from '../database/open-database.ts'
import { createLineDecoder, isRejected, type LineDecoder } from './decode-line.ts'
import { LineSplitter, type Line } from './line-splitter.ts'
import { holesWithin, parseSeqRanges } from './seq-ranges.ts'

export type Compression = 'none' | 'gzip' | 'zstd'

export type SegmentHead =
  /** Nothing that ends with LF is in it yet. */
  | { state: 'pending' }
  | { state: 'segment'; header: SegmentOpened }
  | { state: 'no-header' }
  /** Written by a newer version; its lines wait until this one is updated. */
  | { state: 'newer'; detail: string; line: Buffer; digest: Buffer }

export async function compressionOf(path: string): Promise<Compression> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0)
    const magic = buffer.subarray(0, bytesRead).toString('hex')
    return magic.startsWith('1f8b') ? 'gzip' : magic === '28b52ffd' ? 'zstd' : 'none'
  } finally {
    await file.close()
  }
}

/** The octets of the log in the file, unpacked, from a position of the unpacked log. */
export function openLog(path: string, compression: Compression, startBytes = 0, onRead?: (sizeBytes: number) => void): AsyncIterable<Buffer> {
  const file = createReadStream(path, { start: compression === 'none' ? startBytes : 0, highWaterMark: 262_144 })
  if (onRead !== undefined) file.on('data', (chunk) => onRead(chunk.length)).pause()
  if (compression === 'none') return file
  const unpacked = unpackerOf(compression, path)
  // The error of either end reaches whoever reads the last stream.
  pipeline(file, unpacked, () => {})
  return startBytes === 0 ? unpacked : behind(unpacked, startBytes)
}

function unpackerOf(compression: 'gzip' | 'zstd', path: string): NodeJS.ReadWriteStream & AsyncIterable<Buffer> {
  if (compression === 'gzip') return zlib.createGunzip()
  const createZstd = (zlib as { createZstdDecompress?: () => NodeJS.ReadWriteStream & AsyncIterable<Buffer> }).createZstdDecompress
  if (createZstd === undefined) {
    throw new Error(`${path} is packed with zstd, which Node ${process.versions.node} cannot unpack: run \`zstd -d ${path}\` first, or use Node 22.15 or newer`)
  }
  return createZstd()
}

async function* behind(chunks: AsyncIterable<Buffer>, startBytes: number): AsyncIterable<Buffer> {
  let skip = startBytes
  for await (const chunk of chunks) {
    if (skip < chunk.length) yield chunk.subarray(skip)
    skip = Math.max(0, skip - chunk.length)
  }
}

export async function readHead(path: string, compression: Compression, tenantId: string): Promise<SegmentHead> {
  const decode = createLineDecoder({ tenantId, nowMs: Date.now })
  const splitter = new LineSplitter()
  let readBytes = 0
  for await (const chunk of openLog(path, compression)) {
    const [first] = splitter.push(chunk)
    if (first !== undefined) return headOf(first, decode)
    readBytes += chunk.length
    if (readBytes > maxLineBytes) return { state: 'no-header' }
  }
  return { state: 'pending' }
}

function headOf(line: Line, decode: LineDecoder): SegmentHead {
  const decoded = decode(line, { hasHeader: true })
  if (!isRejected(decoded)) return decoded.event.kind === 'segment.opened' ? { state: 'segment', header: decoded.event } : { state: 'no-header' }
  if (decoded.reason !== 'schema-version' || !line.octets.includes('"segment.opened"')) return { state: 'no-header' }
  return { state: 'newer', detail: decoded.detail, line: decoded.line, digest: decoded.digest }
}

/**
 * Where reading may go on. The stored position is believed only where the line that ends there belongs to this boot
 * and everything of the segment up to it is ingested: then skipping loses nothing, whichever copy this file is.
 */
export async function resumePosition(database: Database, header: SegmentOpened, path: string): Promise<number> {
  const { rows } = await database.pool.query<{ position_bytes: bigint; seqs: string }>(
    `select s.position_bytes, b.seqs::text as seqs from log_segment s
     join log_boot b on b.tenant_id = s.tenant_id and b.node = s.node and b.boot = s.boot
     where s.tenant_id = $1 and s.node = $2 and s.boot = $3 and s.segment = $4`,
    [header.tenantId, header.node, header.boot, header.segment],
  )
  const [stored] = rows
  if (stored === undefined) return 0
  const position = Number(stored.position_bytes)
  const { size } = await stat(path)
  if (position === 0 || position > size) return 0
  const file = await open(path)
  try {
    const line = await lineBefore(file, position)
    const decoded = line === null ? null : createLineDecoder({ tenantId: header.tenantId, nowMs: Date.now })(line, { hasHeader: true })
    if (decoded === null || isRejected(decoded)) return 0
    const { node, boot, seq } = decoded.event
    if (node !== header.node || boot !== header.boot) return 0
    return holesWithin(parseSeqRanges(stored.seqs), header.previousSeq + 1, seq + 1).length === 0 ? position : 0
  } finally {
    await file.close()
  }
}

/** The line that ends with the LF right before `position`. */
async function lineBefore(file: FileHandle, position: number): Promise<Line | null> {
  const from = Math.max(0, position - maxLineBytes - 2)
  for (let start = Math.max(from, position - 16_384); ; start = Math.max(from, start - 262_144)) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(position - start), 0, position - start, start)
    if (bytesRead < position - start || buffer[bytesRead - 1] !== 0x0a) return null
    const before = buffer.lastIndexOf(0x0a, bytesRead - 2)
    if (before >= 0 || start === 0) {
      const octets = buffer.subarray(before + 1, bytesRead - 1)
      return { octets, positionBytes: start + before + 1, lengthBytes: octets.length }
    }
    if (start === from) return null
  }
}
