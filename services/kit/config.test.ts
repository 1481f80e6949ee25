import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { configVariables } from './config-variables.ts'
import { Config } from './config.ts'
import { packageRoot } from './package-root.ts'
import { readConfig } from './read-config.ts'
import type { FieldSchema } from './read-node.ts'

type Setting = { field: string; default: string; variable: string }

const documented: Setting[] = readFileSync(join(packageRoot, 'docs', 'configuration.md'), 'utf8')
  .split('\n')
  .map((line) => /^\| `([^`]+)` \| ([^|]+) \|([^|]*)\| (.+) \|$/.exec(line))
  .filter((match) => match !== null)
  .map(([, field, fallback, variable]) => ({ field: field!, default: plain(fallback!), variable: plain(variable!) }))

function plain(cell: string): string {
  return cell.trim().replaceAll('`', '')
}

function settingsOf(schema: FieldSchema, prefix: string, required: boolean): Setting[] {
  if (schema.type === 'object') {
    return Object.entries(schema.properties ?? {}).flatMap(([name, child]) => {
      return settingsOf(child, prefix === '' ? name : `${prefix}.${name}`, schema.required?.includes(name) === true && child.default === undefined)
    })
  }
  const variable = configVariables.find((known) => known.field === prefix)?.name ?? ''
  const own = { field: prefix, default: required ? 'required' : defaultText(prefix, schema.default), variable }
  const entries = schema.items?.type === 'object' ? settingsOf(schema.items, `${prefix}[]`, false) : []
  return [own, ...entries]
}

function defaultText(field: string, value: unknown): string {
  if (field === 'smtp.hostname') return 'name of the machine'
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'none'
  return String(value)
}

it('docs/configuration.md lists every setting with its default and its variable, in the order of the schema', () => {
  expect(documented).toEqual(settingsOf(Config as FieldSchema, '', false))
})

it('the example file is right', () => {
  const reading = readConfig(join(packageRoot, 'tollgate.example.yaml'), {})
  expect(reading).toMatchObject({ warnings: [] })
})

it('the mistakes that docs/configuration.md shows are told in those words', () => {
  const text = readFileSync(join(packageRoot, 'docs', 'configuration.md'), 'utf8')
  expect(text).toContain('smtp.limits.messageBites: there is no such setting. Write "messageBytes", or remove it.')
  const shown = /```\n(The configuration has 3 mistakes:\n[^`]+)```/.exec(text)?.[1]
  expect(shown?.match(/^ {2}tollgate\.yaml:\d+:\d+: /gm)).toHaveLength(3)
})
