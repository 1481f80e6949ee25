/**
 * The configuration file `tollgate.yaml` as a schema: every setting with its default, so an empty file runs.
 *
 * Owns    names, types, ranges and defaults of all settings.
 * Leaves  reading, environment overrides and fault reports with line numbers to read-config.ts.
 * Why     services get the parsed value passed down and never read files or the environment themselves.
 */
import { Type, type Static } from 'typebox'
import { PluginSettings } from './plugin-settings.ts'

const strict = { additionalProperties: false }
const Path = Type.String({ minLength: 1 })
/** `host:port`, `[v6]:port`. */
const socketAddressPattern = '^(\\[[0-9a-fA-F:]+\\]|[^:\\s]+):\\d{1,5}$'
const socketAddressText = 'address and port, like 127.0.0.1:2525 or [::1]:2525'
const SocketAddress = Type.String({ pattern: socketAddressPattern, description: socketAddressText })
const Domain = Type.String({ pattern: '^[^@\\s]+$', description: 'a domain like example.org, without "@" and blanks' })
const Cidr = Type.String({
  pattern: '^[0-9a-fA-F:.]+(/\\d{1,3})?$',
  description: 'an address and the number of its fixed bits, like 192.0.2.0/24 or 2001:db8::/32',
})
const shortName = (pattern: string, fallback: string) =>
  Type.String({ pattern, default: fallback, description: 'a short name of lower-case letters, digits and hyphens' })
const disabledAnswers = ['accept', 'accept-unbilled', 'defer', 'refuse'] as const
const DisabledAnswer = (fallback: (typeof disabledAnswers)[number]) => Type.Enum([...disabledAnswers], { default: fallback })
const limit = (fallback: number, minimum = 1) => Type.Integer({ minimum, default: fallback })
/** 0: for ever. A month goes as a whole, when its last day is so many days past. */
const days = (fallback: number) => Type.Integer({ minimum: 0, maximum: 36_500, default: fallback })

const tlsVersions = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const

export const Network = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    class: Type.Enum(['public', 'device', 'trusted']),
    cidrs: Type.Array(Cidr, { minItems: 1 }),
    /** May relay to addresses outside the listed domains; trusted networks always may. */
    relay: Type.Boolean({ default: false }),
    /** The oldest TLS version it may speak, where that is not the one of `smtp.tls`: for devices with old firmware. */
    minTls: Type.Optional(Type.Enum([...tlsVersions])),
    /** Who pays for what it sends out, where the sender address belongs to nobody. */
    client: Type.Optional(Type.String()),
  },
  strict,
)

export const Route = Type.Object(
  {
    /** Exact domain, or `*` for every other one. */
    domain: Type.String({ minLength: 1 }),
    /** Next hop, or with `mx` the domain whose MX are looked up; without it that of each recipient. */
    host: Type.Optional(Type.String({ minLength: 1 })),
    mx: Type.Boolean({ default: false }),
    port: Type.Integer({ minimum: 1, maximum: 65535, default: 25 }),
    tls: Type.Enum(['off', 'may', 'must'], { default: 'may' }),
  },
  strict,
)

export const ScheduledExport = Type.Object(
  {
    /** Of the files: `<name>-2026-11.csv`. */
    name: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,40}$', description: 'a short name of lower-case letters, digits and hyphens' }),
    report: Type.Enum(['usage'], { default: 'usage' }),
    by: Type.Enum(['client', 'recipient', 'day', 'domain', 'direction'], { default: 'client' }),
    /** Default: as each message was counted. */
    mode: Type.Optional(Type.Enum(['full', 'split'])),
    /** Only this client; `house` for what nobody holds. */
    client: Type.Optional(Type.String({ minLength: 1 })),
    compare: Type.Optional(Type.Enum(['previous'])),
    format: Type.Enum(['csv', 'xlsx', 'json', 'ndjson', 'focus'], { default: 'csv' }),
    profile: Type.Optional(Type.Enum(['excel'])),
    locale: Type.String({ pattern: '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$', default: 'en', description: 'a language such as de, or with a country such as de-CH' }),
    folder: Path,
    every: Type.Enum(['day', 'month'], { default: 'month' }),
    /** Hours and minutes after the day or month has ended. */
    at: Type.String({ pattern: '^([01]\\d|2[0-3]):[0-5]\\d$', default: '03:00', description: 'hours and minutes, like 03:00' }),
  },
  strict,
)

const CheckName = Type.String({
  pattern: '^[a-z0-9][a-z0-9-]{0,40}$',
  description: 'a short name of lower-case letters, digits and hyphens',
})

export const DnsList = Type.Object(
  {
    /** Rules ask for `dnsbl-<name>`. */
    name: CheckName,
    zone: Domain,
    of: Type.Enum(['ip', 'helo-domain', 'sender-domain'], { default: 'ip' }),
  },
  strict,
)

