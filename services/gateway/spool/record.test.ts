import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { envelopeTo } from '../../../test/spool-fixture.ts'
import { deliveryAttempted } from '../relay/delivery-events.ts'
import { applyAttempt, encodedRecord, newDeliveryState, readRecord, type RecordedAttempt, type SpoolRecord } from './record.ts'

const envelope = envelopeTo(['a@example.org', 'б@example.org'], { subjectTag: '[SPAM]' })
const { queueId } = envelope

function attemptOf(serial: number, outcomes: ('delivered' | 'deferred' | 'failed')[], expired: number[] = []): RecordedAttempt {
  const recipients = outcomes.map((outcome, index) => ({ address: `${index}@example.org`, outcome, reply: null, error: null }))
  const nextHop = { route: '*', host: 'inner', port: 25 }
  const body = deliveryAttempted({ queueId, attempt: serial, startedAtMs: 0, durationUs: 1, nextHop, tls: null, recipients, sentBytes: 9 })
  return { serial, recipients: outcomes.map((_, index) => index), expired, body }
}

const records: SpoolRecord[] = [
  { kind: 'message', queueId, envelope, state: newDeliveryState(envelope), octets: Buffer.from('Subject: x\r\n\r\nbody\r\n') },
  { kind: 'message', queueId, envelope, state: newDeliveryState(envelope), octets: Buffer.alloc(0) },
  { kind: 'large', queueId, envelope, state: newDeliveryState(envelope), sizeBytes: 5_000_000 },
  { kind: 'released', queueId },
  { kind: 'held', queueId, atMs: null },
  { kind: 'held', queueId, atMs: 1_700_000_000_000 },
  { kind: 'freed', queueId, freeing: { serial: 3, recipients: [0, 2], by: 'anna', atMs: 1_700_000_000_000 } },
  { kind: 'finished', queueId },
  { kind: 'aborted', queueId },
  { kind: 'attempt', queueId, attempt: attemptOf(1, ['delivered', 'deferred']) },
  { kind: 'logged', queueId, serial: 1 },
]

describe('records of a spool segment', () => {
  it.each(records.map((record, index) => [index, record] as const))('record %i reads as what was written', (_, record) => {
    const octets = Buffer.concat([Buffer.from('before'), ...encodedRecord(record), Buffer.from('after')])
    const read = readRecord(octets, 6)
    expect(read!.record).toEqual(record)
    expect(octets.toString('latin1', read!.endOffset)).toBe('after')
  })

  it.each(records.map((record, index) => [index, record] as const))('record %i cut at any octet is no record', (_, record) => {
    const whole = Buffer.concat(encodedRecord(record))
    for (let length = 0; length < whole.length; length += 1) expect(readRecord(whole.subarray(0, length), 0)).toBeNull()
  })

  it('any octet changed makes it no record', () => {
    const whole = Buffer.concat(encodedRecord(records[0]!))
    for (let index = 0; index < whole.length; index += 1) {
      const changed = Buffer.from(whole)
      changed[index]! ^= 0x40
      expect(readRecord(changed, 0), `octet ${index}`).toBeNull()
    }
  })

  it('zeros after the last record, as a power cut leaves them, are no record', () => {
    expect(readRecord(Buffer.alloc(4_096), 0)).toBeNull()
  })

  it('reads no record out of anything at random, and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => readRecord(Buffer.from(octets), 0) === null),
      { numRuns: 2_000 },
    )
  })

  it('octets of a message are whole whatever they contain', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5_000 }), (octets) => {
        const record: SpoolRecord = { kind: 'message', queueId, envelope, state: newDeliveryState(envelope), octets: Buffer.from(octets) }
        const read = readRecord(Buffer.concat(encodedRecord(record)), 0)!.record
        return read.kind === 'message' && read.octets.equals(octets)
      }),
    )
  })
})

describe('the state of a message after an attempt', () => {
  it('delivered and failed recipients leave the queue, deferred ones stay', () => {
    const state = newDeliveryState(envelopeTo(['0@x.org', '1@x.org', '2@x.org']))
    applyAttempt(state, attemptOf(1, ['delivered', 'deferred', 'failed']))
    expect(state.recipients).toEqual(['delivered', 'waiting', 'failed'])
    expect(state.attemptCounts).toEqual({ '*': 1 })
  })

  it('a recipient whose time was over counts as expired, one refused in the same attempt as failed', () => {
    const state = newDeliveryState(envelopeTo(['0@x.org', '1@x.org']))
    applyAttempt(state, attemptOf(1, ['failed', 'failed'], [1]))
    expect(state.recipients).toEqual(['failed', 'expired'])
  })

  it('the same attempt twice, as a segment rewritten after a disk fault may hold it, is one', () => {
    const state = newDeliveryState(envelopeTo(['0@x.org']))
    applyAttempt(state, attemptOf(1, ['deferred']))
    applyAttempt(state, attemptOf(1, ['deferred']))
    expect(state.unlogged).toHaveLength(1)
  })
})
