/** 200 rules as they gather over the years: half of them regular expressions, the rest of all kinds. */
import type { Stage } from '../../services/contracts/vocabulary.ts'
import type { Condition, Ruleset } from '../../services/rules/ruleset.ts'

const spamWords =
  `viagra cialis casino lottery jackpot replica rolex pharmacy bitcoin giveaway forex mortgage refinance inheritance
  sweepstake slimming botox timeshare escort payday`.split(/\s+/)
const pressing = [
  'act now',
  'last chance',
  'expires today',
  'limited offer',
  'final notice',
  'verify your account',
  'account suspended',
  'unusual sign-in',
  'confirm your identity',
  'payment overdue',
]
const families = ['dyn', 'dynamic', 'dsl', 'adsl', 'cable', 'dialup', 'pool', 'dhcp', 'ppp', 'broadband']
const mailers = [
  'Bulk Mailer',
  'Mass Sender',
  'PHPMailer 4\\.',
  'The Bat! \\(v1',
  'Outlook Express 5',
  'Blast-?Mail',
  'SuperMailer',
  'eMarketer',
  'sendy',
  'Foxmail 4',
]
const extensions = ['exe', 'scr', 'pif', 'vbs', 'jse?', 'wsf', 'hta', 'lnk', 'docm', 'iso']

export function mixedRuleset(): Ruleset {
  const conditions: [Stage, Condition][] = [...regexConditions(), ...otherConditions()]
  const byTurns = conditions.map((_, index) => conditions[(index * 77) % conditions.length]!)
  return {
    markAt: null,
    rejectAt: null,
    lists: { senders: addresses(20_000), domains: addresses(5_000).map((address) => address.split('@')[1]!) },
    rules: byTurns.map(([stage, when], index) => ({
      id: `rule-${index}`,
      revision: 1,
      name: `Rule ${index}`,
      stage,
      mode: 'active',
      when,
      then: { weight: (index % 30) / 10 },
    })),
  }
}

function regexConditions(): [Stage, Condition][] {
  const matches = (stage: Stage, attribute: string, pattern: string): [Stage, Condition] => [
    stage,
    { attribute, matches: pattern },
  ]
  const words = spamWords.map((word) => matches('header', 'subject', `\\b${word}s?\\b`))
  const pairs = spamWords
    .slice(0, 10)
    .map((word, index) => matches('header', 'subject', `${word}.{0,30}${spamWords[19 - index]}`))
  const phrases = pressing.map((phrase) => matches('header', 'subject', `(^|[^a-z])${phrase.replace(' ', '[ _-]+')}`))
  const froms = spamWords.slice(0, 10).map((word) => matches('header', 'header.From', `"?[^"<]*${word}[^"<]*"? <`))
  const agents = mailers.map((mailer) => matches('header', 'header.X-Mailer', `^${mailer}`))
  const hosts = families.map((family) => matches('connect', 'remote.reverseName', `(^|[.-])${family}[.0-9-]`))
  const names = extensions.map((extension) =>
    matches('complete', 'attachment.name', `\\.(pdf|doc|jpg)?\\.?${extension}$`),
  )
  const helos = [
    '^[0-9.]+$',
    '^localhost',
    '^(mail|smtp)[0-9]{3,}\\.',
    '^ylmf-pc$',
    '^user-pc',
    '^[a-z]{12,}$',
    '\\.local$',
    '\\.lan$',
    '^\\[',
    '_',
  ]
  const senders = [
    '^[a-z]+[0-9]{5,}@',
    '^(promo|deals?|offers?)[0-9.+_-]*@',
    '^bounce.*@.*\\.(top|xyz|click)$',
    '^no-?reply@.{30,}$',
    '@[0-9-]+\\.',
    '^[bcdfghjklmnpqrstvwxz]{7,}@',
    '(win|bonus|prize)[a-z]*@',
    '^admin@.*\\.(cn|ru)$',
    '\\+[0-9]{4,}@',
    '^test@',
  ]
  return [
    ...words,
    ...pairs,
    ...phrases,
    ...froms,
    ...agents,
    ...hosts,
    ...names,
    ...helos.map((pattern) => matches('helo', 'helo', pattern)),
    ...senders.map((pattern) => matches('mail', 'sender', pattern)),
  ]
}

function otherConditions(): [Stage, Condition][] {
  return Array.from({ length: 100 }, (_, index): [Stage, Condition] => {
    switch (index % 10) {
      case 0:
        return ['connect', { attribute: 'remote.ip', cidr: [`10.${index}.0.0/16`, `2001:db8:${index}::/48`] }]
      case 1:
        return ['mail', { attribute: 'sender', in: 'senders' }]
      case 2:
        return ['mail', { attribute: 'sender.domain', in: 'domains' }]
      case 3:
        return ['mail', { attribute: 'declaredSizeBytes', above: index * 100_000 }]
      case 4:
        return ['complete', { attribute: 'messageBytes', between: [index * 1_000, index * 1_100] }]
      case 5:
        return [
          'header',
          {
            all: [
              { attribute: 'header.List-Id', exists: true },
              { attribute: 'header.List-Unsubscribe', exists: index % 20 === 5 },
            ],
          },
        ]
      case 6:
        return ['rcpt', { attribute: 'recipient', in: [`trap-${index}@corp.test`, `info${index}@corp.test`] }]
      case 7:
        return ['connect', { not: { attribute: 'remote.forwardConfirmed', equals: index % 20 === 7 } }]
      case 8:
        return [
          'helo',
          {
            any: [
              { attribute: 'helo', equals: `host-${index}` },
              { attribute: 'remote.networkClass', equals: 'device' },
            ],
          },
        ]
      default:
        return ['complete', { attribute: 'attachment.sizeBytes', above: index * 50_000 }]
    }
  })
}

function addresses(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `sender${index}@listed-${index % 5_000}.test`)
}
