/** The configuration of one command: the file, the environment, and what `--demo` changes. */
import { resolve } from 'node:path'
import type { Config } from '../kit/config.ts'
import { faultText } from '../kit/fault.ts'
import { configFile, readConfig } from '../kit/read-config.ts'
import { UsageError } from './outcome.ts'

/** Prints warnings to stderr. Throws UsageError with all faults. */
export function commandConfig(file: string | undefined, warn: (warning: string) => void): Config {
  const path = file === undefined ? configFile(process.env, process.cwd()) : resolve(file)
  const reading = readConfig(path, process.env)
  if ('faults' in reading) {
    const count = reading.faults.length
    const summary = count === 1 ? 'The configuration has one mistake:' : `The configuration has ${count} mistakes:`
    throw new UsageError([summary, ...reading.faults.map((fault) => `  ${faultText(fault)}`)])
  }
  reading.warnings.forEach(warn)
  return reading.config
}
