/** The plug-in clamd against Debian's clamd, which knows one signature, made by hand. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clamd, eicar, startClamd, type MailDaemon } from './e2e/mail-daemons.ts'
import { until } from './e2e/product.ts'
import { pluginHarness } from './plugin-harness.ts'

const rules = `
markAt: null
rejectAt: null
rules: [{id: virus, stage: complete, when: {check: plugin-clamd, is: infected}, then: {reject: {text: 'a virus'}}}]
`
const attached = (content: string) =>
  [
    'Subject: see attachment',
    'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary=b',
    '',
    '--b',
    'Content-Type: application/octet-stream',
    'Content-Transfer-Encoding: base64',
    '',
    Buffer.from(content).toString('base64').replace(/.{76}/g, '$&\r\n'),
    '--b--',
  ].join('\r\n')

describe.skipIf(clamd.isMissing)(`clamd${clamd.label}`, () => {
  let daemon: MailDaemon
  beforeAll(async () => void (daemon = await startClamd({ streamMaxLength: '2M' })), 25_000)
  afterAll(() => daemon?.stop())

  it('finds a virus in an attachment and lets a rule refuse it, with signature and version in the log', async () => {
    const harness = await pluginHarness(`{clamd: [{address: ${daemon.address}, onFailure: closed}]}`, { rules })
    expect(await harness.connect().deliver(attached(eicar))).toMatch(/^550 5\.7\.1 a virus/)
    expect(await harness.connect().deliver(attached('harmless'))).toMatch(/^250 /)
    const results = harness.log.transactions.map(({ plugins }) => plugins[0])
    expect(results).toMatchObject([
      { name: 'plugin-clamd', result: 'infected', detail: expect.stringMatching(/^Test-Eicar\.UNOFFICIAL; ClamAV \d+\.\d+\.\d+/) },
      { name: 'plugin-clamd', result: 'clean', detail: expect.stringMatching(/^ClamAV \d/) },
    ])
    await until('the operator is told', () => harness.told.length > 0)
    expect(harness.told).toMatchObject([
      { text: 'A plug-in is active', fields: { kind: 'clamd', version: expect.stringMatching(/^ClamAV /), onFailure: 'closed' } },
    ])
  })

  it('is skipped by what is larger than clamd takes, and not taken for dead', async () => {
    const harness = await pluginHarness(`{clamd: [{address: ${daemon.address}, onFailure: closed}]}`, { rules })
    for (let at = 0; at < 4; at += 1) await harness.connect().deliver(attached('x'.repeat(4_000_000)))
    expect(await harness.connect().deliver(attached(eicar))).toMatch(/^550 /)
    expect(harness.log.transactions.map(({ plugins }) => plugins[0]!.result)).toEqual([...Array(4).fill('skipped'), 'infected'])
  })

  it('finds what stands at the end of a large message', async () => {
    const harness = await pluginHarness(`{clamd: [{address: ${daemon.address}, onFailure: closed}]}`, { rules })
    expect(await harness.connect().deliver(attached(`${'x\r\n'.repeat(400_000)}${eicar}`))).toMatch(/^550 /)
  })

  it('defers mail while it is down where it must answer', async () => {
    const other = await startClamd()
    const harness = await pluginHarness(`{clamd: [{address: ${other.address}, onFailure: closed}]}`, { rules })
    expect(await harness.connect().deliver(attached('harmless'))).toMatch(/^250 /)
    await other.stop()
    expect(await harness.connect().deliver(attached('harmless'))).toMatch(/^451 4\.7\.1 /)
    expect(harness.log.transactions[1]).toMatchObject({
      reason: 'plugin-unavailable',
      plugins: [{ result: 'unknown', detail: expect.stringMatching(/ENOENT|ECONNREFUSED/) }],
    })
  }, 25_000)
})
