/**
 * A rule set out of a YAML or JSON file, or every fault in it with its line and column.
 *
 * Leaves  what a rule set must be to ruleset-faults.ts; reading the files of its lists to the caller, who asks
 *         `listFilesOf` for their names first.
 * Why     JSON is read as YAML too, so that both have positions; a file named .json is held to JSON first.
 */
import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document } from 'yaml'
import { FaultList, isPlainObject, pathText, type Path, type PathFault } from './fault-list.ts'
import { listFileNames, parseListFile, type ListEntry } from './list-file.ts'
import type { Ruleset } from './ruleset.ts'
import { rulesetOf } from './ruleset-faults.ts'
import { tooDeepAt } from './yaml-depth.ts'

/** Lines and columns count from 1; `path` is empty where the text itself cannot be read. */
export type RulesetFault = {
  file: string
  line: number
  column: number
  path: string
  message: string
  remedy?: string
}

/** Names of the files with lists that a rule set needs, as it has them: relative to its own place. */
export function listFilesOf(text: string): string[] {
  if (tooDeepAt(text) !== null) return []
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: false, merge: false })
  const lists = document.errors.length > 0 ? null : document.get('lists')
  return [...new Set(isMap(lists) ? listFileNames(lists.toJS(document, { maxAliasCount: 100 })) : [])]
}

/** `listTexts` holds the content of `listFilesOf`, by name; what could not be read is left out, and is a fault. */
export function parseRuleset(
  text: string,
  fileName: string,
  listTexts: ReadonlyMap<string, string> | null = null,
): { ruleset: Ruleset } | { faults: RulesetFault[] } {
  const deepAt = tooDeepAt(text)
  if (deepAt !== null) return { faults: [deepFault(text, fileName, deepAt)] }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false, merge: false })
  const at = (offset: number): { file: string; line: number; column: number } => {
    const { line, col } = lines.linePos(offset)
    return { file: fileName, line: Math.max(1, line), column: Math.max(1, col) }
  }
  if (document.errors.length > 0) {
    return {
      faults: document.errors.slice(0, mostSyntaxFaults).map((error) => ({ ...at(error.pos[0]), path: '', message: firstLine(error.message) })),
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
  const filled = withListFiles(value, listTexts)
  const result = rulesetOf(filled.value)
  if ('ruleset' in result && filled.faults.length === 0) return result
  const faults = [...filled.faults, ...('faults' in result ? result.faults : [])]
  return {
    faults: faults
      .map((fault) => ({
        offset: offsetOf(document, fault),
        path: pathText(fault.path),
        message: `${filled.placeOf(fault.path)}${fault.message}`,
        ...(fault.remedy === undefined ? {} : { remedy: fault.remedy }),
      }))
      .sort((left, right) => left.offset - right.offset)
      .map(({ offset, ...fault }) => ({ ...at(offset), ...fault })),
  }
}

/** Behind the first mistakes of syntax the others are mostly their echoes. */
const mostSyntaxFaults = 20

function deepFault(text: string, file: string, offset: number): RulesetFault {
  const before = text.slice(0, offset)
  const line = before.split('\n').length
  return {
    file,
    line,
    column: offset - before.lastIndexOf('\n'),
    path: '',
    message: 'this is nested deeper than any rule set',
    remedy: 'Close the brackets that stand open before it',
  }
}

type FilledLists = { value: unknown; faults: PathFault[]; placeOf: (path: Path) => string }

/** The value with the entries of its list files in their place, and where in which file an entry stands. */
function withListFiles(value: unknown, texts: ReadonlyMap<string, string> | null): FilledLists {
  if (!isPlainObject(value) || !isPlainObject(value.lists)) return { value, faults: [], placeOf: () => '' }
  const faults = new FaultList()
  const files = new Map<string, { file: string; entries: readonly ListEntry[] }>()
  const lists = Object.entries(value.lists).map(([name, list]): [string, unknown] => {
    if (!isPlainObject(list)) return [name, list]
    faults.addUnknownKeys(['lists', name], list, ['file'])
    const { file } = list
    const text = typeof file === 'string' ? texts?.get(file) : undefined
    if (typeof file !== 'string' || file === '')
      faults.add(['lists', name], 'file is the name of a file with one entry a line')
    else if (text === undefined) faults.add(['lists', name, 'file'], ...unreadListFile(file, texts === null))
    else files.set(name, { file, entries: parseListFile(text) })
    return [name, (files.get(name)?.entries ?? []).map((entry) => entry.text)]
  })
  return {
    value: { ...value, lists: Object.fromEntries(lists) },
    faults: faults.all,
    placeOf: ([part, name, index]) => {
      const found = part === 'lists' && typeof index === 'number' ? files.get(String(name)) : undefined
      return found === undefined ? '' : `${found.file}:${found.entries[index as number]!.line}: `
    },
  }
}

function unreadListFile(file: string, isText: boolean): [message: string, remedy: string] {
  return isText
    ? ['Only a rule set in a file may have lists in other files', 'Write the entries here']
    : [`The list ${file} cannot be read`, 'Check its name, which is relative to the rule set, and its rights']
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
