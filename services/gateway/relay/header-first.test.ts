import fc from 'fast-check'
import { expect, it } from 'vitest'
import { headerFirst } from './header-first.ts'

async function pieces(parts: Buffer[], maxBytes: number): Promise<Buffer[]> {
  async function* blocks(): AsyncGenerator<Buffer> {
    yield* parts
  }
  const out: Buffer[] = []
  for await (const piece of headerFirst(blocks(), maxBytes)) out.push(piece)
  return out
}

it('the first block holds the whole header section wherever the blocks were cut, and no octet is lost', async () => {
  const header = 'To: a\r\nX: \r\n\r folded\r\nSubject: b\r\n'
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 12 }), async (cuts) => {
      const whole = Buffer.from(`${header}\r\nbody\r\n\r\nmore\r\n\r\n`)
      const at = [...new Set([0, ...cuts.filter((cut) => cut < whole.length), whole.length])].sort((a, b) => a - b)
      const out = await pieces(at.slice(1).map((upto, index) => whole.subarray(at[index], upto)), 1_000)
      expect(Buffer.concat(out).equals(whole)).toBe(true)
      expect(out[0]!.toString()).toContain(`${header}\r\n`)
    }),
  )
})

it('a header section without an end is held back up to the limit only', async () => {
  const parts = Array.from({ length: 10 }, () => Buffer.from('X: 23456\r\n'))
  expect((await pieces(parts, 25)).map((piece) => piece.length)).toEqual([30, 10, 10, 10, 10, 10, 10, 10])
  expect((await pieces(parts, 1_000)).map((piece) => piece.length)).toEqual([100])
  expect(await pieces([], 25)).toEqual([])
})

it('a message that begins with its blank line is not held back', async () => {
  const parts = [Buffer.from('\r\nbody'), Buffer.from('more')]
  expect(await pieces(parts, 1_000)).toEqual(parts)
})
