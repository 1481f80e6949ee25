import { describe, expect, it } from 'vitest'
import { HashQueue, hashQueueLimits } from './hash-queue.ts'

describe('the hash queue', () => {
  it('never runs more at once than it may, serves everybody who waits, and turns away the rest', async () => {
    const queue = new HashQueue()
    let running = 0
    let most = 0
    const work = async (fails: boolean) => {
      running += 1
      most = Math.max(most, running)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      if (fails) throw new Error('hash failed')
      return 'done'
    }
    const fits = hashQueueLimits.atOnce + hashQueueLimits.waiting
    const results = await Promise.allSettled(
      Array.from({ length: fits + 5 }, (_, index) => queue.run(() => work(index % 3 === 0))),
    )
    expect(most).toBe(hashQueueLimits.atOnce)
    expect(results.filter((result) => result.status === 'fulfilled' && result.value === null)).toHaveLength(5)
    expect(results.filter((result) => result.status === 'fulfilled' && result.value === 'done').length).toBe(
      fits - Math.ceil(fits / 3),
    )
    // Failures gave their place back too.
    expect(await queue.run(() => work(false))).toBe('done')
  })
})
