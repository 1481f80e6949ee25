/** Rules: the set in force, the draft of the next one, and what a text of rules would do. */
import { ApiError } from '../../contracts/api.ts'
import {
  DraftRequest,
  ExplainRequest,
  rulesBodyBytes,
  RulesCheck,
  RulesCheckRequest,
  RulesDraft,
  RulesExplanation,
  RulesInForce,
  RulesQuery,
} from '../../contracts/published-rules.ts'
import { rulesetHash } from '../../rules/ruleset-hash.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { explainMessage } from '../policy/explain-message.ts'
import { forgottenRevisions, takeDraft } from '../policy/publish-rules.ts'
import { rulesetDraft } from '../policy/ruleset-draft.ts'
import { rulesetInForce, rulesInForce } from '../policy/rules-in-force.ts'
import { parsedRules, refuseUnstorable } from '../policy/rules-text.ts'

const tuning = { config: { roles: ['admin', 'operator'] }, bodyLimit: rulesBodyBytes } as const
const reading = { config: { roles: ['admin', 'operator', 'viewer'] }, bodyLimit: rulesBodyBytes } as const
const noRules: Ruleset = { markAt: null, rejectAt: null, lists: {}, rules: [] }

export function addRulesRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId } = context

  server.get(
    '/rules',
    {
      ...reading,
      schema: {
        summary: 'The rule set in force with what each rule did lately, and the draft of the next one',
        querystring: RulesQuery,
        response: { 200: RulesInForce, 400: ApiError },
      },
    },
    ({ query }) => rulesInForce(context, query.days ?? 30),
  )

  server.put(
    '/rules',
    {
      ...tuning,
      schema: {
        summary: 'Save the draft, or drop it; only what has no faults is saved',
        body: DraftRequest,
        response: { 200: RulesDraft, 400: ApiError, 409: ApiError },
      },
    },
    async (request) => {
      const { text, revision } = request.body
      if (text !== null) refuseUnstorable(parsedRules(text))
      const change = { text, revision, by: loginOfRequest(request).name }
      return await database.kysely.transaction().execute((transaction) => takeDraft(transaction, tenantId, change))
    },
  )

  server.post(
    '/rules/check',
    {
      ...reading,
      schema: {
        summary: 'Tell every fault of a text of rules; nothing is saved',
        body: RulesCheckRequest,
        response: { 200: RulesCheck, 400: ApiError },
      },
    },
    async ({ body }) => {
      const ruleset = parsedRules(body.text)
      const forgotten = forgottenRevisions(await rulesetInForce(context), ruleset)
      return { hash: rulesetHash(ruleset), ruleCount: ruleset.rules.length, forgottenRevisions: forgotten }
    },
  )

  server.post(
    '/rules/explain',
    {
      ...reading,
      schema: {
        summary: 'Every rule in order for one stored message, under a text, else the draft, else the rules in force',
        body: ExplainRequest,
        response: { 200: RulesExplanation, 400: ApiError, 404: ApiError },
      },
    },
    async ({ body }) => {
      const draft = body.text ?? (await rulesetDraft(database.kysely, tenantId)).text
      const ruleset = draft === null ? await rulesetInForce(context) : parsedRules(draft)
      const explanation = await explainMessage(database, tenantId, body.messageId, ruleset ?? noRules)
      if (explanation === null)
        throw new ApiFault('not-found', 'There is no such message, or its details were removed or are not ingested yet')
      return explanation
    },
  )
}
