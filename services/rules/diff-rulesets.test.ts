import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as generated from '../../test/generated-rules.ts'
import { diffRulesets } from './diff-rulesets.ts'
import { rulesetHash } from './ruleset-hash.ts'
import { rulesetOf } from './ruleset-faults.ts'
import type { Ruleset } from './ruleset.ts'

const any = { attribute: 'remote.ip', exists: true }

function rulesetWith(ids: string[], change: object = {}, rule: Record<string, object> = {}): Ruleset {
  const rules = ids.map((id) => ({ id, stage: 'mail', when: any, then: { weight: 1 }, ...rule[id] }))
  const result = rulesetOf({ lists: { partners: ['a', 'b'] }, ...change, rules })
  if ('faults' in result) throw new Error(JSON.stringify(result.faults))
  return result.ruleset
}

const abc = rulesetWith(['a', 'b', 'c'])

describe('the difference of two rule sets', () => {
  it('is nothing for the same content, whatever the order of its keys', () => {
    const again = structuredClone(Object.fromEntries(Object.entries(abc).reverse())) as Ruleset
    expect(diffRulesets(abc, again)).toEqual({
      isSame: true,
      settings: [],
      added: [],
      removed: [],
      changed: [],
      moved: [],
      lists: [],
    })
  })

  it('names rules that came, went and changed, each change by its field', () => {
    const diff = diffRulesets(
      abc,
      rulesetWith(['a', 'c', 'd'], {}, { c: { then: { weight: 2 }, else: { weight: 1 }, revision: 2 } }),
    )
    expect(diff).toMatchObject({ isSame: false, added: [{ id: 'd' }], removed: [{ id: 'b' }], moved: [] })
    expect(diff.changed).toEqual([
      {
        ruleId: 'c',
        isRevisionForgotten: false,
        fields: [
          { field: 'revision', before: 1, after: 2 },
          { field: 'then', before: { weight: 1 }, after: { weight: 2 } },
          { field: 'else', before: null, after: { weight: 1 } },
        ],
      },
    ])
  })

  it('tells that a revision was forgotten where the rule means something else, and not for its name or mode', () => {
    const forgotten = (rule: object) =>
      diffRulesets(abc, rulesetWith(['a', 'b', 'c'], {}, { a: rule })).changed[0]!.isRevisionForgotten
    expect(forgotten({ then: { weight: 2 } })).toBe(true)
    expect(forgotten({ name: 'Other' })).toBe(false)
    expect(forgotten({ mode: 'shadow' })).toBe(false)
  })

  it('moves as few rules as it can, within their stage', () => {
    expect(diffRulesets(abc, rulesetWith(['c', 'a', 'b'])).moved).toEqual(['c'])
    expect(diffRulesets(abc, rulesetWith(['new', 'a', 'b', 'c'])).moved).toEqual([])
    expect(
      diffRulesets(
        rulesetWith(['a', 'b'], {}, { b: { stage: 'helo' } }),
        rulesetWith(['b', 'a'], {}, { b: { stage: 'helo' } }),
      ).moved,
    ).toEqual([])
  })

  it('tells thresholds, and lists by the number of entries that came and went', () => {
    const diff = diffRulesets(
      abc,
      rulesetWith(['a', 'b', 'c'], { rejectAt: 8, lists: { partners: ['b', 'c', 'd'], other: ['x'] } }),
    )
    expect(diff.settings).toEqual([{ field: 'rejectAt', before: null, after: 8 }])
    expect(diff.lists).toEqual([
      { name: 'other', addedCount: 1, removedCount: 0, kind: 'added' },
      { name: 'partners', addedCount: 2, removedCount: 1, kind: 'changed' },
    ])
  })

  it('is nothing exactly where the hash is the same, but for the place of rules among other stages and double entries', () => {
    fc.assert(
      fc.property(generated.ruleset(), generated.ruleset(), (left, right) => {
        expect(diffRulesets(left, structuredClone(left)).isSame).toBe(true)
        if (!diffRulesets(left, right).isSame) expect(rulesetHash(left)).not.toBe(rulesetHash(right))
      }),
      { numRuns: 100 },
    )
  })
})
