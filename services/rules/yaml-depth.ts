/**
 * Where a YAML text nests deeper than anybody writes by hand.
 *
 * Why  the reader of YAML descends into each level by a call: a text of nothing but brackets holds up whoever reads it,
 *      and ends in an overflow of the stack. The lexer and this walk do not; they stop at the first level too many.
 */
import { Lexer, Parser } from 'yaml'

const mostLevels = 100

/** Offset of the first level too many, or `null`. */
export function tooDeepAt(text: string): number | null {
  const parser = new Parser()
  for (const lexeme of new Lexer().lex(text)) {
    for (const _whole of parser.next(lexeme)) continue
    if (parser.stack.length > mostLevels) return parser.offset
  }
  return null
}
