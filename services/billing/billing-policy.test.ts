import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storeBatch, storedMessage } from '../../test/billing-log.ts'
import { policySettings, tenantWith } from '../../test/billing-tenant.ts'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import { calendarMonth } from '../contracts/period.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import { billingPolicies, ensureBillingPolicy, policyAt } from './billing-policy.ts'
import { billingPeriod, billingPeriodAt } from './billing-period.ts'
import { meterBatch } from './meter-batch.ts'

const metered = '2026-11-10T12:00:00.000Z'

describe('the billing policy', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  async function tenantWithUsage(): Promise<string> {
    const tenantId = await tenantWith(test.database, { timeZone: 'Europe/Berlin', mode: 'full' })
    await meterBatch(
      test.database,
      tenantId,
      await storeBatch(test.database, tenantId, [storedMessage(metered, 1, ['a@acme.example'])]),
    )
    return tenantId
  }

  const rowsOf = async (tenantId: string) =>
    (await billingPolicies(test.database, tenantId)).map((policy) => [
      policy.validFrom?.toISOString() ?? 'always',
      policy.mode,
      policy.timeZone,
      policy.unitBytes,
    ])

  it('holds from the beginning of time, and follows the configuration as long as nothing is metered', async () => {
    const tenantId = await tenantWith(test.database, { timeZone: 'Europe/Berlin' })
    await ensureBillingPolicy(test.database, tenantId, policySettings({ timeZone: 'America/New_York', unit: 'MiB' }))
    expect(await rowsOf(tenantId)).toEqual([['always', 'full', 'America/New_York', 1_048_576]])
  })

  it('is written once by concurrent callers, and not again while nothing changes', async () => {
    const tenantId = 'concurrent'
    await ensureTenant(test.database, tenantId)
    const settings = policySettings({ mode: 'split' })
    await Promise.all(Array.from({ length: 5 }, () => ensureBillingPolicy(test.database, tenantId, settings)))
    const { rows } = await test.database.pool.query('select revision from billing_policy where tenant_id = $1', [
      tenantId,
    ])
    expect(rows).toEqual([{ revision: 1 }])
  })

  it('changes the way of counting from now on, and zone, unit and currency where the next period begins', async () => {
    const tenantId = await tenantWithUsage()
    const now = new Date('2026-11-20T09:00:00.000Z')
    await ensureBillingPolicy(
      test.database,
      tenantId,
      policySettings({ timeZone: 'America/New_York', mode: 'split', unit: 'MiB' }),
      now,
    )
    expect(await rowsOf(tenantId)).toEqual([
      ['always', 'full', 'Europe/Berlin', 1_000_000],
      ['2026-11-20T09:00:00.000Z', 'split', 'Europe/Berlin', 1_000_000],
      ['2026-11-30T23:00:00.000Z', 'split', 'America/New_York', 1_048_576],
    ])
    await ensureBillingPolicy(
      test.database,
      tenantId,
      policySettings({ timeZone: 'America/New_York', mode: 'split', unit: 'MiB' }),
      now,
    )
    expect(await rowsOf(tenantId)).toHaveLength(3)
  })

  it('overrules a change that still waits for its period, and forgets it where the setting goes back', async () => {
    const tenantId = await tenantWithUsage()
    const change = async (day: string, changes: Parameters<typeof policySettings>[0]) =>
      await ensureBillingPolicy(
        test.database,
        tenantId,
        policySettings(changes),
        new Date(`2026-11-${day}T00:00:00.000Z`),
      )
    await change('20', { timeZone: 'America/New_York' })
    await change('21', { timeZone: 'Asia/Tokyo' })
    expect(await rowsOf(tenantId)).toEqual([
      ['always', 'full', 'Europe/Berlin', 1_000_000],
      ['2026-11-30T23:00:00.000Z', 'full', 'Asia/Tokyo', 1_000_000],
    ])
    await change('22', { timeZone: 'Europe/Berlin', mode: 'split' })
    expect(await rowsOf(tenantId)).toEqual([
      ['always', 'full', 'Europe/Berlin', 1_000_000],
      ['2026-11-22T00:00:00.000Z', 'split', 'Europe/Berlin', 1_000_000],
      ['2026-11-30T23:00:00.000Z', 'split', 'Europe/Berlin', 1_000_000],
    ])
  })

  it('never changes for a message that is metered', async () => {
    const tenantId = await tenantWithUsage()
    await ensureBillingPolicy(
      test.database,
      tenantId,
      policySettings({ timeZone: 'Europe/Berlin', billDuplicates: true }),
      new Date('2026-11-01T00:00:00.000Z'),
    )
    expect((await rowsOf(tenantId)).map(([from]) => from)).toEqual(['always', '2026-11-10T12:00:00.001Z'])
  })

  it('refuses a zone that does not exist, naming the setting', async () => {
    await ensureTenant(test.database, 'nowhere')
    const asked = ensureBillingPolicy(test.database, 'nowhere', policySettings({ timeZone: 'Europe/Berlni' }))
    await expect(asked).rejects.toThrow(
      'billing.timeZone: "Europe/Berlni" is no IANA time zone: write one like Europe/Berlin',
    )
  })

  it('says what is missing where a tenant has none', async () => {
    await ensureTenant(test.database, 'bare')
    await expect(billingPolicies(test.database, 'bare')).rejects.toThrow(
      /"bare" has no billing policy yet: start the worker/,
    )
  })
})

