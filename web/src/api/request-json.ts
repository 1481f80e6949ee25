/**
 * One request to the API of the own origin.
 *
 * Fails  throws ApiFailure: `code` is one of the API's closed list, `unreachable` when there was no answer at all,
 *        `not-understood` when an answer was no JSON of ours (a proxy's error page, say).
 */
import type { ApiErrorCode } from '../../../services/contracts/api.ts'

export type FailureCode = ApiErrorCode | 'unreachable' | 'not-understood'

export class ApiFailure extends Error {
  override readonly name = 'ApiFailure'
  readonly code: FailureCode
  readonly status: number | null
  readonly position: { from: number; upto: number } | null
  readonly suggestion: string | null

  constructor(code: FailureCode, message: string, detail: Partial<ApiFailure> = {}) {
    super(message, { cause: detail.cause })
    this.code = code
    this.status = detail.status ?? null
    this.position = detail.position ?? null
    this.suggestion = detail.suggestion ?? null
  }
}

export type RequestOptions = {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  body?: unknown
  csrfToken?: string
  signal?: AbortSignal
}

export async function requestJson<Body>(path: string, options: RequestOptions = {}): Promise<Body> {
  const headers: Record<string, string> = { accept: 'application/json' }
  if (options.body !== undefined) headers['content-type'] = 'application/json'
  if (options.csrfToken !== undefined) headers['x-csrf-token'] = options.csrfToken
  let response: Response
  try {
    response = await fetch(path, {
      method: options.method ?? 'GET',
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal ?? null,
      credentials: 'same-origin',
    })
  } catch (cause) {
    if (options.signal?.aborted === true) throw cause
    throw new ApiFailure('unreachable', 'No answer from the server', { cause })
  }
  if (response.status === 204) return undefined as Body
  const body = await bodyOf(response)
  if (response.ok) return body as Body
  throw failureOf(response.status, body)
}

/** Why an answer that is none of what was asked for was given. */
export async function refusalOf(response: Response): Promise<ApiFailure> {
  return failureOf(response.status, await bodyOf(response))
}

async function bodyOf(response: Response): Promise<unknown> {
  try {
    return await response.json()
  } catch (cause) {
    throw new ApiFailure('not-understood', `HTTP ${response.status}`, { status: response.status, cause })
  }
}

function failureOf(status: number, body: unknown): ApiFailure {
  const error = (body as { error?: Partial<ApiFailure> } | null)?.error
  if (typeof error?.code !== 'string') return new ApiFailure('not-understood', `HTTP ${status}`, { status })
  return new ApiFailure(error.code, error.message ?? `HTTP ${status}`, { ...error, status })
}

/** A path with its query, leaving out what is not set. */
export function pathWith(path: string, query: Record<string, string | number | null | undefined>): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') search.set(name, String(value))
  }
  const text = search.toString()
  return text === '' ? path : `${path}?${text}`
}
