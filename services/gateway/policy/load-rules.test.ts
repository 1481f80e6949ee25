/** A rule set whose lists stand in files of their own. */
import { mkdir, mkdtemp, rm, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RulesFile } from './load-rules.ts'

let folder: string
let told: string[]
let rules: RulesFile
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-rules-'))
  await mkdir(path.join(folder, 'lists'))
  told = []
  rules = new RulesFile(path.join(folder, 'rules.yaml'), (sentence) => told.push(sentence))
})
afterEach(() => rm(folder, { recursive: true }))

const write = (name: string, text: string) => writeFile(path.join(folder, name), text)
const ruleset = `
lists: { traps: { file: lists/traps.txt }, own: [own@corp.test] }
rules:
  - { id: trap, stage: rcpt, when: { attribute: recipient, in: traps }, then: { weight: 5 } }
`

describe('a list in a file', () => {
  it('is read beside the rule set, one entry a line, without comments, and counts for the hash', async () => {
    await write('rules.yaml', ruleset)
    await write('lists/traps.txt', '# traps\r\na@corp.test   # from the old site\n\n  b#2@corp.test\n')
    const first = await rules.load()
    expect(first.ruleset.lists).toEqual({ traps: ['a@corp.test', 'b#2@corp.test'], own: ['own@corp.test'] })
    await write('lists/traps.txt', 'a@corp.test\nb#2@corp.test\n')
    expect((await rules.load()).hash).toBe(first.hash)
    await write('lists/traps.txt', 'a@corp.test\n')
    expect((await rules.load()).hash).not.toBe(first.hash)
  })

  it('is a change of the rule set when it changes, and none when nothing does', async () => {
    await write('rules.yaml', ruleset)
    await write('lists/traps.txt', 'a@corp.test\n')
    expect(await rules.isChanged()).toBe(true)
    await rules.load()
    expect(await rules.isChanged()).toBe(false)
    await write('lists/traps.txt', 'a@corp.test\nb@corp.test\n')
    expect(await rules.isChanged()).toBe(true)
  })

  it('keeps its last content where it is gone, says so once, and is taken again when it is back', async () => {
    await write('rules.yaml', ruleset)
    await write('lists/traps.txt', 'a@corp.test\n')
    const before = await rules.load()
    await unlink(path.join(folder, 'lists/traps.txt'))
    expect(await rules.isChanged()).toBe(true)
    expect((await rules.load()).hash).toBe(before.hash)
    expect(told).toEqual([
      'The list lists/traps.txt of the rule set can no longer be read: its last content stays in force',
    ])
    expect(await rules.isChanged()).toBe(false)
    await write('lists/traps.txt', 'c@corp.test\n')
    expect(await rules.isChanged()).toBe(true)
    expect((await rules.load()).ruleset.lists['traps']).toEqual(['c@corp.test'])
  })

  it('that could never be read is a fault with its place', async () => {
    await write('rules.yaml', ruleset)
    await expect(rules.load()).rejects.toThrow(
      /rules\.yaml:2:25: lists\.traps\.file: The list lists\/traps\.txt cannot be read \(Check its name/,
    )
    expect(await rules.isChanged()).toBe(false)
    await write('lists/traps.txt', 'a@corp.test\n')
    expect(await rules.isChanged()).toBe(true)
  })

  it('tells which of its lines cannot be used', async () => {
    await write('rules.yaml', ruleset.replace('attribute: recipient, in: traps', 'attribute: remote.ip, cidr: traps'))
    await write('lists/traps.txt', '# networks\n192.0.2.0/24\nnonsense\n')
    await expect(rules.load()).rejects.toThrow(/lists\.traps\[1\]: lists\/traps\.txt:3: "nonsense" is no network/)
  })

  it('of 100,000 entries is looked up once for each text, however long it is', async () => {
    await write('rules.yaml', ruleset)
    await write('lists/traps.txt', Array.from({ length: 100_000 }, (_, index) => `user${index}@corp.test\n`).join(''))
    const { ruleset: loaded, stageRules } = await rules.load()
    expect(loaded.lists['traps']).toHaveLength(100_000)
    let looked = 0
    const has = Set.prototype.has
    Set.prototype.has = function (this: Set<unknown>, value) {
      if (this.size === 100_000) looked += 1
      return has.call(this, value)
    }
    try {
      const context = {
        valueOf: () => 'user99999@corp.test',
        lowerTextsOf: () => ['user99999@corp.test'],
        addressesOf: () => [],
        patternHits: () => [],
        isUnlogged: () => false,
        matchedSlot: null,
        matchedText: null,
      }
      expect(stageRules.rcpt[0]!.when(context)).toBe(true)
    } finally {
      Set.prototype.has = has
    }
    expect(looked).toBe(1)
  })
})
