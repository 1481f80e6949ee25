/**
 * The section `plugins` of the configuration: a list for each kind of plug-in, so that one kind may be there twice.
 *
 * Why  `onFailure` has no default: whether mail goes on without a virus scanner, or an archive, is for the one who
 *      runs it to say.
 */
import { Type } from 'typebox'

const strict = { additionalProperties: false }
const whole = (fallback: number, minimum = 1) => Type.Integer({ minimum, default: fallback })

type Direction = 'inbound' | 'outbound'
type Wanted = { name: string; directions?: Direction[]; maxBytes: number; timeLimitMs: number }

/** What every plug-in has: when it wants a message, and what happens where it fails. */
const shared = ({ name, directions = ['inbound', 'outbound'], maxBytes, timeLimitMs }: Wanted) => ({
  name: Type.String({
    pattern: '^[a-z0-9][a-z0-9-]{0,40}$',
    default: name,
    description: 'a short name of lower-case letters, digits and hyphens',
  }),
  directions: Type.Array(Type.Enum(['inbound', 'outbound']), { minItems: 1, default: directions }),
  networkClasses: Type.Array(Type.Enum(['public', 'device', 'trusted']), {
    minItems: 1,
    default: ['public', 'device', 'trusted'],
  }),
  maxBytes: whole(maxBytes),
  timeLimitMs: whole(timeLimitMs),
  /** Messages that it has at once; others wait, within their time limit. */
  concurrent: whole(10),
  onFailure: Type.Enum(['open', 'closed']),
})

/** `host:port`, `[v6]:port` or the path of a Unix socket. */
const DaemonAddress = (fallback: string) =>
  Type.String({
    pattern: '^(/.+|(\\[[0-9a-fA-F:]+\\]|[^:\\s/]+):\\d{1,5})$',
    default: fallback,
    description: 'address and port, like 127.0.0.1:3310, or the path of a Unix socket, like /run/clamav/clamd.ctl',
  })

export const ClamdSettings = Type.Object(
  {
    ...shared({ name: 'clamd', maxBytes: 25_000_000, timeLimitMs: 60_000 }),
    address: DaemonAddress('/run/clamav/clamd.ctl'),
  },
  strict,
)

/** From which score on a message is called `probable` and `certain` spam. */
const scores = (probable: number, certain: number) =>
  Type.Object(
    { probable: Type.Number({ default: probable }), certain: Type.Number({ default: certain }) },
    { ...strict, default: {} },
  )

const Url = (fallback?: string) =>
  Type.String({
    pattern: '^https?://[^\\s/]+(/\\S*)?$',
    description: 'a URL like http://127.0.0.1:8000/scan',
    ...(fallback === undefined ? {} : { default: fallback }),
  })

export const RspamdSettings = Type.Object(
  {
    ...shared({ name: 'rspamd', maxBytes: 50_000_000, timeLimitMs: 30_000 }),
    url: Url('http://127.0.0.1:11333'),
    password: Type.Optional(Type.String({ pattern: '^[\\x21-\\x7e]+$', description: 'printable ASCII without blanks' })),
    scores: scores(6, 15),
  },
  strict,
)

export const SpamdSettings = Type.Object(
  {
    ...shared({ name: 'spamd', maxBytes: 1_000_000, timeLimitMs: 60_000 }),
    address: DaemonAddress('127.0.0.1:783'),
    /** Whose preferences count. */
    user: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._@+-]+$', description: 'name of a user, without blanks' })),
    scores: scores(5, 10),
  },
  strict,
)

export const HttpSettings = Type.Object(
  {
    ...shared({ name: 'http', maxBytes: 50_000_000, timeLimitMs: 30_000 }),
    url: Url(),
    /** PEM, for `https:`: who may vouch for the server, in place of those that Node trusts. */
    caFile: Type.Optional(Type.String({ minLength: 1 })),
    /** Sent as `Authorization: Bearer …`. */
    token: Type.Optional(Type.String({ pattern: '^[\\x21-\\x7e]+$', description: 'printable ASCII without blanks' })),
  },
  strict,
)

