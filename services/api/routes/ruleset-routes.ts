/** Published rule sets: their versions, what one changes against another, and publishing itself. */
import { Type } from 'typebox'
import { ApiError } from '../../contracts/api.ts'
import {
  PublishedVersion,
  PublishRequest,
  rulesBodyBytes,
  RulesetContent,
  RulesetDiff,
  RulesetDiffQuery,
  RulesetVersions,
  RulesetVersionsQuery,
} from '../../contracts/published-rules.ts'
import { diffRulesets } from '../../rules/diff-rulesets.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { publishRules, versionView } from '../policy/publish-rules.ts'
import { rulesetDraft } from '../policy/ruleset-draft.ts'
import { versionContent, versionsBelow, type VersionContent } from '../policy/ruleset-versions.ts'
import { parsedRules } from '../policy/rules-text.ts'
import type { SnapshotPublisher } from '../policy/snapshot-publisher.ts'

const reading = { config: { roles: ['admin', 'operator', 'viewer'] } } as const
const params = Type.Object({ version: Type.Integer({ minimum: 1, maximum: 2_147_483_647 }) })

export function addRulesetRoutes(server: ApiServer, context: ApiContext, snapshots: SnapshotPublisher): void {
  const { database, tenantId, config } = context

  server.post(
    '/rulesets',
    {
      config: { roles: ['admin', 'operator'] },
      bodyLimit: rulesBodyBytes,
      schema: {
        summary: 'Publish a text, the draft, or an old version again; gateways take it within seconds',
        body: PublishRequest,
        response: { 201: PublishedVersion, 400: ApiError, 404: ApiError, 409: ApiError },
      },
    },
    async (request, reply) => {
      const by = loginOfRequest(request).name
      const published = await publishRules({ database, tenantId, rulesFile: config.rules, by }, request.body)
      await snapshots.pass()
      return await reply.code(201).send(published)
    },
  )

  server.get(
    '/rulesets',
    {
      ...reading,
      schema: { summary: 'The versions, newest first', querystring: RulesetVersionsQuery, response: { 200: RulesetVersions, 400: ApiError } },
    },
    async ({ query }) => {
      const { cursor = null, limit = 50 } = query
      const rows = await versionsBelow(database, tenantId, { below: cursor, limit: limit + 1 })
      const versions = rows.slice(0, limit).map(versionView)
      return { versions, nextCursor: rows.length > limit ? versions.at(-1)!.version : null }
    },
  )

  server.get(
    '/rulesets/:version',
    { ...reading, schema: { summary: 'One version, as it was written', params, response: { 200: RulesetContent, 400: ApiError, 404: ApiError } } },
    async (request) => {
      const found = await foundVersion(request.params.version)
      return { ...versionView(found), text: found.text }
    },
  )

  server.get(
    '/rulesets/:version/diff',
    {
      ...reading,
      schema: {
        summary: 'What another version, or the draft, changes against this one',
        params,
        querystring: RulesetDiffQuery,
        response: { 200: RulesetDiff, 400: ApiError, 404: ApiError },
      },
    },
    async ({ params: { version }, query }) => {
      const before = await foundVersion(version)
      return diffRulesets(before.ruleset, query.against === 'draft' ? await draftRules() : (await foundVersion(Number(query.against))).ruleset)
    },
  )

  async function foundVersion(version: number): Promise<VersionContent> {
    const found = await versionContent(database.kysely, tenantId, version)
    if (found === null) throw new ApiFault('not-found', `There is no version ${version} of the rules`)
    return found
  }

  async function draftRules(): Promise<Ruleset> {
    const { text } = await rulesetDraft(database.kysely, tenantId)
    if (text === null) throw new ApiFault('not-found', 'There is no draft now')
    return parsedRules(text)
  }
}
