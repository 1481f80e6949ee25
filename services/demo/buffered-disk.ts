/**
 * A disk that gathers what is appended to a file and writes it in large pieces: for a history that can be made
 * again, where one write a line would cost more than everything else.
 *
 * Limits  `pieceBytes` of memory a file; what is gathered is lost with the process. Files are only appended to.
 */
import { nodeDisk, type Disk, type OpenFile } from '../gateway/spool/disk.ts'

type Gathered = { buffers: Uint8Array[]; bytes: number; position: number }

const pieceBytes = 1024 * 1024

export function bufferedDisk(): Disk {
  const gathered = new Map<OpenFile, Gathered>()
  const writeOut = async (file: OpenFile): Promise<void> => {
    const piece = gathered.get(file)
    if (piece === undefined) return
    gathered.delete(file)
    await nodeDisk.writeAt(file, piece.buffers, piece.position)
  }
  return {
    ...nodeDisk,
    async writeAt(file, buffers, position) {
      const piece = gathered.get(file) ?? { buffers: [], bytes: 0, position }
      piece.buffers.push(...buffers)
      piece.bytes += buffers.reduce((sum, buffer) => sum + buffer.length, 0)
      gathered.set(file, piece)
      if (piece.bytes >= pieceBytes) await writeOut(file)
    },
    async sync(file) {
      await writeOut(file)
      await nodeDisk.sync(file)
    },
    async close(file) {
      await writeOut(file)
      await nodeDisk.close(file)
    },
    async truncate(file, length) {
      await writeOut(file)
      await nodeDisk.truncate(file, length)
    },
  }
}
