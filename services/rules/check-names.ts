/**
 * The checks and plug-ins that a rule may ask for by name: a closed list, and families named by configuration.
 *
 * Owns    each name with the first stage at which it can answer, and the words of its answers.
 * Leaves  how an answer is found to the gateway, which runs only what the rules of a stage ask for.
 * Why     closed, so that a misspelt check is a mistake in the file and not a rule that never hits. Every check may
 *         also answer `unknown`: it had no answer in time.
 */
import type { Stage } from '../contracts/vocabulary.ts'

export type KnownCheck = {
  name: string
  /** First stage at which it can be asked. */
  from: Stage
  /** `null`: words of the one who configures it. */
  results: readonly string[] | null
  /** What a result not in `results` must look like. */
  resultPattern?: RegExp
  description: string
  /** Asked a moment later it may answer otherwise: it counts, or waits. */
  isFleeting?: true
}

export const unknownResult = 'unknown'
/** Of a plug-in that was not to look at this message. */
export const skippedResult = 'skipped'

/** Of the checks of stage `rcpt` there is a result for each recipient. */
export const builtInChecks: readonly KnownCheck[] = [
  {
    name: 'reverse-dns',
    from: 'connect',
    results: ['confirmed', 'unconfirmed', 'none'],
    description: 'the reverse name of the remote resolves back to it; none: it has no reverse name',
  },
  {
    name: 'helo-plausible',
    from: 'helo',
    results: ['ok', 'syntax', 'bare-ip', 'literal-mismatch', 'ours', 'unresolvable'],
    description: 'what the remote calls itself could be true; ours: it says our own name',
  },
  {
    name: 'sender-domain',
    from: 'mail',
    results: ['mx', 'a', 'none', 'null-mx', 'no-domain'],
    description: 'the domain of the sender takes mail; null-mx: it says that it takes none; no-domain: <>',
  },
  {
    name: 'sender-list',
    from: 'mail',
    results: ['white', 'black', 'none'],
    description: 'the sender or its domain stands on the list of good or of bad ones that people keep',
  },
  {
    name: 'spf',
    from: 'mail',
    results: ['pass', 'fail', 'softfail', 'neutral', 'none', 'permerror'],
    description: 'the domain of the sender names the remote (RFC 7208); temperror is unknown',
  },
  {
    name: 'greylist',
    isFleeting: true,
    from: 'rcpt',
    results: ['wait', 'passed', 'known', 'exempt'],
    description: 'whether this remote, sender and recipient were seen before, long enough ago; wait: not yet',
  },
  {
    name: 'trap',
    isFleeting: true,
    from: 'rcpt',
    results: ['listed', 'clear'],
    description: 'this remote or sender wrote to a trap address lately, or does so now',
  },
  {
    name: 'dkim',
    from: 'complete',
    results: ['pass', 'fail', 'none'],
    description: 'a signature of the message is valid (RFC 6376); fail: there are some, and none is',
  },
  {
    name: 'dmarc',
    from: 'complete',
    results: ['pass', 'fail', 'none'],
    description: 'the domain in From stands behind the message (RFC 7489); the detail holds its policy',
  },
  {
    name: 'dmarc-policy',
    from: 'complete',
    results: ['reject', 'quarantine', 'none', 'no-policy'],
    description: 'what the domain in From asks to be done with messages that fail DMARC',
  },
]

/** What comes after the prefix is a name out of the configuration. */
export const checkFamilies: readonly (KnownCheck & { prefix: string })[] = [
  {
    prefix: 'dnsbl-',
    name: 'dnsbl-<name>',
    from: 'connect',
    results: ['not-listed'],
    resultPattern: /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/,
    description: 'what a DNS block or allow list says of the remote: not-listed, or its answer, like 127.0.0.2',
  },
  {
    prefix: 'rate-',
    isFleeting: true,
    name: 'rate-<name>',
    from: 'connect',
    results: ['within', 'over'],
    description: 'a rate out of the configuration, from the stage on at which what it counts by is known',
  },
  {
    prefix: 'plugin-',
    name: 'plugin-<name>',
    from: 'complete',
    results: null,
    description: 'the result of a plug-in, in its own words: of clamd clean or infected',
  },
]

export const checkNames: readonly string[] = [...builtInChecks, ...checkFamilies].map(({ name }) => name)

const byName = new Map(builtInChecks.map((check) => [check.name, check]))

/** `null` where no check has this name. */
export function checkNamed(name: string): KnownCheck | null {
  const builtIn = byName.get(name)
  if (builtIn !== undefined) return builtIn
  const family = checkFamilies.find(
    ({ prefix }) => name.startsWith(prefix) && familyName.test(name.slice(prefix.length)),
  )
  return family === undefined ? null : { ...family, name }
}

const familyName = /^[a-z0-9][a-z0-9-]{0,40}$/

export function mayAnswer(check: KnownCheck, result: string): boolean {
  if (result === unknownResult || check.results === null || check.results.includes(result)) return true
  return check.resultPattern?.test(result) ?? false
}
