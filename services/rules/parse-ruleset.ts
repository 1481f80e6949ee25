/**
 * A rule set out of a YAML or JSON file, or every fault in it with its line and column.
 *
 * Leaves  what a rule set must be to ruleset-faults.ts.
 * Why     JSON is read as YAML too, so that both have positions; a file named .json is held to JSON first.
 */
import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document } from 'yaml'
import { pathText, type Path, type PathFault } from './fault-list.ts'
import type { Ruleset } from './ruleset.ts'
import { rulesetOf } from './ruleset-faults.ts'

/** Lines and columns count from 1; `path` is empty where the text itself cannot be read. */
export type RulesetFault = {
  file: string
  line: number
  column: number
  path: string
  message: string
  remedy?: string
}

export function parseRuleset(text: string, fileName: string): { ruleset: Ruleset } | { faults: RulesetFault[] } {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false, merge: false })
  const at = (offset: number): { file: string; line: number; column: number } => {
    const { line, col } = lines.linePos(offset)
    return { file: fileName, line: Math.max(1, line), column: Math.max(1, col) }
  }
  if (document.errors.length > 0) {
    return {
      faults: document.errors.map((error) => ({ ...at(error.pos[0]), path: '', message: firstLine(error.message) })),
    }
  }
  if (fileName.endsWith('.json')) {
    const message = jsonFault(text)
    if (message !== null) return { faults: [{ ...at(0), path: '', message }] }
  }
  let value: unknown
  try {
    // Aliases may not multiply a small file into a large one.
    value = document.toJS({ maxAliasCount: 100 }) ?? {}
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error
    return { faults: [{ ...at(0), path: '', message: firstLine(error.message) }] }
  }
  const result = rulesetOf(value)
  if ('ruleset' in result) return result
  return {
    faults: result.faults
      .map((fault) => ({
        offset: offsetOf(document, fault),
        path: pathText(fault.path),
        message: fault.message,
        ...(fault.remedy === undefined ? {} : { remedy: fault.remedy }),
      }))
      .sort((left, right) => left.offset - right.offset)
      .map(({ offset, ...fault }) => ({ ...at(offset), ...fault })),
  }
}

/** Where the value of a path begins, or its key, or the nearest part of it that the text holds. */
function offsetOf(document: Document, { path, offset: within = 0, isKey }: PathFault): number {
  if (isKey) {
    const key = keyOffset(document, path)
    if (key !== null) return key
  }
  for (let length = path.length; length > 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true)
    if (!isNode(node) || node.range == null) continue
    // Inside quotes the text begins after the quote; escapes before the place can shift it.
    const isQuoted = isScalar(node) && (node.type === 'QUOTE_SINGLE' || node.type === 'QUOTE_DOUBLE')
    const shift = length === path.length && within > 0 ? within + (isQuoted ? 1 : 0) : 0
    return Math.min(node.range[0] + shift, node.range[1])
  }
  return isNode(document.contents) && document.contents.range != null ? document.contents.range[0] : 0
}

function keyOffset(document: Document, path: Path): number | null {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  if (!isMap(parent)) return null
  const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === path.at(-1))
  return isNode(pair?.key) && pair.key.range != null ? pair.key.range[0] : null
}

function jsonFault(text: string): string | null {
  try {
    JSON.parse(text)
    return null
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return `This is no JSON: ${error.message}`
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]!
}
