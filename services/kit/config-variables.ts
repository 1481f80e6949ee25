/**
 * Environment variables that override settings: `TOLLGATE_` and the setting's path in capitals, so
 * `smtp.limits.messageBytes` is `TOLLGATE_SMTP_LIMITS_MESSAGE_BYTES`.
 *
 * A list of texts is separated by commas; a list of groups is written in YAML or JSON.
 */
import { Document, parseDocument, type Node } from 'yaml'
import { Config } from './config.ts'
import type { Fault } from './fault.ts'
import { nearestName } from './nearest-name.ts'
import type { FieldSchema } from './read-node.ts'

export type ConfigVariable = { name: string; field: string; schema: FieldSchema }

/** Variables that are ours and no setting. */
const others = ['TOLLGATE_CONFIG', 'TOLLGATE_LOG_LEVEL', 'TOLLGATE_LOG_FORMAT', 'TOLLGATE_DEMO_DATA', 'TOLLGATE_DATABASE_URL']

export const configVariables: readonly ConfigVariable[] = variablesOf(Config as FieldSchema, '')

function variablesOf(schema: FieldSchema, prefix: string): ConfigVariable[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, child]) => {
    const field = prefix === '' ? name : `${prefix}.${name}`
    return child.type === 'object' ? variablesOf(child, field) : [{ name: variableName(field), field, schema: child }]
  })
}

export function variableName(field: string): string {
  return `TOLLGATE_${field.replace(/([a-z])([A-Z])/g, '$1_$2').replace(/[.-]/g, '_').toUpperCase()}`
}

export type VariableReading = {
  overrides: Map<string, { node: Node; source: string }>
  faults: Fault[]
  /** Variables that look like one of ours, misspelt. Not faults: others may use the prefix. */
  warnings: string[]
}

export function readVariables(environment: NodeJS.ProcessEnv): VariableReading {
  const reading: VariableReading = { overrides: new Map(), faults: [], warnings: [] }
  for (const { name, field, schema } of configVariables) {
    const text = environment[name]
    // Empty is unset: Compose files pass on variables that nobody has set.
    if (text !== undefined && text !== '') reading.overrides.set(field, { node: nodeOf(schema, text), source: name })
  }
  readDatabaseUrl(environment, reading)
  const known = [...configVariables.map((variable) => variable.name), ...others]
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('TOLLGATE_') || known.includes(name)) continue
    const nearest = nearestName(name.slice('TOLLGATE_'.length), known.map((variable) => variable.slice('TOLLGATE_'.length)))
    if (nearest !== null) reading.warnings.push(`the environment variable ${name} is no setting; perhaps TOLLGATE_${nearest} was meant`)
  }
  return reading
}

/** The name that most tools use for it. */
function readDatabaseUrl(environment: NodeJS.ProcessEnv, reading: VariableReading): void {
  const url = environment['TOLLGATE_DATABASE_URL']
  if (url === undefined || url === '') return
  const other = environment['TOLLGATE_DATABASE']
  if (other !== undefined && other !== '' && other !== url) {
    reading.faults.push({
      source: 'TOLLGATE_DATABASE_URL',
      line: null,
      column: null,
      field: 'database',
      message: 'TOLLGATE_DATABASE is set as well, to another database',
      remedy: 'Unset one of the two',
    })
  }
  reading.overrides.set('database', { node: new Document(url).contents as Node, source: 'TOLLGATE_DATABASE_URL' })
}

function nodeOf(schema: FieldSchema, text: string): Node {
  if (schema.type === 'array' && schema.items?.type === 'string' && !text.trimStart().startsWith('[')) {
    const entries = text.split(',').map((entry) => entry.trim()).filter((entry) => entry !== '')
    return new Document(entries).contents as Node
  }
  if (schema.type === 'string' || schema.enum !== undefined) return new Document(text).contents as Node
  const document = parseDocument(text)
  // What is no YAML is read as text, and then rejected as the wrong type, with the variable named.
  return (document.errors.length === 0 ? document.contents : new Document(text).contents) as Node
}
