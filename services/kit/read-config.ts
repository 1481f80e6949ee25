/**
 * Reads `tollgate.yaml` and the environment into a Config with absolute paths, once, in main.
 *
 * Owns    finding the file, merging file and environment, reporting all faults together.
 * Leaves  names and ranges to config.ts; whether the world allows it (port free, folder writable) to the services.
 * Fails   never throws for what the file says, or for a file that cannot be read: both are faults.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { configFaults } from './config-faults.ts'
import { readVariables } from './config-variables.ts'
import { Config } from './config.ts'
import { inReadingOrder, type Fault } from './fault.ts'
import { readYaml } from './read-yaml.ts'

export type ConfigReading = { config: Config; warnings: string[] } | { faults: Fault[] }

/** The file to read when none is named: `TOLLGATE_CONFIG`, else `tollgate.yaml` where there is one. */
export function configFile(environment: NodeJS.ProcessEnv, folder: string): string | null {
  const named = environment['TOLLGATE_CONFIG']
  if (named !== undefined && named !== '') return named
  return existsSync(resolve(folder, 'tollgate.yaml')) ? 'tollgate.yaml' : null
}

/** `path` null: defaults and environment alone. Relative paths in the file are relative to its folder. */
export function readConfig(path: string | null, environment: NodeJS.ProcessEnv = process.env): ConfigReading {
  const text = path === null ? { text: '' } : readText(path)
  if ('faults' in text) return text
  const variables = readVariables(environment)
  const reading = readYaml(Config, text.text, path ?? 'defaults', variables.overrides)
  const faults = [...reading.faults, ...variables.faults]
  // Also with faults: whoever mends a file should see all of them at once.
  if (reading.value !== undefined) faults.push(...configFaults(reading.value, reading.placeOf))
  if (faults.length > 0) return { faults: inReadingOrder(faults) }
  const config = withAbsolutePaths(reading.value, (field) => {
    return path === null || variables.overrides.has(field) ? process.cwd() : dirname(resolve(path))
  })
  return { config, warnings: [...variables.warnings, ...warningsOf(config)] }
}

function readText(path: string): { text: string } | { faults: Fault[] } {
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path)) }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    const fault = { source: path, line: null, column: null, field: '' }
    if (code === 'ENOENT') return { faults: [{ ...fault, message: 'there is no such file', remedy: 'Name another one with --config FILE, or leave it out for the defaults' }] }
    if (code === 'EISDIR') return { faults: [{ ...fault, message: 'this is a folder', remedy: 'Name the file in it with --config FILE' }] }
    if (code === 'EACCES') return { faults: [{ ...fault, message: 'the file may not be read', remedy: 'Give the user who runs tollgate the right to read it' }] }
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return { faults: [{ ...fault, message: 'the file is not UTF-8', remedy: 'Save it as UTF-8' }] }
    throw error
  }
}

function withAbsolutePaths(config: Config, folderOf: (field: string) => string): Config {
  const { directory, aliases } = config.recipients
  const { tls, users } = config.smtp
  const { countryFile } = config.checks
  return {
    ...config,
    data: resolve(folderOf('data'), config.data),
    ...(config.rules === undefined ? {} : { rules: resolve(folderOf('rules'), config.rules) }),
    smtp: {
      ...config.smtp,
      ...(users === undefined ? {} : { users: resolve(folderOf('smtp.users'), users) }),
      ...(tls === undefined
        ? {}
        : {
            tls: {
              ...tls,
              certificate: resolve(folderOf('smtp.tls.certificate'), tls.certificate),
              key: resolve(folderOf('smtp.tls.key'), tls.key),
            },
          }),
    },
    checks: {
      ...config.checks,
      ...(countryFile === undefined ? {} : { countryFile: resolve(folderOf('checks.countryFile'), countryFile) }),
    },
    plugins: {
      ...config.plugins,
      http: config.plugins.http.map((plugin) => ({
        ...plugin,
        ...(plugin.caFile === undefined ? {} : { caFile: resolve(folderOf('plugins.http'), plugin.caFile) }),
      })),
      dkim: config.plugins.dkim.map((plugin) => ({
        ...plugin,
        keys: plugin.keys.map((key) => ({ ...key, file: resolve(folderOf('plugins.dkim'), key.file) })),
      })),
      archive: config.plugins.archive.map((plugin) => ({
        ...plugin,
        ...(plugin.folder === undefined ? {} : { folder: resolve(folderOf('plugins.archive'), plugin.folder) }),
      })),
    },
    recipients: {
      ...config.recipients,
      ...(aliases === undefined ? {} : { aliases: resolve(folderOf('recipients.aliases'), aliases) }),
      ...(directory === undefined ? {} : { directory: resolve(folderOf('recipients.directory'), directory) }),
    },
  }
}

/** What is allowed and most likely not meant. */
function warningsOf(config: Config): string[] {
  const warnings: string[] = []
  const routed = new Set(config.routes.map((route) => route.domain.toLowerCase()))
  const unrouted = routed.has('*') ? [] : config.recipients.domains.filter((domain) => !routed.has(domain.toLowerCase()))
  if (unrouted.length > 0) {
    warnings.push(`there is no route for ${unrouted.join(', ')}: mail for it stays in the queue; add it to "routes"`)
  }
  const { directory } = config.recipients
  if (directory !== undefined && !existsSync(directory)) {
    warnings.push(`the file of recipients.directory is not there (${directory}): every recipient gets a temporary refusal`)
  }
  if (config.policy.url !== undefined && /^http:\/\/(?!(127\.|\[::1\]|localhost[:/]|localhost$))/.test(config.policy.url)) {
    warnings.push('policy.url is not https: everybody on the way can read the token and the rules')
  }
  if (config.rules !== undefined && !existsSync(config.rules)) {
    warnings.push(`the file of "rules" is not there (${config.rules})`)
  }
  return warnings
}
