import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as generated from '../../test/generated-rules.ts'
import { loggedRuleset, rulesetHash } from './ruleset-hash.ts'
import type { Ruleset } from './ruleset.ts'

/** The same value with the keys of every object in reverse. */
function reversedKeys<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.map(reversedKeys) as Value
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversedKeys(member)]),
  ) as Value
}

/** Every value at the ends of a rule set, with a function that changes it there. */
function leaves(value: unknown, change: (leaf: unknown) => unknown): unknown[] {
  if (Array.isArray(value))
    return value.flatMap((one, index) => leaves(one, change).map((changed) => value.with(index, changed)))
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, one]) =>
      leaves(one, change).map((changed) => ({ ...value, [key]: changed })),
    )
  }
  return [change(value)]
}

const otherValue = (leaf: unknown): unknown =>
  typeof leaf === 'string' ? `${leaf}x` : typeof leaf === 'number' ? leaf + 1 : typeof leaf === 'boolean' ? !leaf : 1

describe('the hash of a rule set', () => {
  it('does not depend on the order of keys', () => {
    fc.assert(
      fc.property(generated.ruleset(), (ruleset) => rulesetHash(reversedKeys(ruleset)) === rulesetHash(ruleset)),
      { numRuns: 100 },
    )
  })

  it('changes with every single value in it, and all these changes differ', () => {
    fc.assert(
      fc.property(generated.ruleset(), (ruleset) => {
        const changed = leaves(ruleset, otherValue) as Ruleset[]
        const hashes = new Set([ruleset, ...changed].map(rulesetHash))
        expect(hashes.size).toBe(changed.length + 1)
      }),
      { numRuns: 30 },
    )
  })

  it('changes with the order of rules, and with a rule or a list more', () => {
    const rule = {
      id: 'a',
      revision: 1,
      name: 'a',
      stage: 'helo',
      mode: 'active',
      when: { country: 'DE' },
      then: {},
    } as const
    const ruleset: Ruleset = { markAt: null, rejectAt: null, lists: {}, rules: [rule, { ...rule, id: 'b' }] }
    const others = [
      { ...ruleset, rules: ruleset.rules.toReversed() },
      { ...ruleset, rules: [rule] },
      { ...ruleset, lists: { a: [] } },
      { ...ruleset, lists: { a: ['x'] } },
      { ...ruleset, lists: { a: ['x,y'] } },
      { ...ruleset, lists: { a: ['x', 'y'] } },
    ]
    expect(new Set([ruleset, ...others].map(rulesetHash)).size).toBe(others.length + 1)
  })

  it('is the one of the recorded form, so that a hash in an old log keeps its meaning', () => {
    const ruleset: Ruleset = {
      markAt: 5,
      rejectAt: null,
      lists: { a: ['x'] },
      rules: [
        {
          id: 'a',
          revision: 1,
          name: 'a',
          stage: 'helo',
          mode: 'active',
          when: { country: 'DE' },
          then: { weight: 1.5 },
        },
      ],
    }
    expect(rulesetHash(ruleset)).toBe('8e7b8f2ce6dfe1a2ae54d7fb9ed6bfd58ea1e59f5f4b266f38c437a4409f48a4')
  })
})

describe('the logged content', () => {
  it('holds short lists whole and long ones by hash and size', () => {
    const long = Array.from({ length: 1_001 }, (_, index) => `entry-${index}`)
    const { lists } = loggedRuleset({
      markAt: null,
      rejectAt: null,
      lists: { long, short: long.slice(1) },
      rules: [],
    })
    expect(lists.short).toMatchObject({ entryCount: 1_000, entries: long.slice(1) })
    expect(lists.long).toMatchObject({
      entryCount: 1_001,
      entries: null,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
  })
})
