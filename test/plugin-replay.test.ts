/** What plug-ins found stands in the event: replayed without any of them, the rules that judged it decide the same. */
import { expect, it } from 'vitest'
import type { TransactionEnded } from '../services/contracts/event.ts'
import { PluginSet } from '../services/gateway/plugins/plugin-set.ts'
import type { Plugin, SharedSettings } from '../services/gateway/plugins/plugin.ts'
import { compileRuleset } from '../services/rules/compile-ruleset.ts'
import { parseRuleset } from '../services/rules/parse-ruleset.ts'
import type { Ruleset } from '../services/rules/ruleset.ts'
import { replayTransaction } from '../services/rules/replay-transaction.ts'
import { Harness } from './gateway-harness.ts'

const settings: SharedSettings = {
  name: 'scanner',
  directions: ['inbound'],
  networkClasses: ['public', 'device', 'trusted'],
  maxBytes: 300,
  timeLimitMs: 20,
  concurrent: 10,
  onFailure: 'open',
}
const rules = `
markAt: 3
rejectAt: 8
rules:
  - {id: virus, stage: complete, when: {check: plugin-scanner, is: infected}, then: {reject: {text: a virus}}, else: {weight: 1}, unknown: {weight: 4}}
  - {id: large, stage: complete, when: {check: plugin-scanner, is: skipped}, then: {quarantine: true}}
  - {id: probable, stage: complete, when: {check: plugin-scorer, is: probable}, then: {weight: 7}}
  - {id: high, stage: complete, when: {attribute: score.scorer, above: 2.5}, then: {weight: 2}, else: {weight: 0.5}, unknown: {weight: 0.25}}
  - {id: signed, stage: complete, when: {check: plugin-signer, is: signed}, then: {reject: {text: too early}}}
`

it('replays zero differences of messages that plug-ins found, skipped, missed or deferred', async () => {
  const harness = new Harness({ rules })
  const words = ['infected', 'clean', 'fail', 'late', 'probable']
  let at = 0
  const scan: Plugin['scan'] = async () => {
    const word = words[(at += 1) % words.length]!
    if (word === 'fail') throw new Error('no answer')
    if (word === 'late') await new Promise((resolve) => setTimeout(resolve, 60))
    return { result: word, detail: null, ...(word === 'clean' ? {} : { score: (at % 7) / 2 + 0.125 }) }
  }
  const plugin = (name: string, rest: Partial<Plugin>, own: Partial<SharedSettings> = {}): Plugin => ({
    kind: 'test',
    settings: { ...settings, name, ...own },
    ...rest,
  })
  const log = { info() {}, warn() {}, error() {} } as never
  let nowUs = 0
  harness.deps.plugins = new PluginSet(
    [
      plugin('scanner', { scan }),
      plugin('scorer', { scan }),
      plugin('must', { scan: async () => (at % 7 === 0 ? Promise.reject(new Error('down')) : { result: 'clean', detail: null }) }, { onFailure: 'closed' }),
      plugin(
        'signer',
        { prepare: async (_message, envelope) => (at % 4 === 0 ? Promise.reject(new Error('no key')) : { result: 'signed', detail: null, envelope }) },
        { onFailure: 'closed' },
      ),
    ],
    // Long enough between two messages that none is spared by the pause of a plug-in that failed.
    { clock: { nowMs: () => 0, monotonicUs: () => (nowUs += 20_000_000) }, log },
  )
  for (let count = 0; count < 60; count += 1) {
    await harness.connect().deliver(`Subject: ${count}\r\nMessage-ID: <${count}@x>\r\n\r\n${'x'.repeat(count * 6)}`)
  }
  const events = harness.log.transactions as TransactionEnded[]
  const { rules: compiled } = harness.policy
  expect(events.map((event) => replayTransaction(event, compiled, compiled).difference)).toEqual(events.map(() => 'same'))
  // Other rules compare what is logged; where no score is, nobody can tell.
  const taken = events.filter(({ outcome }) => outcome === 'accepted' || outcome === 'marked')
  const tried = (plugin: string) => {
    const parsed = parseRuleset(`rejectAt: 8\nrules: [{id: r, stage: complete, when: {attribute: score.${plugin}, above: 1}, then: {weight: 9}}]`, 'rules')
    const other = compileRuleset((parsed as { ruleset: Ruleset }).ruleset)
    return taken.map((event) => [event.plugins.find(({ name }) => name === `plugin-${plugin}`)?.score, replayTransaction(event, other, compiled).difference] as const)
  }
  expect(new Set(tried('must').map(([, difference]) => difference))).toEqual(new Set(['not-decidable']))
  const scored = tried('scorer').filter(([score]) => score !== undefined)
  expect(scored.some(([score]) => score! > 1) && scored.some(([score]) => score! < 1)).toBe(true)
  for (const [score, difference] of scored) expect(difference === 'newly-refused', String(score)).toBe(score! > 1)
  const seen = new Set(events.flatMap(({ outcome, reason, plugins }) => [outcome, reason, ...plugins.map(({ result }) => result)]))
  expect(events.some(({ outcome, plugins }) => outcome === 'deferred' && plugins.some(({ name }) => name === 'prepare-signer'))).toBe(true)
  for (const word of ['refused', 'marked', 'deferred', 'quarantined', 'plugin-unavailable', 'infected', 'unknown', 'skipped', 'probable', 'signed']) {
    expect([...seen]).toContain(word)
  }
})
