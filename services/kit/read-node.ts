/**
 * One YAML node read by its schema: the value with defaults filled in, and every fault in it.
 *
 * Owns    words of the faults, the place of every field, defaults.
 * Leaves  what one value says about another to whoever wrote the schema.
 * Why     not the validator's own errors: those know neither lines nor what the reader should write, and stop at
 *         the first of several. Understands what our files use: objects, arrays, text, numbers, enums and booleans.
 */
import { isAlias, isMap, isScalar, isSeq, type Document, type LineCounter, type Node } from 'yaml'
import type { Fault } from './fault.ts'
import { nearestName } from './nearest-name.ts'

export type Place = { source: string; line: number | null; column: number | null }

export type ReadContext = {
  document: Document
  source: string
  lines: LineCounter
  faults: Fault[]
  /** Where each field stands that somebody wrote. */
  places: Map<string, Place>
  /** Fields given by the environment: they win over the file. */
  overrides: ReadonlyMap<string, { node: Node; source: string }>
}

/** The parts of a JSON Schema that our files use. */
export type FieldSchema = {
  type?: string
  properties?: Record<string, FieldSchema>
  required?: string[]
  items?: FieldSchema
  enum?: unknown[]
  default?: unknown
  minItems?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  minimum?: number
  maximum?: number
  description?: string
}

/** `node` null: nobody wrote it. Nothing after a key is the same as no key. */
export function readNode(context: ReadContext, schema: FieldSchema, node: Node | null, field: string): unknown {
  const override = context.overrides.get(field)
  if (override !== undefined) {
    const place = { source: override.source, line: null, column: null }
    return readWritten(context, schema, override.node, field, place)
  }
  const written = isAlias(node) ? (node.resolve(context.document) ?? null) : node
  if (written === null || (isScalar(written) && written.value === null && schema.enum === undefined)) {
    if (schema.type === 'object' && schema.default !== undefined) return readObject(context, schema, null, field, wholeFile(context))
    return structuredClone(schema.default)
  }
  return readWritten(context, schema, written, field, placeOf(context, node ?? written))
}

function readWritten(context: ReadContext, schema: FieldSchema, node: Node, field: string, place: Place): unknown {
  context.places.set(field, place)
  if (schema.type === 'object') return readObject(context, schema, node, field, place)
  if (schema.type === 'array') return readArray(context, schema, node, field, place)
  if (!isScalar(node)) return reject(context, place, field, 'is a list or a group of settings', `Write ${expectation(schema)}`)
  return readScalar(context, schema, node.value, field, place)
}

function readObject(context: ReadContext, schema: FieldSchema, node: Node | null, field: string, place: Place): unknown {
  const properties = schema.properties ?? {}
  const written = new Map<string, Node | null>()
  if (node !== null) {
    if (!isMap(node)) {
      const example = Object.keys(properties)[0] ?? 'name'
      return reject(context, place, field, 'must be a group of settings', `Write its settings below it, each as "name: value", e.g. "${example}: …"`)
    }
    for (const pair of node.items) {
      const name = isScalar(pair.key) ? String(pair.key.value) : String(pair.key)
      if (properties[name] === undefined) rejectName(context, Object.keys(properties), name, pair.key, field)
      else written.set(name, (pair.value ?? null) as Node | null)
    }
  }
  const value: Record<string, unknown> = {}
  for (const [name, child] of Object.entries(properties)) {
    const path = field === '' ? name : `${field}.${name}`
    const childValue = readNode(context, child, written.get(name) ?? null, path)
    if (childValue !== undefined) value[name] = childValue
    // A setting that is wrong was rejected already; only one that nobody wrote is missing.
    else if (isRequired(schema, name) && !context.places.has(path)) {
      reject(context, place, path, 'is missing', `Add "${name}:" with ${expectation(child)}`)
    }
  }
  return value
}

function isRequired(schema: FieldSchema, name: string): boolean {
  return schema.required?.includes(name) ?? false
}

function rejectName(context: ReadContext, known: string[], name: string, key: unknown, field: string): void {
  const place = placeOf(context, key as Node)
  const nearest = nearestName(name, known)
  const path = field === '' ? name : `${field}.${name}`
  const remedy = nearest === null ? `Remove it; the settings here are ${known.join(', ')}` : `Write "${nearest}", or remove it`
  reject(context, place, path, 'there is no such setting', remedy)
}