export const Rate = Type.Object(
  {
    /** Rules ask for `rate-<name>`. */
    name: CheckName,
    by: Type.Enum(['remote', 'network', 'sender', 'sender-domain', 'recipient', 'auth-user']),
    counts: Type.Enum(['messages', 'recipients', 'bytes'], { default: 'messages' }),
    limit: Type.Integer({ minimum: 1 }),
    windowSeconds: Type.Integer({ minimum: 1, maximum: 604_800, default: 3_600 }),
    /** Devices split a long scan into many messages. */
    countsDevices: Type.Boolean({ default: false }),
  },
  strict,
)

const Checks = Type.Object(
  {
    /** Classes of networks about which the network is asked; a device that connects gets its greeting at once. */
    networkClasses: Type.Array(Type.Enum(['public', 'device', 'trusted']), { default: ['public'] }),
    timeLimitMs: limit(5_000),
    dns: Type.Object(
      {
        enabled: Type.Boolean({ default: true }),
        /** Addresses, with or without port; none: those of the machine. */
        servers: Type.Array(Type.String({ minLength: 1 }), { default: [] }),
        timeoutMs: limit(2_000),
        tries: limit(2),
        /** Questions at once. */
        concurrent: limit(256),
        cacheEntries: limit(20_000),
        cacheSeconds: limit(300, 0),
        negativeCacheSeconds: limit(60, 0),
      },
      { ...strict, default: {} },
    ),
    dnsLists: Type.Array(DnsList, { default: [] }),
    /** Database of countries (MaxMind format); default: the one that is installed with Tollgate. */
    countryFile: Type.Optional(Path),
    senders: Type.Object(
      {
        /** Lists of the rule set. */
        white: Type.String({ minLength: 1, default: 'white-senders' }),
        black: Type.String({ minLength: 1, default: 'black-senders' }),
      },
      { ...strict, default: {} },
    ),
    greylist: Type.Object(
      {
        delaySeconds: limit(300, 0),
        /** A retry after this begins anew. */
        retryHours: limit(48),
        /** How long who has passed is known without being seen. */
        keepDays: limit(35),
        /** Triplets of one network that passed before all of its mail is known; 0: never. */
        knownAfter: limit(5, 0),
        entries: limit(200_000),
      },
      { ...strict, default: {} },
    ),
    rates: Type.Array(Rate, { default: [] }),
    /** Of each rate. */
    rateEntries: limit(100_000),
    traps: Type.Object(
      {
        addresses: Type.Array(Type.String({ minLength: 1 }), { default: [] }),
        /** List of the rule set with more of them. */
        list: Type.String({ minLength: 1, default: 'traps' }),
        /** How long who wrote to one stays listed. */
        markHours: limit(24),
        entries: limit(50_000),
      },
      { ...strict, default: {} },
    ),
  },
  { ...strict, default: {} },
)