describe('the periods of a tenant that moves to another zone', () => {
  const policies = [
    { validFrom: null, timeZone: 'Europe/Berlin' },
    { validFrom: new Date('2026-11-20T00:00:00.000Z'), timeZone: 'Europe/Berlin' },
    { validFrom: calendarMonth('2026-12', 'Europe/Berlin').from, timeZone: 'America/New_York' },
    { validFrom: calendarMonth('2027-02', 'America/New_York').from, timeZone: 'Pacific/Kiritimati' },
  ]

  it('tile time', () => {
    const labels = ['2026-10', '2026-11', '2026-12', '2027-01', '2027-02', '2027-03']
    const periods = labels.map((label) => billingPeriod(policies, label))
    expect(periods.map((period) => period.timeZone)).toEqual([
      'Europe/Berlin',
      'Europe/Berlin',
      'America/New_York',
      'America/New_York',
      'Pacific/Kiritimati',
      'Pacific/Kiritimati',
    ])
    for (const [index, period] of periods.entries())
      if (index > 0) expect(period.from).toEqual(periods[index - 1]!.upto)
    expect([periods[2]!.from.toISOString(), periods[2]!.upto.toISOString()]).toEqual([
      '2026-11-30T23:00:00.000Z',
      '2027-01-01T05:00:00.000Z',
    ])
    expect([periods[4]!.from.toISOString(), periods[4]!.upto.toISOString()]).toEqual([
      '2027-02-01T05:00:00.000Z',
      '2027-02-28T10:00:00.000Z',
    ])
  })

  it('hold each time exactly once', () => {
    for (let hour = 0; hour < 24 * 150; hour += 1) {
      const time = new Date(Date.UTC(2026, 9, 5, hour))
      const period = billingPeriodAt(policies, time)
      expect(time >= period.from && time < period.upto).toBe(true)
    }
  })
})

describe('policyAt', () => {
  it('takes the newest policy that is not after the time', () => {
    const at = (time: string | null, mode: 'full' | 'split') => ({
      validFrom: time === null ? null : new Date(time),
      mode,
      unitBytes: 1_000_000,
      timeZone: 'UTC',
      currency: 'EUR',
      billsRefusedContent: false,
      billsDuplicates: false,
      lowersLocalPart: true,
    })
    const policies = [at(null, 'full'), at('2026-11-20T00:00:00.000Z', 'split')]
    expect(policyAt(policies, new Date('2026-11-19T23:59:59.999Z')).mode).toBe('full')
    expect(policyAt(policies, new Date('2026-11-20T00:00:00.000Z')).mode).toBe('split')
  })
})