function readArray(context: ReadContext, schema: FieldSchema, node: Node, field: string, place: Place): unknown {
  if (!isSeq(node)) {
    return reject(context, place, field, 'must be a list', 'Write each entry on a line of its own after "- ", or all in brackets: [a, b]')
  }
  if (node.items.length < (schema.minItems ?? 0)) {
    return reject(context, place, field, 'is an empty list', `Give at least ${schema.minItems}, or remove the setting for its default`)
  }
  const values: unknown[] = []
  for (const [index, item] of node.items.entries()) {
    const path = `${field}[${index}]`
    const value = readNode(context, schema.items ?? {}, item as Node, path)
    if (value !== undefined) values.push(value)
    else if (!context.places.has(path)) reject(context, placeOf(context, item as Node), path, 'is empty', `Write ${expectation(schema.items ?? {})}, or remove the entry`)
  }
  return values
}

function readScalar(context: ReadContext, schema: FieldSchema, value: unknown, field: string, place: Place): unknown {
  const shown = JSON.stringify(value)
  const wrong = (message: string, remedy = `Write ${expectation(schema)}`) => reject(context, place, field, message, remedy)
  if (schema.enum !== undefined) {
    if (schema.enum.includes(value)) return value
    // YAML 1.2 reads a bare `off` as text and `false` as a truth value; both mean the word here.
    if (value === false && schema.enum.includes('off')) return 'off'
    const words = schema.enum.map(String)
    const nearest = nearestName(String(value), words)
    return wrong(`is ${shown}`, `Write one of ${words.join(', ')}${nearest === null ? '' : `; perhaps "${nearest}" was meant`}`)
  }
  if (schema.type === 'string') return readText(schema, value, wrong)
  if (schema.type === 'boolean') return typeof value === 'boolean' ? value : wrong(`is ${shown}`)
  if (schema.type === 'integer' || schema.type === 'number') {
    if (typeof value !== 'number' || !Number.isFinite(value)) return wrong(`is ${shown}, and must be a number`)
    if (schema.type === 'integer' && !Number.isSafeInteger(value)) return wrong(`is ${shown}, and must be a whole number`)
    const isWithin = value >= (schema.minimum ?? -Infinity) && value <= (schema.maximum ?? Infinity)
    return isWithin ? value : wrong(`is ${shown}, which is out of range`)
  }
  return value
}

function readText(schema: FieldSchema, value: unknown, wrong: (message: string, remedy?: string) => unknown): unknown {
  if (typeof value !== 'string') return wrong(`is ${JSON.stringify(value)}, and must be text`, `Put it in quotes: "${String(value)}"`)
  if (value.length < (schema.minLength ?? 0)) return wrong('is empty')
  if (value.length > (schema.maxLength ?? Infinity)) return wrong(`is longer than ${schema.maxLength} characters`)
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(value)) return wrong(`is ${JSON.stringify(value)}`)
  return value
}

/** What to write, as the end of a sentence that begins with "Write". */
function expectation(schema: FieldSchema): string {
  if (schema.description !== undefined) return schema.description
  if (schema.enum !== undefined) return `one of ${schema.enum.join(', ')}`
  if (schema.type === 'boolean') return 'true or false'
  if (schema.type === 'array') return 'a list'
  if (schema.type === 'object') return 'a group of settings'
  if (schema.type === 'string') return schema.pattern === undefined ? 'a text' : `a text of the form ${schema.pattern}`
  const number = schema.type === 'integer' ? 'a whole number' : 'a number'
  if (schema.minimum !== undefined && schema.maximum !== undefined) return `${number} from ${schema.minimum} to ${schema.maximum}`
  if (schema.minimum !== undefined) return `${number} of at least ${schema.minimum}`
  return schema.maximum === undefined ? number : `${number} of at most ${schema.maximum}`
}

function reject(context: ReadContext, place: Place, field: string, message: string, remedy: string): undefined {
  context.faults.push({ ...place, field, message, remedy })
  // Marks it as written, so that it is not called missing as well.
  if (!context.places.has(field)) context.places.set(field, place)
  return undefined
}

function wholeFile(context: ReadContext): Place {
  return { source: context.source, line: 1, column: 1 }
}

export function placeOf(context: { source: string; lines: LineCounter }, node: Node | null): Place {
  const offset = node?.range?.[0]
  if (offset === undefined) return { source: context.source, line: null, column: null }
  const { line, col } = context.lines.linePos(offset)
  return { source: context.source, line, column: col }
}