export const DkimSettings = Type.Object(
  {
    ...shared({ name: 'dkim', directions: ['outbound'], maxBytes: 100_000_000, timeLimitMs: 60_000 }),
    keys: Type.Array(
      Type.Object(
        {
          domain: Type.String({ pattern: '^[^@\\s]+$', description: 'a domain like example.org, without "@" and blanks' }),
          selector: Type.String({ pattern: '^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$', description: 'a name of letters, digits, dots and hyphens' }),
          /** PEM, without a passphrase. */
          file: Type.String({ minLength: 1 }),
        },
        strict,
      ),
      { minItems: 1 },
    ),
  },
  strict,
)

export const ArchiveSettings = Type.Object(
  {
    ...shared({ name: 'archive', maxBytes: 1_000_000_000, timeLimitMs: 60_000 }),
    /** Default: `archive/<name>` in the data folder. */
    folder: Type.Optional(Type.String({ minLength: 1 })),
    /** 0: for ever. */
    keepDays: whole(3_650, 0),
    /** For mail from or to a domain, or that a rule hit; the longest that fits counts. */
    keep: Type.Array(
      Type.Object(
        {
          domain: Type.Optional(Type.String({ pattern: '^[^@\\s]+$', description: 'a domain like example.org, without "@" and blanks' })),
          rule: Type.Optional(Type.String({ minLength: 1 })),
          days: Type.Integer({ minimum: 0, maximum: 36_500 }),
        },
        strict,
      ),
      { default: [] },
    ),
  },
  strict,
)

const Texts = (description: string) => Type.Array(Type.String({ minLength: 1, maxLength: 500, description }), { default: [] })

export const ContentSettings = Type.Object(
  {
    ...shared({ name: 'content', directions: ['outbound'], maxBytes: 50_000_000, timeLimitMs: 60_000 }),
    /** Decoded text that is looked at. */
    textBytes: whole(1_000_000),
    lists: Type.Array(
      Type.Object(
        {
          /** The result where it fits. */
          name: Type.String({
            pattern: '^[a-z0-9][a-z0-9-]{0,40}$',
            description: 'a short name of lower-case letters, digits and hyphens',
          }),
          words: Texts('a word or phrase'),
          patterns: Texts('a pattern'),
          fileNames: Texts('a pattern'),
          sha256: Type.Array(Type.String({ pattern: '^[0-9a-fA-F]{64}$', description: '64 hexadecimal digits' }), { default: [] }),
        },
        strict,
      ),
      { minItems: 1 },
    ),
  },
  strict,
)

export const CloneSettings = Type.Object(
  {
    ...shared({ name: 'clone', directions: ['inbound'], maxBytes: 1_000_000_000, timeLimitMs: 10_000 }),
    /** Its route leads to the other server. */
    domain: Type.String({ pattern: '^[^@\\s]+$', description: 'a domain like clone.example.org, without "@" and blanks' }),
    /** Domains that are cloned; none: all of them. */
    of: Type.Array(Type.String({ minLength: 1 }), { default: [] }),
  },
  strict,
)

export const PluginSettings = Type.Object(
  {
    clamd: Type.Array(ClamdSettings, { default: [] }),
    rspamd: Type.Array(RspamdSettings, { default: [] }),
    spamd: Type.Array(SpamdSettings, { default: [] }),
    http: Type.Array(HttpSettings, { default: [] }),
    content: Type.Array(ContentSettings, { default: [] }),
    clone: Type.Array(CloneSettings, { default: [] }),
    dkim: Type.Array(DkimSettings, { default: [] }),
    archive: Type.Array(ArchiveSettings, { default: [] }),
  },
  { ...strict, default: {} },
)
