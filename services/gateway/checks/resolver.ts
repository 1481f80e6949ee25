/**
 * The seam to the DNS: one question, and an answer that tells "there is none" from "nobody could say".
 *
 * Fails  never rejects: whatever goes wrong is `unknown` with the reason.
 */
export type RecordOf = {
  A: string
  AAAA: string
  PTR: string
  MX: { priority: number; exchange: string }
  /** Its strings joined. */
  TXT: string
}
export type RecordType = keyof RecordOf

export type Answer<Found> =
  | { status: 'found'; records: readonly Found[] }
  /** `hasName`: the name exists, with records of other types. */
  | { status: 'none'; hasName: boolean }
  | { status: 'unknown'; why: string }

export interface Resolver {
  ask<Type extends RecordType>(name: string, type: Type): Promise<Answer<RecordOf[Type]>>
}

/** Where look-ups are switched off. */
export const noResolver: Resolver = {
  ask: async () => ({ status: 'unknown', why: 'look-ups are switched off' }),
}

/** Whether a name can stand in a question at all: at most 253 octets in labels of 1 to 63 (RFC 1035 §2.3.4). */
export function isQuestionName(name: string): boolean {
  return name.length <= 253 && /^[!-\-/-[\]-~]{1,63}(?:\.[!-\-/-[\]-~]{1,63})*$/.test(name)
}
