/**
 * Regular expressions in linear time: no pattern and no text can stall the gateway.
 *
 * Why  a JavaScript RegExp backtracks, so `(a+)+$` on forty letters takes hours. RE2's syntax leaves out what needs
 *      backtracking (look-around, back-references) and matches in time proportional to the text.
 */
import { RE2JS, RE2JSException } from 're2js'

export type PatternSyntax = { text: string; isCaseSensitive: boolean }

/**
 * A pattern with its flags written out. The dot matches line ends too: a line end hidden in an encoded word must not
 * hide what stands around it.
 */
export function textPatternOf({ text, isCaseSensitive }: PatternSyntax): string {
  return (isCaseSensitive ? '(?s)' : '(?is)') + text
}

export function compilePattern(pattern: string, isCaseSensitive: boolean): RE2JS {
  return RE2JS.compile(textPatternOf({ text: pattern, isCaseSensitive }))
}

export type PatternFault = { message: string; remedy?: string; offset: number }

/** What is wrong with a pattern, and where in it (from 0), or `null`. */
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
  // RE2 names the part it stumbled over, or the whole pattern with our flags before it.
  const named = 'input' in error && typeof error.input === 'string' ? error.input : ''
  const part = named.endsWith(pattern) ? '' : named
  const found = part === '' ? -1 : pattern.lastIndexOf(part)
  const lookAround = /\(\?<?[=!]/.exec(pattern)
  const backReference = /\\[1-9]/.exec(pattern)
  const offset = lookAround?.index ?? backReference?.index ?? (found < 0 ? 0 : found)
  const remedy =
    lookAround !== null
      ? 'Look-around is left out so that matching stays fast: use all, any and not instead'
      : backReference !== null
        ? 'References back to a group are left out so that matching stays fast'
        : undefined
  const place = found < 0 && remedy === undefined ? '' : ` at character ${offset + 1}`
  return {
    message: `The pattern fails${place}: ${reason}${part === '' ? '' : ` "${part}"`}`,
    ...(remedy === undefined ? {} : { remedy }),
    offset,
  }
}
