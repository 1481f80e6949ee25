/** The rule set in force, its versions, the draft somebody works on, and what one message would get from either. */
import { Type, type Static, type TSchema } from 'typebox'
import { outcomes, reasons, stages } from './vocabulary.ts'

const oneOf = <const Words extends string[]>(words: readonly [...Words]) => Type.Enum<Words>(words)
const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
const strict = { additionalProperties: false }
const time = Type.String({ format: 'date-time' })
const count = Type.Integer({ minimum: 0 })
const versionNumber = Type.Integer({ minimum: 1, maximum: 2_147_483_647 })
/** YAML or JSON with its lists in it. */
const rulesText = Type.String({ maxLength: 4_000_000 })
/** Room for such a text as JSON. */
export const rulesBodyBytes = 16 * 1024 * 1024
const ruleMode = Type.Enum(['active', 'shadow', 'off'])

export const RulesFault = Type.Object({
  line: Type.Integer(),
  column: Type.Integer(),
  path: Type.String(),
  message: Type.String(),
  remedy: Type.Optional(Type.String()),
})

export const RulesQuery = Type.Object({ days: Type.Optional(Type.Integer({ minimum: 1, maximum: 400 })) }, strict)

export const RulesDraft = Type.Object({
  /** 0: nobody ever worked on one. Name it with the next change. */
  revision: count,
  /** `null`: there is none now. */
  text: orNull(Type.String()),
  changedAt: orNull(time),
  changedBy: orNull(Type.String()),
})
export type RulesDraft = Static<typeof RulesDraft>

export const RulesInForce = Type.Object({
  /** `file`: the setting `rules` names one, which governs; nothing can be published then. */
  source: Type.Enum(['file', 'published', 'none']),
  file: orNull(Type.String()),
  /** 0: none was published. With a file it is the one that would be in force without. */
  version: count,
  hash: orNull(Type.String()),
  text: orNull(Type.String()),
  publishedAt: orNull(time),
  publishedBy: orNull(Type.String()),
  note: orNull(Type.String()),
  /** Of the file as it is now: the gateway keeps the rules from before. */
  faults: Type.Array(RulesFault),
  /** In the order in which they run. */
  rules: Type.Array(
    Type.Object({
      id: Type.String(),
      revision: Type.Integer(),
      name: Type.String(),
      stage: oneOf(stages),
      mode: ruleMode,
      /** Over the last `days`, in whole hours that are rolled up. */
      transactionCount: Type.String(),
      hitCount: Type.String(),
      shadowHitCount: Type.String(),
      /** Begin of the hour. */
      lastHitHour: orNull(time),
    }),
  ),
  days: Type.Integer(),
  draft: RulesDraft,
})
export type RulesInForce = Static<typeof RulesInForce>

export const DraftRequest = Type.Object(
  {
    /** `null` drops it. */
    text: orNull(rulesText),
    /** The one that this change was made on. */
    revision: count,
  },
  strict,
)

export const RulesCheckRequest = Type.Object({ text: rulesText }, strict)
export const RulesCheck = Type.Object({
  hash: Type.String(),
  ruleCount: count,
  /** Rules that mean something else than those in force under the same revision: their hits could not be told apart. */
  forgottenRevisions: Type.Array(Type.String()),
})
export type RulesCheck = Static<typeof RulesCheck>

/** One of `text`, `draftRevision` and `revertTo`. */
export const PublishRequest = Type.Object(
  {
    text: Type.Optional(rulesText),
    draftRevision: Type.Optional(count),
    revertTo: Type.Optional(versionNumber),
    /** The version that was in force when this was made; 0: none was. */
    baseVersion: count,
    note: Type.Optional(Type.String({ maxLength: 500 })),
  },
  strict,
)
export type PublishRequest = Static<typeof PublishRequest>

export const RulesetVersion = Type.Object({
  version: versionNumber,
  hash: Type.String(),
  publishedAt: time,
  publishedBy: Type.String(),
  note: orNull(Type.String()),
  /** The version whose content it brought back. */
  reverts: orNull(versionNumber),
})
export type RulesetVersion = Static<typeof RulesetVersion>

export const PublishedVersion = Type.Object({
  ...RulesetVersion.properties,
  forgottenRevisions: RulesCheck.properties.forgottenRevisions,
})
export type PublishedVersion = Static<typeof PublishedVersion>

export const RulesetVersionsQuery = Type.Object(
  { cursor: Type.Optional(versionNumber), limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })) },
  strict,
)
export const RulesetVersions = Type.Object({
  versions: Type.Array(RulesetVersion),
  /** For the next page; `null`: this was the last one. */
  nextCursor: orNull(versionNumber),
})
export const RulesetContent = Type.Object({ ...RulesetVersion.properties, text: Type.String() })

const fieldChanges = Type.Array(Type.Object({ field: Type.String(), before: Type.Unknown(), after: Type.Unknown() }))
/** What the version changes against the other one; rules as they stand in a rule set. */
export const RulesetDiff = Type.Object({
  isSame: Type.Boolean(),
  settings: fieldChanges,
  added: Type.Array(Type.Unknown()),
  removed: Type.Array(Type.Unknown()),
  changed: Type.Array(
    Type.Object({ ruleId: Type.String(), fields: fieldChanges, isRevisionForgotten: Type.Boolean() }),
  ),
  moved: Type.Array(Type.String()),
  lists: Type.Array(
    Type.Object({
      name: Type.String(),
      addedCount: count,
      removedCount: count,
      kind: Type.Enum(['added', 'removed', 'changed']),
    }),
  ),
})
export const RulesetDiffQuery = Type.Object(
  { against: Type.String({ pattern: '^(draft|[1-9]\\d{0,8})$', description: 'the number of a version, or draft' }) },
  strict,
)

export const ExplainRequest = Type.Object(
  {
    messageId: Type.String(),
    /** Default: the draft, else the rules in force. */
    text: Type.Optional(rulesText),
  },
  strict,
)
export const RulesExplanation = Type.Object({
  messageId: Type.String(),
  /** Of the rules that explain it, and whether those are the ones that judged it. */
  hash: Type.String(),
  isJudgedByThese: Type.Boolean(),
  then: Type.Object({
    outcome: oneOf(outcomes),
    stage: oneOf(stages),
    reason: orNull(Type.String()),
    weight: Type.Number(),
  }),
  /** `outcome` null: not decidable, as `stage` was never reached. */
  now: Type.Object({
    outcome: orNull(oneOf(outcomes)),
    stage: oneOf(stages),
    reason: orNull(oneOf(reasons)),
    decidingRuleId: orNull(Type.String()),
    weight: Type.Number(),
    marks: Type.Array(Type.String()),
  }),
  rules: Type.Array(
    Type.Object({
      ruleId: Type.String(),
      revision: Type.Integer(),
      name: Type.String(),
      mode: ruleMode,
      stage: oneOf(stages),
      recipient: orNull(Type.Integer()),
      result: Type.Enum(['hit', 'else', 'missed', 'unknown', 'not-run']),
      isLogged: Type.Boolean(),
      attribute: orNull(Type.String()),
      matchedText: orNull(Type.String()),
      action: Type.String(),
      marks: Type.Array(Type.String()),
      weight: Type.Number(),
      weightBefore: Type.Number(),
      weightAfter: Type.Number(),
      whyNot: orNull(Type.String()),
    }),
  ),
})
export type RulesExplanation = Static<typeof RulesExplanation>
