/**
 * Puts the files of an import into a folder, once they have been read as a gateway reads them at its start.
 *
 * Owns    that nothing is overwritten unasked, and that what is written starts.
 * Fails   throws ImportFault, with sentences; then nothing has been written.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { faultText } from '../../kit/fault.ts'
import { readConfig } from '../../kit/read-config.ts'
import { parseRuleset } from '../../rules/parse-ruleset.ts'
import { readAliases } from '../policy/aliases.ts'
import { readDirectoryText } from '../policy/read-directory.ts'

export class ImportFault extends Error {
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

export async function writeImport(files: ReadonlyMap<string, string>, folder: string, isForced: boolean): Promise<void> {
  const taken = [...files.keys()].map((name) => join(folder, name)).filter((file) => existsSync(file))
  if (taken.length > 0 && !isForced) throw new ImportFault(taken.map((file) => `${file} exists already. Name another folder by --output, or write over it by --force.`))
  await checkImport(files)
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of files) writeFileSync(join(folder, name), text, isForced ? {} : { flag: 'wx' })
}

/** Throws ImportFault with all that a gateway would say at its start. */
export async function checkImport(files: ReadonlyMap<string, string>): Promise<void> {
  const trial = mkdtempSync(join(tmpdir(), 'tollgate-import-'))
  try {
    for (const [name, text] of files) writeFileSync(join(trial, name), text)
    const faults: string[] = []
    const config = readConfig(join(trial, 'tollgate.yaml'), {})
    if ('faults' in config) faults.push(...config.faults.map(faultText))
    const directory = readDirectoryText(files.get('clients.yaml')!, 'clients.yaml')
    if ('faults' in directory) faults.push(...directory.faults)
    const rules = files.get('rules.yaml')
    const parsed = rules === undefined ? null : parseRuleset(rules, 'rules.yaml', new Map())
    if (parsed !== null && 'faults' in parsed) faults.push(...parsed.faults.map(({ line, path, message }) => `rules.yaml:${line}: ${path}: ${message}`))
    if (files.has('aliases.yaml')) {
      await readAliases(join(trial, 'aliases.yaml'), { lowerCaseLocalPart: true }).catch((error: Error) => faults.push(error.message))
    }
    if (faults.length > 0) throw new ImportFault(['What came out of the import would not start:', ...faults.map((fault) => `  ${fault.replaceAll(`${trial}/`, '')}`)])
  } finally {
    rmSync(trial, { recursive: true })
  }
}
