/**
 * Lines that real servers wrote, and the events that they mean. What made them stands in test/golden/mta/README.md.
 * The expected events are in the file beside each; `UPDATE_GOLDEN=1` writes them anew, to be read before they are kept.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { eventSchemas, type TollgateEvent } from '../services/contracts/event.ts'
import { Compile } from 'typebox/compile'
import { eventsOf, goldenFolder, goldenLines, sortedEvents } from './mta-fixture.ts'

const logs = [['postfix', 'postfix'], ['postfix-content', 'postfix'], ['exim', 'exim'], ['haraka', 'haraka']] as const

describe.each(logs)('the golden log %s', (name, source) => {
  const lines = goldenLines(`${name}.txt`)
  const whole = sortedEvents(eventsOf(source, [lines]).events)

  it('means the events that stand beside it, and leaves no line that is not understood', () => {
    const expected = path.join(goldenFolder, `${name}.events.jsonl`)
    const text = `${whole.map((event) => JSON.stringify(event)).join('\n')}\n`
    if (process.env['UPDATE_GOLDEN'] !== undefined) writeFileSync(expected, text)
    expect(text).toBe(readFileSync(expected, 'utf8'))
    expect(eventsOf(source, [lines]).unknown).toEqual([])
  })

  it('means events that the schema of our own log allows', () => {
    for (const event of whole) expect(Compile(eventSchemas[event.kind] as never).Check(event), JSON.stringify(event)).toBe(true)
  })

  it('means the same events, however it is cut into files', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: lines.length }), { maxLength: 5 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), lines.length]
        const files = at.slice(1).map((end, index) => lines.slice(at[index], end))
        expect(briefs(eventsOf(source, files).events)).toEqual(briefs(whole))
      }),
      { numRuns: 150 },
    )
  })

  it('means the same events when a beginning of it was read before', () => {
    fc.assert(
      fc.property(fc.nat({ max: lines.length }), fc.nat({ max: lines.length }), (first, second) => {
        expect(briefs(eventsOf(source, [lines.slice(0, first), lines.slice(0, second), lines]).events)).toEqual(briefs(whole))
      }),
      { numRuns: 100 },
    )
  })
})

function briefs(events: readonly TollgateEvent[]): string[] {
  return sortedEvents(events).map((event) => JSON.stringify(event))
}

it('tells the sessions of a Postfix apart, however their lines are mixed', () => {
  const stamp = (second: number): string => `Nov 25 10:00:0${second} mx`
  const session = (process: number, id: string, sender: string): string[] => [
    `${stamp(1)} postfix/smtpd[${process}]: connect from h${process}.test[192.0.2.${process}]`,
    `${stamp(1)} postfix/smtpd[${process}]: NOQUEUE: reject: RCPT from h${process}.test[192.0.2.${process}]: 550 5.1.1 <no@corp.test>: Recipient address rejected: User unknown; from=<${sender}> to=<no@corp.test> proto=ESMTP helo=<h>`,
    `${stamp(1)} postfix/smtpd[${process}]: ${id}: client=h${process}.test[192.0.2.${process}]`,
    `${stamp(1)} postfix/cleanup[90]: ${id}: message-id=<${id}@h>`,
    `${stamp(1)} postfix/qmgr[91]: ${id}: from=<${sender}>, size=${process}00, nrcpt=1 (queue active)`,
    `${stamp(1)} postfix/smtpd[${process}]: disconnect from h${process}.test[192.0.2.${process}] ehlo=1 mail=1 rcpt=1/2 data=1 quit=1 commands=5/6`,
    `${stamp(1)} postfix/smtp[92]: ${id}: to=<ann@corp.test>, relay=in[192.0.2.99]:25, delay=0.1, delays=0.1/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 Ok)`,
    `${stamp(1)} postfix/qmgr[91]: ${id}: removed`,
  ]
  const [left, right] = [session(11, 'AAAAAA11', 'a@x.test'), session(12, '4XyzBcDfGhJkL', 'b@x.test')]
  const expected = briefs([...eventsOf('postfix', [left]).events, ...eventsOf('postfix', [right]).events])
  expect(expected).toHaveLength(6)
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 16, maxLength: 16 }), (choices) => {
      const rest: [string[], string[]] = [[...left], [...right]]
      const mixed: string[] = []
      for (const isLeft of choices) mixed.push(...(rest[isLeft ? 0 : 1].splice(0, 1)))
      mixed.push(...rest[0], ...rest[1])
      expect(briefs(eventsOf('postfix', [mixed]).events)).toEqual(expected)
    }),
  )
})
