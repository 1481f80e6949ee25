import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { envelopeTo, eventually, silentLog, temporaryFolder } from '../../../test/spool-fixture.ts'
import { diskFull, watchedDisk, type WatchedDisk } from '../../../test/watched-disk.ts'
import { Journal, segmentPath, type RecordLocation } from './journal.ts'
import { newDeliveryState, readRecord, segmentHeaderBytes, type SpoolRecord } from './record.ts'

function messageRecord(text: string): SpoolRecord {
  const envelope = envelopeTo(['a@example.org'])
  return { kind: 'message', queueId: envelope.queueId, envelope, state: newDeliveryState(envelope), octets: Buffer.from(text) }
}

describe('the journal', () => {
  let place: Awaited<ReturnType<typeof temporaryFolder>>
  let disk: WatchedDisk
  let sealed: number[]

  beforeEach(async () => {
    place = await temporaryFolder()
    disk = watchedDisk()
    sealed = []
  })
  afterEach(() => place.remove())

  function openJournal(limits: ConstructorParameters<typeof Journal>[0]['limits'] = {}): Journal {
    return new Journal({ folder: place.folder, disk, log: silentLog, firstSegment: 1, limits, onSealed: (number) => sealed.push(number) })
  }

  async function recordsIn(segment: number): Promise<SpoolRecord[]> {
    const octets = await readFile(segmentPath(place.folder, segment))
    const records: SpoolRecord[] = []
    for (let offset = segmentHeaderBytes; ; ) {
      const read = readRecord(octets, offset)
      if (read === null) {
        expect(offset, 'nothing follows the last whole record').toBe(octets.length)
        return records
      }
      records.push(read.record)
      offset = read.endOffset
    }
  }

  it('a message is durable only after its octets and the name of its segment are fsynced', async () => {
    const journal = openJournal()
    let release = (): void => {}
    disk.before = ({ operation }) => (operation === 'sync' ? new Promise<void>((resolve) => (release = resolve)) : undefined)
    let isDurable = false
    const appended = journal.appendMessage(messageRecord('x'), () => (isDurable = true))
    await eventually(() => disk.steps.filter((step) => step.operation === 'write').length === 2)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(isDurable).toBe(false)
    expect(disk.steps.map((step) => step.operation)).toEqual(['create', 'write', 'sync-folder', 'write'])
    release()
    await appended
    expect(isDurable).toBe(true)
    await journal.close()
  })

  it('messages that come while one fsync runs share the next', async () => {
    const journal = openJournal()
    await Promise.all(Array.from({ length: 200 }, (_, index) => journal.appendMessage(messageRecord(`${index}`), () => {})))
    const syncs = disk.steps.filter((step) => step.operation === 'sync')
    expect(syncs).toHaveLength(1)
    await journal.close()
    expect(await recordsIn(1)).toHaveLength(200)
  })

  it('a lazy record costs no fsync of its own while messages come', async () => {
    const journal = openJournal()
    await journal.appendMessage(messageRecord('first'), () => {})
    const lazy = journal.appendLasting({ kind: 'released', queueId: envelopeTo([]).queueId }, 'lazy')
    await Promise.all([journal.appendMessage(messageRecord('second'), () => {}), lazy])
    expect(disk.steps.filter((step) => step.operation === 'sync')).toHaveLength(2)
    await journal.close()
  })

  it('a lazy record is written soon though nothing else comes', async () => {
    const journal = openJournal({ lazyMs: 5 })
    await journal.appendLasting({ kind: 'released', queueId: envelopeTo([]).queueId }, 'lazy')
    expect(await recordsIn(1)).toHaveLength(1)
    await journal.close()
  })

  it('goes on in a new segment when one is full, and says so', async () => {
    const journal = openJournal({ segmentBytes: 1_000 })
    const locations: RecordLocation[] = []
    for (let index = 0; index < 10; index += 1) {
      await journal.appendMessage(messageRecord('x'.repeat(400)), (location) => locations.push(location))
    }
    expect(new Set(locations.map((location) => location.segment)).size).toBeGreaterThan(3)
    await journal.close()
    expect(sealed).toEqual([...new Set(locations.map((location) => location.segment))])
  })

  it.each(['write', 'sync'] as const)('a failing %s rejects the messages of the batch, and later ones are readable', async (failing) => {
    const journal = openJournal()
    await journal.appendMessage(messageRecord('before'), () => {})
    let isFailing = true
    disk.before = ({ operation }) => {
      if (isFailing && operation === failing) {
        isFailing = false
        throw diskFull()
      }
    }
    const results = await Promise.allSettled([
      journal.appendMessage(messageRecord('lost 1'), () => expect.unreachable('a rejected message became durable')),
      journal.appendMessage(messageRecord('lost 2'), () => expect.unreachable('a rejected message became durable')),
    ])
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected'])
    let after: RecordLocation | null = null
    await journal.appendMessage(messageRecord('after'), (location) => (after = location))
    await journal.close()
    expect(after).toMatchObject({ segment: 2 })
    expect(await recordsIn(1)).toMatchObject([{ octets: Buffer.from('before') }])
    expect(await recordsIn(2)).toMatchObject([{ octets: Buffer.from('after') }])
  })

  it('a disk that writes half of a batch before it is full leaves no half record behind', async () => {
    const journal = openJournal()
    await journal.appendMessage(messageRecord('before'), () => {})
    const { writeAt } = disk
    disk.writeAt = async (file, buffers, position) => {
      const whole = Buffer.concat(buffers)
      disk.writeAt = writeAt
      await writeAt(file, [whole.subarray(0, whole.length / 2)], position)
      throw diskFull()
    }
    await expect(journal.appendMessage(messageRecord('lost'), () => {})).rejects.toThrow('no space left')
    await journal.close()
    expect(await recordsIn(1)).toMatchObject([{ octets: Buffer.from('before') }])
  })

  it('a record about an older message outlives a full disk and is written once there is room', async () => {
    const journal = openJournal({ retryMs: 5 })
    let failures = 0
    disk.before = ({ operation }) => {
      if (operation === 'write' && failures < 3) {
        failures += 1
        throw diskFull()
      }
    }
    const queueId = envelopeTo([]).queueId
    await journal.appendLasting({ kind: 'finished', queueId }, 'now')
    expect(failures).toBe(3)
    await journal.close()
    expect(await recordsIn(4)).toEqual([{ kind: 'finished', queueId }])
  })

  it('while the disk stays full every message is rejected and none waits for ever', async () => {
    const journal = openJournal({ retryMs: 5 })
    disk.before = ({ operation }) => {
      if (operation === 'create') throw diskFull()
    }
    const lasting = journal.appendLasting({ kind: 'finished', queueId: envelopeTo([]).queueId }, 'now')
    lasting.catch(() => {})
    for (let index = 0; index < 5; index += 1) {
      await expect(journal.appendMessage(messageRecord('x'), () => {})).rejects.toThrow('no space left')
    }
    await journal.close()
    await expect(lasting).rejects.toThrow('closed')
  })
})
