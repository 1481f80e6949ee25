/** A mistake of the client, or a state it has to know about: a code of the closed list in contracts (docs/api.md). */
import { apiErrorCodes, type ApiError, type ApiErrorCode } from '../contracts/api.ts'

export class ApiFault extends Error {
  readonly code: ApiErrorCode
  readonly statusCode: number
  readonly place: Pick<ApiError['error'], 'position' | 'suggestion' | 'faults'>
  /** Seconds, for `Retry-After`. */
  readonly retryAfterSeconds: number | null

  constructor(
    code: ApiErrorCode,
    message: string,
    more: ApiFault['place'] & { retryAfterSeconds?: number } = {},
  ) {
    super(message)
    const { retryAfterSeconds, ...place } = more
    this.code = code
    this.statusCode = apiErrorCodes[code]
    this.place = place
    this.retryAfterSeconds = retryAfterSeconds ?? null
  }

  get body(): ApiError {
    return { error: { code: this.code, message: this.message, ...this.place } }
  }
}
