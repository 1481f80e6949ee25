import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { readConfig, type ConfigReading } from './read-config.ts'

let folder: string
beforeEach(() => void (folder = mkdtempSync(path.join(tmpdir(), 'tollgate-config-'))))
afterEach(() => rmSync(folder, { recursive: true }))

function reading(plugins: string): ConfigReading {
  const file = path.join(folder, 'tollgate.yaml')
  writeFileSync(file, `plugins:\n  ${plugins}\n`)
  return readConfig(file, {})
}

it.each<[string, string, string, string]>([
  ['without a word on failure', 'clamd: [{}]', 'plugins.clamd[0].onFailure', 'open, closed'],
  ['with the name of another', '{clamd: [{onFailure: open}], http: [{name: clamd, url: "http://h/", onFailure: open}]}', 'plugins.http[0].name', 'a name of its own'],
  ['with an address that is none', 'clamd: [{address: clamd, onFailure: open}]', 'plugins.clamd[0].address', 'Unix socket'],
  ['with another scheme', 'http: [{url: "ftp://h/", onFailure: open}]', 'plugins.http[0].url', 'http://'],
  ['with a list that is called like a result', 'content: [{lists: [{name: clear}], onFailure: open}]', 'plugins.content[0].lists[0].name', 'another name'],
  ['with two lists of one name', 'content: [{lists: [{name: a}, {name: a}], onFailure: open}]', 'plugins.content[0].lists[1].name', 'a name of its own'],
  ['with a time for no mail', 'archive: [{keep: [{days: 3}], onFailure: open}]', 'plugins.archive[0].keep[0]', 'either "domain" or "rule"'],
  ['with a time for two kinds of mail', 'archive: [{keep: [{days: 3, domain: a.example, rule: r}], onFailure: open}]', 'plugins.archive[0].keep[0]', 'either "domain" or "rule"'],
  ['without a key', 'dkim: [{keys: [], onFailure: open}]', 'plugins.dkim[0].keys', ''],
])('a plug-in %s is a mistake of the configuration', (_what, plugins, field, remedy) => {
  const found = reading(plugins)
  if (!('faults' in found)) throw new Error('no fault')
  expect(found.faults.map((fault) => fault.field)).toEqual([field])
  expect(`${found.faults[0]!.message} ${found.faults[0]!.remedy}`).toContain(remedy)
})

it('takes paths of keys, archives and certificates from the folder of the file', () => {
  const found = reading(`{dkim: [{keys: [{domain: a.example, selector: s, file: keys/a.pem}], onFailure: closed}], archive: [{folder: kept, onFailure: closed}, {name: other, onFailure: closed}], http: [{url: 'https://h/', caFile: ca.pem, onFailure: open}]}`)
  if ('faults' in found) throw new Error(JSON.stringify(found.faults))
  const { dkim, archive, http } = found.config.plugins
  expect([dkim[0]!.keys[0]!.file, archive[0]!.folder, archive[1]!.folder, http[0]!.caFile]).toEqual([
    path.join(folder, 'keys/a.pem'),
    path.join(folder, 'kept'),
    undefined,
    path.join(folder, 'ca.pem'),
  ])
})
