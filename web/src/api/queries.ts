/**
 * What the UI asks the API for, as TanStack Query options: one place for keys, paths and refresh intervals.
 */
import { infiniteQueryOptions, keepPreviousData, QueryClient, queryOptions } from '@tanstack/vue-query'
import type {
  MessageDetail,
  MessageHistogram,
  MessageList,
  Overview,
  Session,
  UsagePeriods,
  UsageReport,
} from '../../../services/contracts/api.ts'
import { ApiFailure, pathWith, requestJson } from './request-json.ts'

export const pageSize = 100
const overviewRefreshMs = 15_000
const healthRefreshMs = 30_000

export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 10_000,
        gcTime: 10 * 60_000,
        refetchOnWindowFocus: false,
        retry: (count, failure) => count < 2 && mayPass(failure),
      },
    },
  })
}

/** Whether asking again can help: the client's own mistakes are final. */
function mayPass(failure: Error): boolean {
  return failure instanceof ApiFailure && (failure.code === 'unreachable' || (failure.status ?? 0) >= 500)
}

export const sessionQuery = () =>
  queryOptions({
    queryKey: ['session'],
    queryFn: ({ signal }) => requestJson<Session>('/api/v1/session', { signal }),
    staleTime: Infinity,
    gcTime: Infinity,
    retry: false,
  })

export const messagesQuery = (q: string) =>
  infiniteQueryOptions({
    queryKey: ['messages', q],
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      requestJson<MessageList>(pathWith('/api/v1/messages', { q, cursor: pageParam, limit: pageSize }), { signal }),
    getNextPageParam: (page) => page.nextCursor,
    staleTime: 60_000,
  })

export const histogramQuery = (q: string) =>
  queryOptions({
    queryKey: ['histogram', q],
    queryFn: ({ signal }) =>
      requestJson<MessageHistogram>(pathWith('/api/v1/messages/histogram', { q }), { signal }),
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  })

export const messageQuery = (transactionId: string) =>
  queryOptions({
    queryKey: ['message', transactionId],
    queryFn: ({ signal }) =>
      requestJson<MessageDetail>(`/api/v1/messages/${encodeURIComponent(transactionId)}`, { signal }),
  })

export const overviewQuery = (hours: number) =>
  queryOptions({
    queryKey: ['overview', hours],
    queryFn: ({ signal }) => requestJson<Overview>(pathWith('/api/v1/overview', { hours }), { signal }),
    placeholderData: keepPreviousData,
    refetchInterval: overviewRefreshMs,
  })

/** One row is the cheapest answer that carries how far the log is complete. */
export const completenessQuery = () =>
  queryOptions({
    queryKey: ['completeness'],
    queryFn: ({ signal }) => requestJson<MessageList>(pathWith('/api/v1/messages', { limit: 1 }), { signal }),
    select: (list: MessageList) => list.completeness,
    refetchInterval: healthRefreshMs,
  })

export type UsageParameters = {
  period: string
  by: UsageReport['by']
  mode: UsageReport['mode'] | null
  client: string | null
  compare?: 'previous' | null
}

export const usageQuery = (parameters: UsageParameters) =>
  queryOptions({
    queryKey: ['usage', parameters],
    queryFn: ({ signal }) => requestJson<UsageReport>(pathWith('/api/v1/usage', parameters), { signal }),
    placeholderData: keepPreviousData,
  })

export const usagePeriodsQuery = () =>
  queryOptions({
    queryKey: ['usage-periods'],
    queryFn: ({ signal }) => requestJson<UsagePeriods>('/api/v1/usage/periods', { signal }),
    staleTime: 60_000,
  })

/** Where the same report comes as a file. */
export function usageFilePath(parameters: UsageParameters, format: 'csv' | 'xlsx' | 'ndjson' | 'focus'): string {
  return pathWith('/api/v1/usage', { ...parameters, format })
}
