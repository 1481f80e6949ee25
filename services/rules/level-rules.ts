/**
 * The rules that levels set: per group of rules what each adds at the levels from 1 (strict) to 10 (lax).
 *
 * Why  a table and no formula, so that who chooses a level can see what it sets. Down a row nothing becomes stricter,
 *      and what a rule adds never depends on a recipient that a stricter level turns away: a stricter level refuses
 *      all that a laxer one does (both are tested).
 */
import type { Stage } from '../contracts/vocabulary.ts'
import type { Condition } from './ruleset.ts'

export const levelGroups = [
  'connection',
  'hostname',
  'sender',
  'recipients',
  'headers-and-attachments',
  'geography',
  'rate',
  'content',
] as const
export type LevelGroup = (typeof levelGroups)[number]

export type LevelRule = {
  id: string
  name: string
  stage: Stage
  when: Condition
  /** At levels 1 to 10; 0: the rule is left out. */
  weights: readonly [number, number, number, number, number, number, number, number, number, number]
  /** Up to this level it refuses for good, or for now, in place of adding weight. */
  rejectUpto?: { level: number; text: string }
  deferUpto?: { level: number; text: string }
}

const isPublic: Condition = { attribute: 'remote.networkClass', equals: 'public' }
const fromPublic = (condition: Condition): Condition => ({ all: [isPublic, condition] })

