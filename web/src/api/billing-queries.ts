/** What the billing pages ask the API for, and where it has the same as a file. */
import { infiniteQueryOptions, queryOptions } from '@tanstack/vue-query'
import type { PeriodDetail, PeriodList, Statement, StatementList, StatementMessages } from '../../../services/contracts/statement.ts'
import type { TariffList } from '../../../services/contracts/tariff-api.ts'
import { pathWith, requestJson } from './request-json.ts'

export const periodsQuery = () =>
  queryOptions({ queryKey: ['periods'], queryFn: ({ signal }) => requestJson<PeriodList>('/api/v1/periods', { signal }) })

export const periodQuery = (label: string) =>
  queryOptions({ queryKey: ['periods', label], queryFn: ({ signal }) => requestJson<PeriodDetail>(periodPath(label), { signal }) })

export const statementsQuery = (period: string | null) =>
  queryOptions({
    queryKey: ['statements', period],
    queryFn: ({ signal }) => requestJson<StatementList>(pathWith('/api/v1/statements', { period }), { signal }),
  })

export const statementQuery = (id: string) =>
  queryOptions({ queryKey: ['statement', id], queryFn: ({ signal }) => requestJson<Statement>(statementPath(id), { signal }) })

export const lineMessagesQuery = (id: string, line: number) =>
  infiniteQueryOptions({
    queryKey: ['statement', id, 'line', line],
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      requestJson<StatementMessages>(pathWith(`${statementPath(id)}/lines/${line}/messages`, { cursor: pageParam }), { signal }),
    getNextPageParam: (page) => page.nextCursor,
  })

export const tariffsQuery = () =>
  queryOptions({ queryKey: ['tariffs'], queryFn: ({ signal }) => requestJson<TariffList>('/api/v1/tariffs', { signal }) })

export function periodPath(label: string): string {
  return `/api/v1/periods/${encodeURIComponent(label)}`
}

export function statementPath(id: string, format: 'csv' | 'xlsx' | 'json' | 'html' | null = null): string {
  return pathWith(`/api/v1/statements/${encodeURIComponent(id)}`, { format })
}
