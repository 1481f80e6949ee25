/**
 * A person's walk in headless Chromium through the built page on the started product, with real mail in it: log in,
 * find a message by its recipient, open it, download the CSV; everything compared to the API. Screenshots are kept in
 * test-output/screenshots.
 */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { chromium as playwright, type Browser, type BrowserContext, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MessageDetail, MessageList, UsageReport } from '../services/contracts/api.ts'
import { packageRoot } from '../services/kit/package-root.ts'
import { peer } from './e2e/peers.ts'
import { startProduct, until, type ApiSession, type Product } from './e2e/product.ts'
import { startSmtpSink, smtpSink, swaks, type Sink } from './e2e/smtp-sink.ts'

const run = promisify(execFile)
const chromium = peer('chromium', 'chromium')
const missing = [chromium, swaks, smtpSink].find((each) => each.isMissing)
const screenshots = path.join(packageRoot, 'test-output', 'screenshots')

describe.skipIf(missing !== undefined)(`the page in a browser${missing?.label ?? ''}`, () => {
  let sink: Sink
  let product: Product
  let api: ApiSession
  let browser: Browser
  let profile: string
  const period = new Date().toISOString().slice(0, 7)
  const markup = '<img src=x onerror=alert(1)><b>bold</b>'

  beforeAll(async () => {
    await mkdir(screenshots, { recursive: true })
    sink = await startSmtpSink()
    product = await startProduct({
      settings: {
        recipients: { mode: 'known', domains: ['corp.test'], directory: './clients.yaml' },
        routes: [{ domain: '*', host: '127.0.0.1', port: sink.port, tls: 'off' }],
      },
      files: {
        'clients.yaml':
          'clients:\n  - { id: acme, name: Acme, addresses: [ann@corp.test, bob@corp.test] }\n  - { id: birch, name: "=Birch()", addresses: [carol@corp.test] }\n',
      },
    })
    api = await product.login()
    await send('bo@partner.test', 'ann@corp.test', 'Re: contract', 400)
    await send('bo@partner.test', 'carol@corp.test,bob@corp.test', 'Minutes of Monday', 2_000)
    await send('eve@partner.test', 'carol@corp.test', markup, 100)
    await send('old@partner.test', 'gone@corp.test', 'never sent', 100)
    await until('the API shows all four', async () => (await messages('')).length === 4)
    await until('all are metered', async () => (await usage()).totals.messageCount === '3')
    profile = await mkdtemp(path.join(tmpdir(), 'tollgate-chromium-'))
    browser = await playwright.launch({
      executablePath: chromium.path,
      args: [
        '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run',
        '--disable-quic',
      ],
      env: { ...process.env, HOME: profile } as Record<string, string>,
    })
  }, 180_000)

  afterAll(async () => {
    await browser?.close()
    await product?.stop()
    await sink?.stop()
    await product?.remove()
    if (profile !== undefined) await rm(profile, { recursive: true, force: true })
  }, 60_000)

  async function send(from: string, to: string, subject: string, bodyBytes: number): Promise<void> {
    await run(swaks.path, [
      '--server', `127.0.0.1:${product.smtpPort}`, '--from', from, '--to', to, '--h-Subject', subject, '--body', 'x'.repeat(bodyBytes),
    ]).catch((error: { code: unknown }) => {
      // swaks says with its exit code that a recipient was refused; anything else is a failure of the test.
      if (error.code !== 24) throw error
    })
  }

  const messages = async (query: string) => (await api.getJson<MessageList>(`messages?q=${encodeURIComponent(query)}`)).rows
  const usage = () => api.getJson<UsageReport>(`usage?period=${period}&by=client`)

  async function loggedIn(options: Parameters<Browser['newContext']>[0] = {}): Promise<{ page: Page; context: BrowserContext; faults: string[] }> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, acceptDownloads: true, locale: 'en-GB', ...options })
    const page = await context.newPage()
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error' && !message.text().includes('401')) faults.push(message.text())
    })
    page.on('dialog', (dialog) => {
      faults.push(`a script ran: ${dialog.message()}`)
      void dialog.dismiss()
    })
    await page.goto(product.httpUrl)
    await page.locator('input[name=name]').fill(api.name)
    await page.locator('input[name=password]').fill(api.password)
    await page.locator('button[type=submit]').click()
    await page.getByTestId('overview').waitFor()
    return { page, context, faults }
  }

  it('finds a message by its recipient, opens it, and shows what the API tells', async () => {
    const { page, context, faults } = await loggedIn()
    await page.keyboard.press('/')
    await page.keyboard.type('to:ann@corp.test')
    await page.keyboard.press('Enter')
    const rows = page.getByTestId('message-row')
    await until('one row is shown', async () => (await rows.count()) === 1)
    expect(await rows.first().innerText()).toContain('Re: contract')
    await rows.first().click()
    const report = page.getByTestId('message-report')
    await report.waitFor()
    const [row] = await messages('to:ann@corp.test')
    const detail = await api.getJson<MessageDetail>(`messages/${row!.transactionId}`)
    expect(await page.getByTestId('message-headline').innerText()).toContain(detail.event.reply!.text)
    expect(await page.getByTestId('recipients').textContent()).toContain('ann@corp.test')
    expect(await page.getByTestId('recipients').innerText()).toContain('Acme')
    expect(await page.getByTestId('stages').innerText()).toContain('complete')
    await page.screenshot({ path: path.join(screenshots, 'drawer-1280-light.png') })

    // The address of the page alone shows the same to a colleague.
    const colleague = await context.newPage()
    await colleague.goto(page.url())
    await colleague.getByTestId('message-report').waitFor()
    expect(await colleague.getByTestId('message-headline').innerText()).toBe(await page.getByTestId('message-headline').innerText())
    expect(faults).toEqual([])
    await context.close()
  })

  it('downloads the usage as the CSV that the API gives', async () => {
    const { page, context, faults } = await loggedIn()
    await page.goto(`${product.httpUrl}/`)
    await page.getByRole('link', { name: 'Billing' }).click()
    const table = page.getByTestId('usage-table')
    await table.waitFor()
    await until('both clients are shown', async () => {
      const text = await table.innerText()
      return text.includes('Acme') && text.includes('=Birch()')
    })
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByTestId('download-csv').click()])
    const downloaded = await readFile((await download.path())!, 'utf8')
    expect(downloaded).toBe(await (await api.get(`usage?period=${period}&by=client&format=csv`)).text())
    // A name that a spreadsheet would take for a formula is guarded; the figures are as they are.
    expect(downloaded).toMatch(/'=Birch\(\)/)
    await page.screenshot({ path: path.join(screenshots, 'usage-1280-light.png') })
    expect(faults).toEqual([])
    await context.close()
  })

  it('puts new messages on top while it is live, keeps the open row, and after a pause tells what came meanwhile', async () => {
    const { page, context, faults } = await loggedIn()
    await page.goto(`${product.httpUrl}/trace?q=${encodeURIComponent('subject:live')}`)
    const live = page.getByTestId('live')
    await live.waitFor()
    await live.click()
    await until('it is live', async () => (await live.getAttribute('data-state')) === 'live')
    const rows = page.getByTestId('message-row')
    await send('bo@partner.test', 'ann@corp.test', 'live one', 100)
    await until('the first is there', async () => (await rows.count()) === 1)
    await rows.first().click()
    await page.getByTestId('message-report').waitFor()
    await send('bo@partner.test', 'ann@corp.test', 'live two', 100)
    await until('the second is there', async () => (await rows.count()) === 2)
    expect(await rows.first().innerText()).toContain('live two')
    expect(await page.locator('tr.message.open').innerText()).toContain('live one')
    expect(await page.getByTestId('timeline').innerText()).toContain('Connected from 127.0.0.1')
    await page.keyboard.press('l')
    await until('it is paused', async () => (await live.getAttribute('data-state')) === 'paused')
    await send('bo@partner.test', 'ann@corp.test', 'live three', 100)
    await until('the API shows it', async () => (await messages('subject:"live three"')).length === 1)
    expect(await rows.count()).toBe(2)
    await page.keyboard.press('l')
    await until('it follows', async () => (await rows.count()) === 3)
    expect(await rows.first().innerText()).toContain('live three')
    await page.screenshot({ path: path.join(screenshots, 'live-1280-light.png') })
    expect(faults).toEqual([])
    await context.close()
  })

  it('shows markup in a subject as text', async () => {
    const { page, context, faults } = await loggedIn()
    await page.goto(`${product.httpUrl}/trace?q=${encodeURIComponent('from:eve@partner.test')}`)
    const row = page.getByTestId('message-row').first()
    await row.waitFor()
    expect(await row.innerText()).toContain('<img src=x')
    await row.click()
    await page.getByTestId('message-report').waitFor()
    expect(await page.getByTestId('envelope').innerText()).toContain(markup)
    expect(await page.locator('img[src=x]').count()).toBe(0)
    expect(faults).toEqual([])
    await context.close()
  })

  it('points at a mistake in a query and does not show an empty result', async () => {
    const { page, context } = await loggedIn()
    await page.keyboard.press('/')
    await page.keyboard.type('form:ann@corp.test')
    await page.keyboard.press('Enter')
    const fault = page.getByTestId('query-fault').first()
    await fault.waitFor()
    expect(await fault.innerText()).toContain('from')
    await context.close()
  })

  it('fits every page into a narrow and a wide window, in light and dark, without a fault', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const width of [1280, 390]) {
        const { page, context, faults } = await loggedIn({ colorScheme, viewport: { width, height: 800 } })
        const [row] = await messages('to:carol@corp.test subject:Minutes')
        const pages = { overview: '/', trace: '/trace', message: `/messages/${row!.transactionId}`, usage: '/billing/usage' }
        for (const [name, address] of Object.entries(pages)) {
          await page.goto(`${product.httpUrl}${address}`)
          await page.waitForLoadState('networkidle')
          await page.screenshot({ path: path.join(screenshots, `${name}-${width}-${colorScheme}.png`) })
          const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
          expect(overflow, `${name} at ${width} px is wider than the window`).toBe(0)
        }
        expect(faults).toEqual([])
        await context.close()
      }
    }
  })

  it('lets nobody in with a wrong password, and says so', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(`${product.httpUrl}/trace`)
    await page.locator('input[name=name]').fill(api.name)
    await page.locator('input[name=password]').fill('wrong')
    await page.locator('button[type=submit]').click()
    await page.getByRole('alert').waitFor()
    expect(await page.getByTestId('messages').count()).toBe(0)
    await writeFile(path.join(screenshots, 'README.txt'), 'Screenshots of the last run of test/browser.test.ts\n')
    await context.close()
  })
})
