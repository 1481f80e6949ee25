/** Holds the real imports against the table of folders: who may import whom. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { packageRoot } from '../services/kit/package-root.ts'

const everyService = ['contracts', 'kit', 'rules', 'database', 'gateway', 'ingest', 'rollup', 'billing', 'api', 'demo']

const allowed: Record<string, readonly string[]> = {
  'services/contracts': [],
  'services/kit': [],
  'services/rules': ['contracts'],
  'services/database': ['kit', 'contracts'],
  'services/gateway': ['contracts', 'kit', 'rules'],
  'services/ingest': ['contracts', 'kit', 'database'],
  'services/rollup': ['contracts', 'kit', 'database'],
  'services/billing': ['contracts', 'kit', 'database'],
  'services/api': ['contracts', 'kit', 'database', 'rules', 'billing'],
  'services/demo': ['contracts', 'kit', 'rules', 'gateway'],
  'services/cli': everyService,
  'web/src': ['contracts', 'rules'],
}
/** What of billing is its public entry. */
const billingEntry = [
  'usage-report', 'write-usage', 'import-directory', 'usage-periods', 'billing-policy', 'tariffs/tariff-store', 'tariffs/faults-of-tariff', 'tariffs/simulate-tariff',
  'tariffs/simulation-result', 'periods/period-store', 'periods/period-detail', 'periods/close-period', 'corrections/enter-correction',
  'statements/read-statements', 'statements/lines-of-message', 'statements/statement-page', 'statements/statement-table', 'exports/write-table', 'savings/savings-report', 'clients/read-clients', 'clients/directory-csv', 'clients/directory-change-text', 'savings/savings-table', 'savings/savings-range',
]

type Import = { file: string; room: string; specifier: string; target: string | null }

const imports = ['services', 'web/src'].flatMap((folder) => sourceFiles(path.join(packageRoot, folder))).flatMap(importsOf)

describe('the folders', () => {
  it('are all in the table', () => {
    const rooms = new Set(imports.map((found) => found.room))
    expect([...rooms].filter((room) => !(room in allowed))).toEqual([])
    expect(imports.length).toBeGreaterThan(100)
  })

  it('import only what the table allows', () => {
    const offending = imports.filter(({ room, target }) => {
      if (target === null || target === room) return false
      const service = /^services\/([^/]+)/.exec(target)?.[1]
      return service === undefined || !(allowed[room] ?? []).includes(service)
    })
    expect(offending.map(({ file, specifier }) => `${file} imports ${specifier}`)).toEqual([])
  })

  it('reach into billing only by its public entry', () => {
    const offending = imports.filter(
      ({ room, target, specifier }) =>
        room === 'services/api' && target === 'services/billing' && !billingEntry.some((name) => specifier.endsWith(`/${name}.ts`)),
    )
    expect(offending.map(({ file, specifier }) => `${file} imports ${specifier}`)).toEqual([])
  })

  it('keep what runs in the browser free of node', () => {
    const offending = imports.filter(
      ({ room, specifier }) => ['services/contracts', 'services/rules', 'web/src'].includes(room) && specifier.startsWith('node:'),
    )
    expect(offending.map(({ file, specifier }) => `${file} imports ${specifier}`)).toEqual([])
  })
})

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|vue)$/.test(entry.name) && !/\.test\.ts$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => !file.includes('node_modules'))
}

function importsOf(file: string): Import[] {
  const name = path.relative(packageRoot, file)
  const room = roomOf(name)
  const text = readFileSync(file, 'utf8')
  const specifiers = [...text.matchAll(/^\s*(?:import|export)\s[^'"]*?from\s+'([^']+)'|^\s*import\s+'([^']+)'|\bimport\(\s*'([^']+)'/gms)].map(
    (match) => match[1] ?? match[2] ?? match[3]!,
  )
  return specifiers.map((specifier) => ({
    file: name,
    room,
    specifier,
    target: specifier.startsWith('.') ? roomOf(path.relative(packageRoot, path.resolve(path.dirname(file), specifier))) : null,
  }))
}

function roomOf(name: string): string {
  const parts = name.split(path.sep)
  return parts.slice(0, 2).join('/')
}
