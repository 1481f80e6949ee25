/** The plug-ins rspamd and spamd against Debian's daemons, offline. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { gtube, rspamd, spamd, startRspamd, startSpamd, type MailDaemon } from './e2e/mail-daemons.ts'
import { pluginHarness } from './plugin-harness.ts'

const rules = (name: string) => `
markAt: 5
rejectAt: null
rules:
  - {id: certain, stage: complete, when: {check: plugin-${name}, is: certain}, then: {reject: {text: spam}}}
  - {id: probable, stage: complete, when: {check: plugin-${name}, is: probable}, then: {weight: 6}}
`
const head = `Subject: hello\r\nFrom: s@remote.example\r\nTo: a@example.com\r\nDate: ${new Date().toUTCString().replace('GMT', '+0000')}\r\nMessage-ID: <20261124120000.4711.first@remote.example>\r\n\r\n`

describe.skipIf(rspamd.isMissing)(`rspamd${rspamd.label}`, () => {
  let daemon: MailDaemon
  beforeAll(async () => void (daemon = await startRspamd()))
  afterAll(() => daemon?.stop())

  it('gives a word for its score, and what it would do itself, and rules decide', async () => {
    const harness = await pluginHarness(`{rspamd: [{url: 'http://${daemon.address}', onFailure: closed}]}`, { rules: rules('rspamd') })
    expect(await harness.connect().deliver(`${head}${gtube}`)).toMatch(/^550 5\.7\.1 spam/)
    expect(await harness.connect().deliver(`${head}the word is Xyzzy`)).toMatch(/^250 /)
    expect(await harness.connect().deliver(`${head}nothing`)).toMatch(/^250 /)
    expect(harness.log.transactions.map(({ plugins, outcome, weight }) => [outcome, weight, plugins[0]!.result, plugins[0]!.detail])).toEqual([
      ['refused', 0, 'certain', expect.stringMatching(/^reject; score .*GTUBE/)],
      ['marked', 6, 'probable', 'add header; score 7 of 15; TEST_WORD 7'],
      ['accepted', 0, 'ham', 'no action; score 0 of 15'],
    ])
  })
})

describe.skipIf(spamd.isMissing)(`spamd${spamd.label}`, () => {
  let daemon: MailDaemon
  beforeAll(async () => void (daemon = await startSpamd()))
  afterAll(() => daemon?.stop())

  it('gives a word for its score, with the names of the tests that hit', async () => {
    const harness = await pluginHarness(`{spamd: [{address: ${daemon.address}, onFailure: closed}]}`, { rules: rules('spamd') })
    // Not an address of the networks for examples: spamd counts those.
    expect(await harness.connect('9.9.9.9').deliver(`${head}${gtube}`)).toMatch(/^550 5\.7\.1 spam/)
    expect(await harness.connect('9.9.9.9').deliver(`${head}${'We meet on Tuesday in the large room, as last week.\r\n'.repeat(5_000)}`)).toMatch(/^250 /)
    expect(harness.log.transactions.map(({ plugins }) => [plugins[0]!.result, plugins[0]!.detail])).toEqual([
      ['certain', expect.stringMatching(/^score \d{3,}\S* of 5; .*GTUBE/)],
      ['ham', expect.stringMatching(/^score -?[\d.]+ of 5/)],
    ])
  })
})
