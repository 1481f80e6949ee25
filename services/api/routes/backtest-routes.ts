/** Backtests: a rule set tried against stored mail, and the messages behind each of its figures. */
import { Type } from 'typebox'
import { ApiError } from '../../contracts/api.ts'
import {
  Backtest,
  BacktestList,
  BacktestMessages,
  BacktestMessagesQuery,
  BacktestRequest,
} from '../../contracts/backtest.ts'
import { recordAudit } from '../access/audit.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import type { BacktestJobs } from '../backtest/backtest-jobs.ts'
import { backtestById, cellMessages, recentBacktests } from '../backtest/backtest-view.ts'
import { parsedRules } from '../policy/rules-text.ts'

const tuningRoles = ['admin', 'operator'] as const
const readingRoles = ['admin', 'operator', 'viewer'] as const
const dayMs = 86_400_000
const id = Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' })
const params = Type.Object({ id })

export function addBacktestRoutes(server: ApiServer, context: ApiContext, jobs: BacktestJobs): void {
  const { database, tenantId, clock } = context

  server.post(
    '/backtests',
    {
      config: { roles: tuningRoles },
      schema: {
        summary: 'Try a rule set against stored mail; the job runs on after the answer',
        body: BacktestRequest,
        response: { 202: Backtest, 400: ApiError, 409: ApiError },
      },
    },
    async (request, reply) => {
      const login = loginOfRequest(request)
      const ruleset = parsedRules(request.body.rules)
      const uptoMs = clock.nowMs()
      const fromMs = uptoMs - request.body.days * dayMs
      const started = await jobs.start({ ruleset, fromMs, uptoMs, createdBy: login.name })
      if (started === null)
        throw new ApiFault('already-running', 'A backtest is running: wait for its end, or cancel it')
      const { days } = request.body
      const backtest = await foundBacktest(started)
      const detail = { days, rulesetHash: backtest.rulesetHash }
      await recordAudit(database, tenantId, {
        actor: login.name,
        action: 'backtest.started',
        subject: started,
        detail,
      })
      return await reply.code(202).send(backtest)
    },
  )

  server.get(
    '/backtests',
    {
      config: { roles: readingRoles },
      schema: { summary: 'The newest backtests, without their results', response: { 200: BacktestList } },
    },
    async () => {
      await jobs.settleInterrupted()
      return { backtests: await recentBacktests(database, tenantId) }
    },
  )

  server.get(
    '/backtests/:id',
    {
      config: { roles: readingRoles },
      schema: {
        summary: 'How far a backtest is, and its result',
        params,
        response: { 200: Backtest, 404: ApiError },
      },
    },
    async (request) => {
      await jobs.settleInterrupted()
      return await foundBacktest(request.params.id)
    },
  )

  server.get(
    '/backtests/:id/messages',
    {
      config: { roles: readingRoles },
      schema: {
        summary: 'The messages behind one cell of the result, newest first',
        params,
        querystring: BacktestMessagesQuery,
        response: { 200: BacktestMessages, 400: ApiError, 404: ApiError },
      },
    },
    async (request) => {
      const backtest = await foundBacktest(request.params.id)
      const { cell, cursor = null, limit = 100 } = request.query
      const page = await cellMessages(database, { tenantId, backtest, cell, cursor, limit })
      if (page === null)
        throw new ApiFault('bad-request', 'The cursor is not one of ours: start again at the first page')
      return page
    },
  )

  server.delete(
    '/backtests/:id',
    {
      config: { roles: tuningRoles },
      schema: {
        summary: 'Cancel a backtest that runs; its row stays',
        params,
        response: { 200: Backtest, 404: ApiError, 409: ApiError },
      },
    },
    async (request) => {
      const login = loginOfRequest(request)
      const found = await foundBacktest(request.params.id)
      if (await jobs.cancel(found.id))
        await recordAudit(database, tenantId, { actor: login.name, action: 'backtest.cancelled', subject: found.id })
      await jobs.settleInterrupted()
      const now = await foundBacktest(found.id)
      if (now.state === 'running')
        throw new ApiFault('already-running', 'It runs in another process: cancel it there')
      return now
    },
  )

  async function foundBacktest(wanted: string): Promise<Backtest> {
    const found = await backtestById(database, tenantId, wanted.toLowerCase())
    if (found === null) throw new ApiFault('not-found', 'There is no such backtest; only the newest ones are kept')
    return found
  }
}
