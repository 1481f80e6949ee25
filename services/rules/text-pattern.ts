/**
 * Regular expressions in linear time: no pattern and no text can stall the gateway.
 *
 * Why  a JavaScript RegExp backtracks, so `(a+)+$` on forty letters takes hours. RE2's syntax leaves out what needs
 *      backtracking (look-around, back-references) and matches in time proportional to the text.
 */
import { RE2JS, RE2JSException } from 're2js'

/** The dot matches line ends too: a line end hidden in an encoded word must not hide what stands around it. */
export function compilePattern(pattern: string, caseSensitive: boolean): RE2JS {
  return RE2JS.compile(pattern, RE2JS.DOTALL | (caseSensitive ? 0 : RE2JS.CASE_INSENSITIVE))
}

export type PatternFault = { message: string; remedy?: string; offset: number }

/** What is wrong with a pattern, and where in it, or `null`. */
export function patternFault(pattern: string): PatternFault | null {
  try {
    compilePattern(pattern, false)
    return null
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error
    return describe(pattern, error)
  }
}

function describe(pattern: string, error: RE2JSException): PatternFault {
  const reason = 'error' in error && typeof error.error === 'string' ? error.error : error.message
  const part = 'input' in error && typeof error.input === 'string' ? error.input : ''
  const found = part === '' ? -1 : pattern.lastIndexOf(part)
  const lookaround = /\(\?<?[=!]/.exec(pattern)
  const backReference = /\\[1-9]/.exec(pattern)
  const offset = lookaround?.index ?? backReference?.index ?? (found < 0 ? pattern.length : found)
  const remedy =
    lookaround !== null
      ? 'Look-around is left out so that matching stays fast: use all, any and not instead'
      : backReference !== null
        ? 'References back to a group are left out so that matching stays fast'
        : undefined
  return {
    message: `The pattern fails at character ${offset + 1}: ${reason}${part === '' ? '' : ` "${part}"`}`,
    ...(remedy === undefined ? {} : { remedy }),
    offset,
  }
}
