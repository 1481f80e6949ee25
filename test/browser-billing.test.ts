/**
 * A month in headless Chromium through the built page: a tariff, what it would cost, closing by name, the statement and
 * the messages of its lines; and who is offered what. Screenshots are kept in test-output/screenshots.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { chromium as playwright, type Browser, type BrowserContext, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { packageRoot } from '../services/kit/package-root.ts'
import { testPassword, type ApiFixture } from './api-fixture.ts'
import { createBilledMonth } from './billed-month.ts'
import { peer } from './e2e/peers.ts'

const chromium = peer('chromium', 'chromium')
const screenshots = path.join(packageRoot, 'test-output', 'screenshots')
const tiers = [{ upto: '5', price: '0.5' }, { upto: null, price: '0.25' }]
const definition = { name: '<i>Mail</i>', currency: 'EUR', taxPercent: '19', components: [{ kind: 'flat', amount: '10' }, { kind: 'graduated', tiers }] }

describe.skipIf(chromium.isMissing)(`the billing pages in a browser${chromium.label}`, () => {
  let api: ApiFixture
  let origin: string
  let browser: Browser
  let profile: string

  beforeAll(async () => {
    await mkdir(screenshots, { recursive: true })
    api = await createBilledMonth({ webFolder: path.join(packageRoot, 'dist', 'web') })
    // After the days of grace of the month; and a browser holds the cookie of a login against its own clock.
    api.clock.set(Math.max(Date.now(), Date.UTC(2026, 10, 5)))
    origin = await api.server.listen({ host: '127.0.0.1', port: 0 })
    profile = await mkdtemp(path.join(tmpdir(), 'tollgate-chromium-'))
    browser = await playwright.launch({
      executablePath: chromium.path,
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', '--disable-quic'],
      env: { ...process.env, HOME: profile } as Record<string, string>,
    })
  }, 180_000)

  afterAll(async () => {
    await browser?.close()
    await api?.close()
    if (profile !== undefined) await rm(profile, { recursive: true, force: true })
  }, 60_000)

  async function loggedIn(name: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<{ page: Page; context: BrowserContext; faults: string[] }> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, acceptDownloads: true, locale: 'en-GB', timezoneId: 'UTC', ...options })
    const page = await context.newPage()
    page.setDefaultTimeout(15_000)
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error' && !message.text().includes('401')) faults.push(message.text())
    })
    await page.goto(`${origin}/login?next=/billing/statements`)
    await page.locator('input[name=name]').fill(name)
    await page.locator('input[name=password]').fill(testPassword)
    await page.locator('button[type=submit]').click()
    await page.getByTestId('statements').waitFor()
    return { page, context, faults }
  }

  it('leads from a tariff over closing the month by its name to the messages of a statement line', async () => {
    const { page, context, faults } = await loggedIn('acc')
    await page.getByTestId('tab-tariffs').click()
    await page.getByText('tollgate tariff add').waitFor()
    await page.screenshot({ path: path.join(screenshots, 'tariffs-empty-1280-light.png') })

    const accountant = await api.login('acc')
    expect((await accountant.call('POST', '/tariffs', { body: { tariffId: 'mail', definition } })).status).toBe(201)
    for (const id of ['acme', 'globex']) expect((await accountant.call('PUT', `/clients/${id}/tariff`, { body: { tariffId: 'mail' } })).status).toBe(200)
    await page.reload()
    const tariff = page.getByTestId('tariff')
    await tariff.waitFor()
    expect(await tariff.innerText()).toContain('<i>Mail</i>')
    expect(await tariff.innerText()).toContain('over 0 MB up to 5 MB: €0.50 for each MB')
    expect(await tariff.innerText()).toContain('acme')
    await page.getByTestId('simulation-period').selectOption('2026-10')
    await page.getByTestId('simulate').click()
    // 8 MB: 10 + 2.50 + 0.75 and 19 %, twice.
    const simulation = page.getByTestId('simulation-result')
    await simulation.waitFor()
    expect(await simulation.locator('tfoot').innerText()).toMatch(/€31\.54\s+€31\.54\s+€0\.00/)

    await page.getByTestId('tab-periods').click()
    await page.getByRole('link', { name: 'October 2026' }).click()
    const blockers = page.getByTestId('blockers')
    await blockers.waitFor()
    expect(await blockers.innerText()).toContain('Start its ingest, or bring its log')
    await page.screenshot({ path: path.join(screenshots, 'period-1280-light.png') })
    await page.getByTestId('close-period').click()
    const confirm = page.getByTestId('close-confirm')
    await page.getByTestId('close-label').fill('2026-10')
    expect(await confirm.isDisabled()).toBe(true)
    await page.getByTestId('close-dialog').getByRole('checkbox').check()
    expect(await confirm.isEnabled()).toBe(true)
    await page.getByTestId('close-label').fill('2026-11')
    expect(await confirm.isDisabled()).toBe(true)
    await page.getByTestId('close-label').fill('2026-10')
    await page.screenshot({ path: path.join(screenshots, 'close-1280-light.png') })
    await confirm.click()
    await page.getByTestId('period-state').getByText('closed', { exact: true }).waitFor()
    expect((await accountant.get('/periods/2026-10')).json().period.state).toBe('closed')

    await page.getByTestId('period-page').getByRole('link', { name: 'Statements' }).click()
    await page.getByRole('link', { name: '<b>=Acme</b>' }).click()
    await page.getByTestId('statement-lines').waitFor()
    expect(await page.getByTestId('total').innerText()).toBe('€15.77')
    expect(await page.getByTestId('statement-line').allInnerTexts()).toEqual([
      expect.stringContaining('Monthly price'), expect.stringContaining('tier 1'), expect.stringContaining('tier 2'),
    ])
    const id = decodeURIComponent(new URL(page.url()).pathname.split('/').at(-1)!)
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByTestId('download-csv').click()])
    expect(await readFile((await download.path())!, 'utf8')).toBe((await accountant.get(`/statements/${id}?format=csv`)).text)
    const [printed] = await Promise.all([context.waitForEvent('page'), page.getByTestId('print').click()])
    await printed.waitForLoadState()
    expect(await printed.locator('body').innerText()).toContain('<b>=Acme</b>')
    await printed.close()

    await page.getByTestId('line-messages').nth(1).click()
    const messages = page.getByTestId('line-message')
    await messages.first().waitFor()
    expect(await messages.count()).toBe(4)
    const { rows } = (await accountant.get(`/statements/${id}/lines/2/messages`)).json()
    await messages.first().getByRole('link').click()
    await page.getByTestId('message-report').waitFor()
    expect(new URL(page.url()).pathname).toBe(`/messages/${rows[0].transactionId}`)
    expect(faults).toEqual([])
    await context.close()
  })

  it('offers a client its own statements and usage and nothing else, and a viewer no button that closes', async () => {
    const own = await loggedIn('acme-user')
    await own.page.getByTestId('statement-row').first().waitFor()
    expect(await own.page.getByTestId('statement-row').allInnerTexts()).toEqual([expect.stringContaining('<b>=Acme</b>')])
    expect([await own.page.getByTestId('tab-usage').count(), await own.page.getByTestId('tab-periods').count(), await own.page.getByTestId('tab-tariffs').count()]).toEqual([1, 0, 0])
    await own.context.close()
    const viewer = await loggedIn('look')
    await viewer.page.goto(`${origin}/billing/periods/2026-11`)
    await viewer.page.getByTestId('blockers').waitFor()
    expect(await viewer.page.getByTestId('close-period').count()).toBe(0)
    await viewer.context.close()
  })

  it('shows the month before beside the usage, and offers only the files that the API has for it', async () => {
    const { page, context, faults } = await loggedIn('acc')
    await page.goto(`${origin}/billing/usage?period=2026-10&by=direction`)
    await page.getByTestId('usage-row').first().waitFor()
    expect(await page.getByTestId('usage-row').first().innerText()).toContain('inbound')
    expect(await page.getByTestId('download-focus').count()).toBe(0)
    await page.goto(`${origin}/billing/usage?period=2026-10`)
    await page.getByTestId('download-focus').waitFor()
    await page.getByTestId('compare').check()
    await page.getByRole('columnheader', { name: 'September 2026' }).waitFor()
    expect(await page.getByTestId('usage-row').first().innerText()).toContain('+8.000 MB')
    expect(await page.getByTestId('download-focus').count()).toBe(0)
    expect(faults).toEqual([])
    await context.close()
  })

  it('fits every page into a narrow and a wide window, in light and dark, without a fault', async () => {
    const { statements } = (await (await api.login('acc')).get('/statements')).json()
    const pages = {
      periods: '/billing/periods', 'period-closed': '/billing/periods/2026-10', statements: '/billing/statements',
      statement: `/billing/statements/${encodeURIComponent(statements[0].statementId)}?line=2`, tariffs: '/billing/tariffs',
      'usage-compared': '/billing/usage?period=2026-10&compare=previous',
    }
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const width of [1280, 390]) {
        const { page, context, faults } = await loggedIn('acc', { colorScheme, viewport: { width, height: 800 } })
        for (const [name, address] of Object.entries(pages)) {
          await page.goto(`${origin}${address}`)
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
})
