/**
 * A rule set as data: what a file holds, what is stored, published, hashed and replayed (DESIGN §4).
 *
 * Owns    the shape and the ranges of every part of it.
 * Leaves  what needs more than a shape (an attribute's stage, a regular expression, a list that exists) to
 *         ruleset-faults.ts, which every way into the product goes through.
 */
import { Type, type Static, type TSchema } from 'typebox'
import { stages } from '../contracts/vocabulary.ts'

const strict = { additionalProperties: false }
const oneOf = <const Words extends string[]>(words: readonly [...Words]) => Type.Enum<Words>(words)
const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])

/** Enough for a person's rule set and far below what would make a stage slow. */
export const rulesetLimits = {
  rules: 2_000,
  conditionDepth: 16,
  conditionsPerRule: 500,
  patternLength: 1_000,
  textLength: 500,
  listEntryLength: 320,
} as const

export const ruleIdPattern = '^[a-z0-9][a-z0-9._-]{0,62}$'
export const listNamePattern = '^[a-z][a-z0-9_-]{0,62}$'
/** RFC 5322 §3.6.8 field names without `:`; a value is one line of printable ASCII. */
export const headerNamePattern = '^[A-Za-z0-9][A-Za-z0-9-]{0,62}$'
export const headerValuePattern = '^[\\x20-\\x7e]{0,500}$'
/** One line without control characters. */
export const plainTextPattern = '^[^\\x00-\\x1f\\x7f]{0,500}$'
export const enhancedCodePattern = '^[245]\\.\\d{1,3}\\.\\d{1,3}$'

/** At most three decimals, so that sums in thousandths are exact. */
export const Weight = Type.Number({ minimum: -1_000_000, maximum: 1_000_000 })

export type Condition =
  | { all: Condition[] }
  | { any: Condition[] }
  | { not: Condition }
  | { attribute: string; matches: string; caseSensitive?: boolean }
  | { attribute: string; equals: string | number | boolean; caseSensitive?: boolean }
  /** A list by its name, or its entries. */
  | { attribute: string; in: string | string[]; caseSensitive?: boolean }
  /** Networks, one network, or a list of them by its name. */
  | { attribute: string; cidr: string | string[] }
  /** Codes of ISO 3166 with two letters. */
  | { country: string | string[] }
  /** Above and below exclude the number, between includes both ends. */
  | { attribute: string; above: number }
  | { attribute: string; below: number }
  | { attribute: string; between: [number, number] }
  | { attribute: string; exists: boolean }
  /** Result of a check or plug-in; without one the condition is unknown, and the rule takes its `unknown` branch. */
  | { check: string; is: string | string[] }

const caseSensitive = Type.Optional(Type.Boolean())
const attribute = Type.String({ minLength: 1 })
const oneOrMore = Type.Union([Type.String(), Type.Array(Type.String())])

/** The same as the type, for the API; recursion is bounded by `rulesetLimits.conditionDepth` in the validator. */
export const Condition = Type.Unsafe<Condition>(
  Type.Cyclic(
    {
      Condition: Type.Union([
        Type.Object({ all: Type.Array(Type.Ref('Condition')) }, strict),
        Type.Object({ any: Type.Array(Type.Ref('Condition')) }, strict),
        Type.Object({ not: Type.Ref('Condition') }, strict),
        Type.Object({ attribute, matches: Type.String(), caseSensitive }, strict),
        Type.Object(
          { attribute, equals: Type.Union([Type.String(), Type.Number(), Type.Boolean()]), caseSensitive },
          strict,
        ),
        Type.Object({ attribute, in: oneOrMore, caseSensitive }, strict),
        Type.Object({ attribute, cidr: oneOrMore }, strict),
        Type.Object({ country: oneOrMore }, strict),
        Type.Object({ attribute, above: Type.Number() }, strict),
        Type.Object({ attribute, below: Type.Number() }, strict),
        Type.Object({ attribute, between: Type.Tuple([Type.Number(), Type.Number()]) }, strict),
        Type.Object({ attribute, exists: Type.Boolean() }, strict),
        Type.Object({ check: Type.String(), is: oneOrMore }, strict),
      ]),
    },
    'Condition',
  ),
)

