/** `tollgate rules publish FILE`, `rules revert N` and `rules versions`: what the API does, from the command line. */
import { ApiFault } from '../api/api-fault.ts'
import { publishRules } from '../api/policy/publish-rules.ts'
import { versionContent, versionsBelow } from '../api/policy/ruleset-versions.ts'
import type { PublishRequest } from '../contracts/published-rules.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import { readListTexts } from '../gateway/policy/load-rules.ts'
import type { Config } from '../kit/config.ts'
import { withInlineLists } from '../rules/inline-lists.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError, WorldFailure } from './outcome.ts'
import { readInput } from './read-input.ts'
import { readRules } from './read-rules.ts'
import { textTable } from './text-table.ts'

export type PublishCommand = { note?: string; isDemo: boolean }

export async function publishRulesFile(configured: Config, file: string, options: PublishCommand): Promise<void> {
  const text = readInput(file)
  // Faults are told as `rules check` tells them, before any database is asked.
  await readRules(file)
  await publish(configured, { text: withInlineLists(text, await readListTexts(file, text)) }, options)
}

export async function revertRules(configured: Config, version: number, options: PublishCommand): Promise<void> {
  await publish(configured, { revertTo: version }, options)
}

async function publish(configured: Config, what: Partial<PublishRequest>, { note, isDemo }: PublishCommand): Promise<void> {
  await withCommandDatabase(configured, { isDemo }, async ({ database, config }) => {
    await ensureTenant(database, config.tenant)
    const inForce = await versionContent(database.kysely, config.tenant, null)
    const request = { ...what, baseVersion: inForce?.version ?? 0, ...(note === undefined ? {} : { note }) }
    const by = { database, tenantId: config.tenant, rulesFile: config.rules, by: 'command line' }
    const { version, hash, forgottenRevisions } = await publishRules(by, request).catch((error: unknown) => {
      if (!(error instanceof ApiFault)) throw error
      throw error.code === 'conflict' ? new WorldFailure(`${error.message}.`) : new UsageError(`${error.message}.`)
    })
    process.stdout.write(`Version ${version} is published (${hash.slice(0, 16)}); gateways take it within seconds where the api runs.\n`)
    if (forgottenRevisions.length > 0)
      process.stderr.write(
        `Note: ${forgottenRevisions.join(', ')} mean something else under the same revision, so hits in the log cannot be told apart. Raise it.\n`,
      )
  })
}

export async function showVersions(
  configured: Config,
  { limit, format, isDemo }: { limit: number; format: 'table' | 'json'; isDemo: boolean },
): Promise<void> {
  await withCommandDatabase(configured, { isDemo }, async ({ database, config }) => {
    const versions = await versionsBelow(database, config.tenant, { below: null, limit })
    if (format === 'json') process.stdout.write(versions.map((version) => `${JSON.stringify(version)}\n`).join(''))
    else if (versions.length === 0) process.stdout.write('Nothing was published yet.\n')
    else
      process.stdout.write(
        textTable(
          ['version', 'published', 'by', 'hash', 'note'],
          versions.map(({ version, publishedAt, publishedBy, hash, note, reverts }) => [
            String(version),
            publishedAt.toISOString().slice(0, 19).replace('T', ' '),
            publishedBy,
            hash.slice(0, 16),
            [reverts === null ? '' : `back to ${reverts}`, note ?? ''].filter((part) => part !== '').join(': '),
          ]),
          [7, 19, 20, 16, 60],
        ),
      )
  })
}
