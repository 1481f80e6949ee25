/**
 * Blocks of a message, the first of which holds its whole header section.
 *
 * Why     marking looks at the first block alone: a Subject, a signature or a posing field that lay in the next one, or
 *         across both, would be missed.
 * Limits  `maxBytes`: of a longer header section the first block holds so much. Postfix reads 100 KiB of one, Exim 1 MiB.
 */
const blankLine = '\r\n\r\n'

export async function* headerFirst(blocks: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Buffer> {
  let gathered: Buffer[] | null = []
  let gatheredBytes = 0
  let tail = Buffer.alloc(0)
  for await (const block of blocks) {
    if (gathered === null) {
      yield block
      continue
    }
    const searched: Buffer = Buffer.concat([tail, block])
    tail = Buffer.from(searched.subarray(-(blankLine.length - 1)))
    const isWhole = searched.includes(blankLine) || (gatheredBytes === 0 && block[0] === 0x0d && block[1] === 0x0a)
    gathered.push(block)
    gatheredBytes += block.length
    if (!isWhole && gatheredBytes < maxBytes) continue
    yield Buffer.concat(gathered)
    gathered = null
  }
  if (gathered !== null && gatheredBytes > 0) yield Buffer.concat(gathered)
}
