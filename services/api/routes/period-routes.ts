/** Periods: how they stand, closing one, and corrections of what is billed. */
import { Type } from 'typebox'
import { CorrectionRefusal, enterCorrection, listCorrections, type EnteredCorrection } from '../../billing/corrections/enter-correction.ts'
import { CloseRefusal, closePeriod } from '../../billing/periods/close-period.ts'
import { periodDetail, periodView } from '../../billing/periods/period-detail.ts'
import { openPeriods } from '../../billing/periods/period-store.ts'
import { ApiError } from '../../contracts/api.ts'
import { BillingPeriod, ClosePeriodRequest, Correction, CorrectionList, CorrectionRequest, PeriodDetail, PeriodLabel, PeriodList } from '../../contracts/statement.ts'
import { recordAudit } from '../access/audit.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { tenantSettings } from '../tenant-settings.ts'

const readers = ['admin', 'accountant', 'viewer'] as const
const writers = ['admin', 'accountant'] as const
const ByLabel = Type.Object({ label: PeriodLabel })

export function addPeriodRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId, config, clock } = context
  const { graceHours } = config.billing
  const now = (): Date => new Date(clock.nowMs())

  server.get('/periods', {
    config: { roles: readers },
    schema: { summary: 'The periods from the first with traffic on, newest first', response: { 200: PeriodList } },
  }, async () => {
    if (!(await tenantSettings(context)).isStored) return { periods: [] }
    return { periods: (await openPeriods(database, tenantId, now())).map(periodView).reverse() }
  })

  server.get('/periods/:label', {
    config: { roles: readers },
    schema: { summary: 'One period, and what keeps it from being closed', params: ByLabel, response: { 200: PeriodDetail, 404: ApiError } },
  }, async (request) => {
    const { label } = request.params
    const detail = (await tenantSettings(context)).isStored ? await periodDetail({ database, tenantId, label, graceHours, now: now() }) : null
    if (detail === null) throw new ApiFault('not-found', `There is no period ${label}`)
    return detail
  })

  server.post('/periods/:label/close', {
    config: { roles: writers },
    schema: {
      summary: 'Cut off, rate and close, for good; what is in the way is told by GET periods/:label, and what is missing may be accepted by its name',
      params: ByLabel, body: ClosePeriodRequest, response: { 200: BillingPeriod, 404: ApiError, 409: ApiError },
    },
  }, async (request) => {
    const { label } = request.params
    const { name: by } = loginOfRequest(request)
    const accepted = request.body.accept ?? []
    if (!(await tenantSettings(context)).isStored) throw new ApiFault('not-found', `There is no period ${label}`)
    const closed = await closePeriod({ database, tenantId, label, accepted, by, graceHours, now: now() }).catch((error: unknown) => {
      if (!(error instanceof CloseRefusal)) throw error
      throw new ApiFault('period-blocked', [error.message, ...error.blockers.map(({ name, text, remedy }) => `${name}: ${text}. ${remedy}`)].join('; '))
    })
    await recordAudit(database, tenantId, { actor: by, action: 'period.closed', subject: label, detail: { hash: closed.hash, accepted } })
    return periodView(closed)
  })

  server.get('/corrections', {
    config: { roles: readers },
    schema: { summary: 'The newest 1,000 corrections', response: { 200: CorrectionList } },
  }, async () => ({ corrections: (await listCorrections(database, tenantId)).map(correctionView) }))

  server.post('/corrections', {
    config: { roles: writers },
    schema: {
      summary: 'Cancel what is billed, let another client pay, or bill what is not; with dryRun it only tells',
      body: CorrectionRequest, response: { 200: Correction, 201: Correction, 400: ApiError },
    },
  }, async (request, reply) => {
    const { name: by } = loginOfRequest(request)
    const entered = await enterCorrection(database, tenantId, { ...request.body, by }, now()).catch((error: unknown) => {
      if (error instanceof CorrectionRefusal) throw new ApiFault('bad-request', error.message)
      throw error
    })
    if (entered.correctionId === null) return correctionView(entered)
    await recordAudit(database, tenantId, { actor: by, action: 'correction.entered', subject: String(entered.correctionId), detail: { kind: entered.kind, why: entered.why } })
    return await reply.code(201).send(correctionView(entered))
  })
}

function correctionView({ correctionId, at, entryCount, ...rest }: EnteredCorrection): Correction {
  return { correctionId: correctionId === null ? null : String(correctionId), at: at?.toISOString() ?? null, entryCount: String(entryCount), ...rest }
}