const replyText = Type.String({ minLength: 1, pattern: headerValuePattern })

export const RejectReply = Type.Object(
  {
    code: Type.Optional(Type.Integer({ minimum: 500, maximum: 599 })),
    enhanced: Type.Optional(Type.String({ pattern: '^5\\.\\d{1,3}\\.\\d{1,3}$' })),
    text: replyText,
  },
  strict,
)

export const DeferReply = Type.Object(
  {
    code: Type.Optional(Type.Integer({ minimum: 400, maximum: 499 })),
    enhanced: Type.Optional(Type.String({ pattern: '^4\\.\\d{1,3}\\.\\d{1,3}$' })),
    text: replyText,
  },
  strict,
)

export const AddedHeader = Type.Object(
  { name: Type.String({ pattern: headerNamePattern }), value: Type.String({ pattern: headerValuePattern }) },
  strict,
)
export type AddedHeader = Static<typeof AddedHeader>

/** What a rule does. Weight and marks go with any action; of the actions a branch holds at most one. */
export const Branch = Type.Object(
  {
    weight: Type.Optional(Weight),
    /** Tag put before the subject, e.g. `[SPAM]`. */
    markSubject: Type.Optional(Type.String({ minLength: 1, maxLength: 60, pattern: plainTextPattern })),
    addHeader: Type.Optional(AddedHeader),
    reject: Type.Optional(RejectReply),
    defer: Type.Optional(DeferReply),
    discard: Type.Optional(Type.Literal(true)),
    quarantine: Type.Optional(Type.Literal(true)),
    /** Address that gets it instead. */
    redirect: Type.Optional(Type.String({ pattern: '^[^@\\s]+@[^@\\s]+$' })),
    /** Address that gets it too. */
    copy: Type.Optional(Type.String({ pattern: '^[^@\\s]+@[^@\\s]+$' })),
    /** Ends the rules of this stage. */
    stop: Type.Optional(Type.Literal(true)),
    /** Ends the rules of all stages and the thresholds; at `rcpt` the `rcpt` rules of this recipient alone. */
    accept: Type.Optional(Type.Literal(true)),
  },
  strict,
)
export type Branch = Static<typeof Branch>

export const branchActions = [
  'reject',
  'defer',
  'discard',
  'quarantine',
  'redirect',
  'copy',
  'stop',
  'accept',
] as const

export const ruleModes = ['active', 'shadow', 'off'] as const
export type RuleMode = (typeof ruleModes)[number]

export const Rule = Type.Object(
  {
    id: Type.String({ pattern: ruleIdPattern }),
    revision: Type.Integer({ minimum: 1, maximum: 2_147_483_647 }),
    name: Type.String({ minLength: 1, maxLength: 200, pattern: plainTextPattern }),
    stage: oneOf(stages),
    mode: oneOf(ruleModes),
    when: Condition,
    then: Branch,
    else: Type.Optional(Branch),
    /** Where nobody can tell whether `when` holds; without it such a rule does nothing. */
    unknown: Type.Optional(Branch),
  },
  strict,
)
export type Rule = Static<typeof Rule>

export const Ruleset = Type.Object(
  {
    name: Type.Optional(Type.String({ maxLength: 200, pattern: plainTextPattern })),
    /** A message of at least this weight is marked; `null`: never by weight. */
    markAt: orNull(Weight),
    /** A message of at least this weight is refused at `complete`; `null`: never by weight. */
    rejectAt: orNull(Weight),
    /** Tag put before the subject of a message marked by weight; without it only headers are added. */
    subjectTag: Type.Optional(Type.String({ minLength: 1, maxLength: 60, pattern: plainTextPattern })),
    /**
     * When a verdict of a `header` rule is answered. Many clients misread a refusal before the end of data as a
     * broken connection and try again: the default is `complete`.
     */
    decideHeaderRulesAt: Type.Optional(Type.Enum(['complete', 'header'])),
    lists: Type.Record(Type.String({ pattern: listNamePattern }), Type.Array(Type.String())),
    /** In the order in which they run within their stage. */
    rules: Type.Array(Rule, { maxItems: rulesetLimits.rules }),
  },
  strict,
)
export type Ruleset = Static<typeof Ruleset>