export const Config = Type.Object(
  {
    tenant: shortName('^[a-z0-9][a-z0-9-]{0,31}$', 'main'),
    /** Name of this gateway in the event log; must differ between gateways. */
    node: shortName('^[a-z0-9][a-z0-9-]{0,62}$', 'gateway-1'),
    /** Relative paths of the file are relative to the folder of the file. */
    data: Type.String({ minLength: 1, default: './data' }),
    /** `embedded`, or a `postgres://` URL. */
    database: Type.String({
      pattern: '^(embedded|postgres(ql)?://.+)$',
      default: 'embedded',
      description: '"embedded", or a URL like postgres://user:password@host:5432/database',
    }),
    http: Type.Object(
      { listen: Type.String({ pattern: socketAddressPattern, default: '127.0.0.1:8080', description: socketAddressText }) },
      { ...strict, default: {} },
    ),
    smtp: Type.Object(
      {
        /** Name in the greeting and in Received headers; default: the machine's. */
        hostname: Type.Optional(Type.String({ minLength: 1 })),
        listen: Type.Array(SocketAddress, { minItems: 1, default: ['127.0.0.1:2525'] }),
        /** Addresses where TLS comes before the first octet of SMTP, like port 465; needs `tls`. */
        listenTls: Type.Array(SocketAddress, { default: [] }),
        /** Proxies in front of a listener: they tell who is behind them by the PROXY protocol, and must. */
        proxyFrom: Type.Array(
          Type.Object({ listener: SocketAddress, cidrs: Type.Array(Cidr, { minItems: 1 }) }, strict),
          { default: [] },
        ),
        /** Where people log in to send mail (RFC 6409); needs `tls` and `users`. */
        submission: Type.Object(
          {
            /** Log-in behind STARTTLS, like port 587. */
            listen: Type.Array(SocketAddress, { default: [] }),
            /** TLS before the first octet, like port 465. */
            listenTls: Type.Array(SocketAddress, { default: [] }),
          },
          { ...strict, default: {} },
        ),
        /** File of those who may log in. */
        users: Type.Optional(Path),
        /** How long a public remote must wait for its greeting; who talks before it is refused. 0: no wait, no check. */
        greetingDelayMs: Type.Integer({ minimum: 0, maximum: 30_000, default: 0 }),
        /** Offered by STARTTLS on every address of `listen`. */
        tls: Type.Optional(
          Type.Object(
            {
              /** PEM files: the certificate with its chain, and the key without a passphrase. */
              certificate: Path,
              key: Path,
              minVersion: Type.Enum([...tlsVersions], { default: 'TLSv1.2' }),
            },
            strict,
          ),
        ),
        limits: Type.Object(
          {
            messageBytes: limit(50_000_000),
            recipientsPerTransaction: limit(1_000, 100),
            transactionsPerSession: limit(1_000),
            errorsPerSession: limit(20),
            badRecipientsPerSession: limit(100),
            sessions: limit(1_000),
            sessionsPerNetwork: limit(100),
            idleSeconds: limit(300),
            dataSeconds: limit(600),
          },
          { ...strict, default: {} },
        ),
      },
      { ...strict, default: {} },
    ),
    recipients: Type.Object(
      {
        mode: Type.Enum(['known', 'domains'], { default: 'known' }),
        domains: Type.Array(Domain, { default: [] }),
        /** File of clients and their addresses. */
        directory: Type.Optional(Path),
        /** File of addresses that stand for others. */
        aliases: Type.Optional(Path),
        lowerCaseLocalPart: Type.Boolean({ default: true }),
        disabled: Type.Object(
          {
            blocked: DisabledAnswer('refuse'),
            'balance-exhausted': DisabledAnswer('defer'),
            quota: DisabledAnswer('defer'),
            expired: DisabledAnswer('refuse'),
            'not-started': DisabledAnswer('refuse'),
          },
          { ...strict, default: {} },
        ),
      },
      { ...strict, default: {} },
    ),
    /** File with the rule set; without one the published rules are in force. */
    rules: Type.Optional(Path),
    policy: Type.Object(
      {
        /** The api of another machine, whose published policy this gateway takes; default: that of this machine. */
        url: Type.Optional(
          Type.String({ pattern: '^https?://[^\\s/?#@]+(/[^\\s?#]*)?$', description: 'an address like https://tollgate.example.org' }),
        ),
        /** The secret by which gateways on other machines get it: the same there and here. */
        token: Type.Optional(
          Type.String({ pattern: '^[\\x21-\\x7e]{20,}$', description: 'at least 20 letters, digits and signs without blanks' }),
        ),
        pollSeconds: limit(10),
      },
      { ...strict, default: {} },
    ),
    checks: Checks,
    plugins: PluginSettings,
    networks: Type.Array(Network, { default: [] }),
    routes: Type.Array(Route, { default: [] }),
    delivery: Type.Object(
      {
        connectionsPerRoute: limit(10),
        messagesPerConnection: limit(1_000),
        firstRetrySeconds: limit(60),
        lastRetrySeconds: limit(3_600),
        expireHours: limit(120),
      },
      { ...strict, default: {} },
    ),
    quarantine: Type.Object(
      {
        /** What is held so long is deleted; 0: never. */
        keepDays: Type.Integer({ minimum: 0, maximum: 36_500, default: 30 }),
      },
      { ...strict, default: {} },
    ),
    marking: Type.Object(
      {
        /** Whether a mark may change a Subject that a DKIM signature covers; a header field tells it where not. */
        subject: Type.Enum(['always', 'unless-signed', 'never'], { default: 'unless-signed' }),
      },
      { ...strict, default: {} },
    ),
    billing: Type.Object(
      {
        mode: Type.Enum(['full', 'split'], { default: 'full' }),
        unit: Type.Enum(['MB', 'MiB'], { default: 'MB' }),
        timeZone: Type.String({ default: 'UTC' }),
        currency: Type.String({ pattern: '^[A-Z]{3}$', default: 'EUR', description: 'three capital letters (ISO 4217), like EUR' }),
        /** Bill mail that was refused for its content, after its octets were received. */
        billRefusedContent: Type.Boolean({ default: false }),
        billDuplicates: Type.Boolean({ default: false }),
        /** Reports that the worker writes to a folder by itself. */
        exports: Type.Array(ScheduledExport, { default: [] }),
        /** How long after its end a period may not be closed yet. */
        graceHours: Type.Integer({ minimum: 0, maximum: 8_760, default: 72 }),
        /** What one unit of traffic costs the tenant, as decimal text; for the report of savings. */
        costPrice: Type.Optional(Type.String({ pattern: '^\\d{1,9}(\\.\\d{1,9})?$', description: "a decimal in quotes, like '0.002'" })),
      },
      { ...strict, default: {} },
    ),
    retention: Type.Object(
      {
        detailDays: days(180),
        subjectDays: days(180),
        messageDays: days(400),
        totalDays: days(0),
        usageDays: days(3_653),
        auditDays: days(400),
      },
      { ...strict, default: {} },
    ),
  },
  strict,
)
export type Config = Static<typeof Config>
