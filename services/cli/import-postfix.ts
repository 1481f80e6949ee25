/** `tollgate import postfix DIR`: files of ours, and a report of every line. */
import { join, resolve } from 'node:path'
import { reportText, type Verdict } from '../gateway/import-postfix/import-report.ts'
import { translatePostfix } from '../gateway/import-postfix/translate-postfix.ts'
import { checkImport, ImportFault, writeImport } from '../gateway/import-postfix/write-import.ts'
import { UsageError } from './outcome.ts'

export type PostfixImportOptions = { output: string; isForced: boolean; isDryRun: boolean }

export async function importPostfix(folder: string, { output, isForced, isDryRun }: PostfixImportOptions): Promise<void> {
  let translation
  try {
    translation = translatePostfix(resolve(folder))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    throw new UsageError(`${join(folder, 'main.cf')} cannot be read (${String(error.code)}). Name the folder that holds main.cf, like /etc/postfix.`)
  }
  const { files, report } = translation
  try {
    if (isDryRun) await checkImport(files)
    else await writeImport(files, resolve(output), isForced)
  } catch (error) {
    if (error instanceof ImportFault) throw new UsageError(error.faults)
    throw error
  }
  const countOf = (verdict: Verdict): number => report.filter((line) => line.verdict === verdict).length
  const made = [...files.keys()].map((name) => join(output, name)).join(', ')
  process.stdout.write([
    ...report.map(reportText),
    `${countOf('translated')} translated, ${countOf('irrelevant')} irrelevant, ${countOf('not translated')} not translated.`,
    `${isDryRun ? 'Would be written' : 'Written'}: ${made}`,
    '',
  ].join('\n'))
}
