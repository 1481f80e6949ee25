/**
 * A YAML text read by a schema: the value, or every fault with its line.
 *
 * Fails  never throws for what the text says. A text that is no YAML yields the parser's faults alone: what else
 *        it says cannot be told.
 */
import type { Static, TSchema } from 'typebox'
import { LineCounter, parseDocument, type Node } from 'yaml'
import type { Fault } from './fault.ts'
import { placeOf, readNode, type FieldSchema, type Place } from './read-node.ts'

export type YamlReading<Value> = {
  /** Complete only where there are no faults. */
  value: Value
  faults: Fault[]
  /** Where a field stands; the whole file where nobody wrote it. */
  placeOf(field: string): Place
}

type Overrides = ReadonlyMap<string, { node: Node; source: string }>

/** `source` names the text in the faults: the path of the file. */
export function readYaml<Schema extends TSchema>(
  schema: Schema,
  text: string,
  source: string,
  overrides: Overrides = new Map(),
): YamlReading<Static<Schema>> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'silent' })
  const faults: Fault[] = document.errors.map((error) => {
    const { line, col } = lines.linePos(error.pos[0])
    const place = { source, line, column: col }
    if (error.code === 'DUPLICATE_KEY') {
      const name = /^\s*["']?([^\s:"']+)/.exec(text.slice(error.pos[0]))?.[1] ?? ''
      return { ...place, field: name, message: 'is written twice in the same group', remedy: 'Remove one of the two' }
    }
    const message = error.message.replace(/\.$/, '').replace(/^./, (first) => first.toLowerCase())
    return { ...place, field: '', message: `this is no valid YAML: ${message}`, remedy: remedyOf(error.code) }
  })
  const places = new Map<string, Place>()
  const context = { document, source, lines, faults, places, overrides }
  const isReadable = document.errors.every((error) => error.code === 'DUPLICATE_KEY')
  const value = isReadable ? readNode(context, { ...(schema as FieldSchema), default: {} }, document.contents as Node | null, '') : undefined
  return {
    value: value as Static<Schema>,
    faults,
    placeOf: (field) => places.get(field) ?? placeOf(context, document.contents as Node | null),
  }
}

function remedyOf(code: string): string {
  if (code === 'TAB_AS_INDENT') return 'Indent with spaces instead of tabs'
  if (code === 'BAD_INDENT') return 'Give all settings of one group the same number of leading spaces'
  if (code === 'MISSING_CHAR') return 'Check that quotes and brackets are closed and that ": " follows every name'
  return 'Check indentation, quotes and colons on this line and the one before'
}