export const levelRules: Readonly<Record<LevelGroup, readonly LevelRule[]>> = {
  connection: [
    {
      id: 'no-reverse-name',
      name: 'The remote has no reverse name',
      stage: 'connect',
      when: fromPublic({ check: 'reverse-dns', is: 'none' }),
      weights: [4, 3.5, 3, 2.5, 2, 2, 1.5, 1, 0.5, 0],
    },
    {
      id: 'unconfirmed-reverse-name',
      name: 'The reverse name of the remote does not resolve back',
      stage: 'connect',
      when: fromPublic({ check: 'reverse-dns', is: 'unconfirmed' }),
      weights: [3, 2.5, 2.5, 2, 1.5, 1.5, 1, 1, 0.5, 0],
    },
    {
      id: 'dynamic-reverse-name',
      name: 'The reverse name looks like a dial-up or cable line',
      stage: 'connect',
      when: fromPublic({
        attribute: 'remote.reverseName',
        matches: '(^|[.-])(dyn|dynamic|dsl|adsl|dial(up|in)?|pool|cable|dhcp|ppp)[.0-9-]',
      }),
      weights: [5, 4, 3, 2.5, 2, 1.5, 1.5, 1, 0.5, 0],
    },
    {
      id: 'without-tls',
      name: 'The remote speaks without TLS',
      stage: 'mail',
      when: fromPublic({ attribute: 'tls', exists: false }),
      weights: [2, 1.5, 1, 0.5, 0.5, 0, 0, 0, 0, 0],
    },
  ],
  hostname: [
    {
      id: 'helo-is-ours',
      name: 'HELO says our own name',
      stage: 'helo',
      when: fromPublic({ check: 'helo-plausible', is: 'ours' }),
      weights: [10, 10, 10, 10, 10, 10, 8, 6, 4, 2],
      rejectUpto: { level: 6, text: 'HELO refused: that is our own name' },
    },
    {
      id: 'helo-is-malformed',
      name: 'HELO is no name, a bare address, or the address of another',
      stage: 'helo',
      when: fromPublic({ check: 'helo-plausible', is: ['syntax', 'bare-ip', 'literal-mismatch'] }),
      weights: [8, 6, 5, 4, 3, 2.5, 2, 1.5, 1, 0],
      rejectUpto: { level: 1, text: 'HELO refused: it is not a valid name' },
    },
    {
      id: 'helo-does-not-resolve',
      name: 'HELO is a name without an address',
      stage: 'helo',
      when: fromPublic({ check: 'helo-plausible', is: 'unresolvable' }),
      weights: [5, 4, 3, 2, 1.5, 1, 1, 0.5, 0, 0],
    },
    {
      id: 'helo-is-not-qualified',
      name: 'HELO is a name without a domain',
      stage: 'helo',
      when: fromPublic({ attribute: 'helo', matches: '^[^.:\\[]+$' }),
      weights: [4, 3, 2.5, 2, 1.5, 1, 1, 0.5, 0, 0],
    },
  ],
  sender: [
    {
      id: 'sender-is-blocked',
      name: 'The sender stands on the black list',
      stage: 'mail',
      when: { check: 'sender-list', is: 'black' },
      weights: [20, 20, 20, 20, 20, 20, 20, 20, 10, 8],
      rejectUpto: { level: 8, text: 'Sender refused: it is blocked here' },
    },
    {
      id: 'sender-is-trusted',
      name: 'The sender stands on the white list',
      stage: 'mail',
      when: { check: 'sender-list', is: 'white' },
      weights: [-1, -1.5, -2, -2.5, -3, -3.5, -4, -5, -6, -8],
    },
    {
      id: 'sender-domain-takes-no-mail',
      name: 'The domain of the sender does not exist or takes no mail',
      stage: 'mail',
      when: { check: 'sender-domain', is: ['none', 'null-mx'] },
      weights: [10, 10, 10, 10, 6, 5, 4, 3, 2, 1],
      rejectUpto: { level: 4, text: 'Sender refused: its domain takes no mail' },
    },
    {
      id: 'spf-fails',
      name: 'The domain of the sender says that the remote may not send for it',
      stage: 'mail',
      when: fromPublic({ check: 'spf', is: 'fail' }),
      weights: [10, 10, 6, 5, 4, 3, 2.5, 2, 1, 0.5],
      rejectUpto: { level: 2, text: 'Sender refused by the SPF record of its domain' },
    },
    {
      id: 'spf-doubts',
      name: 'The domain of the sender doubts the remote, or its SPF record is broken',
      stage: 'mail',
      when: fromPublic({ check: 'spf', is: ['softfail', 'permerror'] }),
      weights: [4, 3, 2.5, 2, 1.5, 1, 1, 0.5, 0, 0],
    },
    {
      id: 'sender-is-generated',
      name: 'The local part of the sender looks generated',
      stage: 'mail',
      when: { attribute: 'sender', matches: '^([a-z]*[0-9]{5,}[a-z0-9]*|[a-z0-9]{20,})@' },
      weights: [4, 3, 2.5, 2, 2, 1.5, 1, 1, 0.5, 0],
    },
    {
      id: 'dmarc-fails',
      name: 'The domain in From does not stand behind the message',
      stage: 'complete',
      when: { check: 'dmarc', is: 'fail' },
      weights: [8, 7, 6, 5, 4, 3, 2, 1.5, 1, 0.5],
    },
    {
      id: 'dkim-fails',
      name: 'The message is signed, and no signature is valid',
      stage: 'complete',
      when: { check: 'dkim', is: 'fail' },
      weights: [3, 2.5, 2, 1.5, 1, 1, 0.5, 0.5, 0, 0],
    },
  ],
  recipients: [
    {
      id: 'greylist',
      name: 'This remote, sender and recipient were not seen before: ask them to try again',
      stage: 'rcpt',
      when: fromPublic({ check: 'greylist', is: 'wait' }),
      weights: [1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
      deferUpto: { level: 4, text: 'Greylisted: try again in some minutes' },
    },
    {
      id: 'trap',
      name: 'This remote or sender wrote to a trap address lately',
      // Behind rcpt: what a refused recipient adds is forgotten.
      stage: 'header',
      when: { check: 'trap', is: 'listed' },
      weights: [10, 10, 10, 6, 5, 4, 3.5, 3, 2, 1],
      rejectUpto: { level: 3, text: 'Message refused: its sender writes to trap addresses' },
    },
    {
      id: 'unknown-recipients',
      name: 'More than three recipients do not exist',
      stage: 'header',
      when: { attribute: 'refusedRecipientCount', above: 3 },
      weights: [8, 6, 5, 4, 3, 2.5, 2, 1.5, 1, 0],
    },
    {
      id: 'many-recipients',
      name: 'More than thirty recipients',
      stage: 'header',
      when: fromPublic({ attribute: 'recipientCount', above: 30 }),
      weights: [4, 3, 2, 1.5, 1, 1, 0.5, 0, 0, 0],
    },
  ],
  'headers-and-attachments': [
    {
      id: 'no-message-id',
      name: 'The message has no Message-ID',
      stage: 'header',
      when: fromPublic({ attribute: 'header.Message-ID', exists: false }),
      weights: [3, 2.5, 2, 1.5, 1, 1, 1, 0.5, 0, 0],
    },
    {
      id: 'no-from-or-date',
      name: 'The message has no From or no Date',
      stage: 'header',
      when: fromPublic({
        any: [
          { attribute: 'header.From', exists: false },
          { attribute: 'header.Date', exists: false },
        ],
      }),
      weights: [8, 6, 5, 4, 3, 2.5, 2, 1, 0.5, 0],
    },
    {
      id: 'program-attached',
      name: 'A program is attached',
      stage: 'complete',
      when: {
        any: [
          {
            attribute: 'attachment.name',
            matches: '\\.(exe|scr|com|pif|bat|cmd|vbs|vbe|jse?|wsf|hta|jar|lnk|msi|ps1)$',
          },
          { attribute: 'attachment.type', in: ['application/x-msdownload', 'application/x-dosexec'] },
        ],
      },
      weights: [10, 10, 10, 10, 10, 10, 10, 10, 8, 5],
      rejectUpto: { level: 8, text: 'Message refused: programs are not accepted as attachments' },
    },
    {
      id: 'macros-attached',
      name: 'A document with macros is attached',
      stage: 'complete',
      when: { attribute: 'attachment.name', matches: '\\.(docm|dotm|xlsm|xltm|pptm)$' },
      weights: [10, 10, 6, 5, 4, 3, 2.5, 2, 1, 0.5],
      rejectUpto: { level: 2, text: 'Message refused: documents with macros are not accepted' },
    },
    {
      id: 'archive-attached',
      name: 'An archive that hides what is in it is attached',
      stage: 'complete',
      when: fromPublic({ attribute: 'attachment.name', matches: '\\.(rar|7z|iso|img|ace|cab|vhdx?)$' }),
      weights: [8, 5, 4, 3, 2.5, 2, 1.5, 1, 0.5, 0],
    },
  ],
  geography: [
    {
      id: 'far-away',
      name: 'The remote is in a country of the list far-away',
      stage: 'connect',
      when: fromPublic({ country: 'far-away' }),
      weights: [8, 6, 5, 4, 3, 2.5, 2, 1.5, 1, 0.5],
    },
  ],
  rate: [
    {
      id: 'remote-is-fast',
      name: 'The remote sends more than its rate',
      stage: 'mail',
      when: fromPublic({ check: 'rate-remote', is: 'over' }),
      weights: [5, 5, 5, 5, 5, 3, 2, 1.5, 1, 0],
      deferUpto: { level: 5, text: 'Too many messages from your server: try again later' },
    },
    {
      id: 'sender-is-fast',
      name: 'The sender sends more than its rate',
      stage: 'mail',
      when: { check: 'rate-sender', is: 'over' },
      weights: [5, 5, 5, 4, 3, 2, 1.5, 1, 0.5, 0],
      deferUpto: { level: 3, text: 'Too many messages from this sender: try again later' },
    },
  ],
  content: [
    {
      id: 'subject-promises',
      name: 'The subject promises money, pills or love',
      stage: 'header',
      when: {
        attribute: 'subject',
        matches:
          "\\b(viagra|cialis|replica watch(es)?|casino|jackpot|lottery|you('ve| have) won|claim your (prize|reward)|" +
          'miracle (cure|pill)|100% (free|guaranteed)|make money fast|hot singles|crypto (bonus|giveaway)|weight loss)\\b',
      },
      weights: [8, 7, 6, 5, 4, 4, 3, 2, 1.5, 1],
    },
    {
      id: 'subject-presses',
      name: 'The subject presses to act at once',
      stage: 'header',
      when: {
        attribute: 'subject',
        matches:
          '\\b(act now|urgent|last (chance|warning)|limited (time|offer)|expires? today|account (is |was )?(suspended|limited))\\b',
      },
      weights: [4, 3.5, 3, 2.5, 2, 1.5, 1, 1, 0.5, 0],
    },
    {
      id: 'subject-shouts',
      name: 'The subject is in capitals or full of exclamation marks',
      stage: 'header',
      when: {
        any: [
          { attribute: 'subject', matches: '^[^a-z]*[A-Z]{4}[^a-z]*[A-Z]{3}[^a-z]*$', caseSensitive: true },
          { attribute: 'subject', matches: '!{3}|\\${3}' },
        ],
      },
      weights: [3, 2.5, 2, 1.5, 1.5, 1, 1, 0.5, 0, 0],
    },
    {
      id: 'advertising-without-a-way-out',
      name: 'Bulk mail that does not tell how to leave its list',
      stage: 'header',
      when: {
        all: [
          { attribute: 'header.Precedence', matches: '^(bulk|list|junk)$' },
          { attribute: 'header.List-Unsubscribe', exists: false },
        ],
      },
      weights: [4, 3, 2.5, 2, 1.5, 1, 1, 0.5, 0, 0],
    },
  ],
}
