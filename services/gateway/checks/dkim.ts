/**
 * DKIM: whether a signature of the message is valid (RFC 6376), judged by mailauth, and who stands in From.
 *
 * Owns    reading the message, once, and only where a rule asks; the bounds on what it may cost.
 * Limits  the first ten signatures; those of message-shape.ts, beyond which the result is `unknown`.
 * Why     a signature that covers only part of the body (`l=`) counts as none: anybody can add to that message.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DkimVerifier } from 'mailauth/lib/dkim/dkim-verifier.js'
import type { Clock } from '../../kit/clock.ts'
import type { PluginMessage } from '../plugins/plugin-contract.ts'
import type { Transaction } from '../session/transaction.ts'
import { found, unknown, type Check, type Finding } from './check.ts'
import { mailauthResolver } from './mailauth-resolver.ts'
import { BodyShape, HeaderPiece, headerFault } from './message-shape.ts'
import type { Resolver } from './resolver.ts'

/** `domains`: whose signatures are valid. `from`: the addresses in From. */
export type DkimFinding = Finding & { domains: readonly string[]; from: readonly string[] }
export type AskDkim = (transaction: Transaction, message: PluginMessage) => Promise<DkimFinding>

const signatureLimit = 10
/** The event loop gets its turn behind each. */
const octetsPerTurn = 512 * 1024

export function dkimCheck(ask: AskDkim): Check {
  return {
    name: 'dkim',
    from: 'complete',
    per: 'transaction',
    isRemote: true,
    find: ({ transaction, message }) => (message === null ? unknown('no message') : ask(transaction, message)),
  }
}

/** Reads a message once, whoever wants to know. */
export function dkimOf(resolver: Resolver, clock: Clock): AskDkim {
  const asked = new WeakMap<Transaction, Promise<DkimFinding>>()
  return (transaction, message) => {
    let finding = asked.get(transaction)
    if (finding === undefined) asked.set(transaction, (finding = verify(resolver, clock, message)))
    return finding
  }
}

async function verify(resolver: Resolver, clock: Clock, message: PluginMessage): Promise<DkimFinding> {
  const { default: module } = await import('mailauth/lib/dkim/dkim-verifier.js')
  const verifier = new module.DkimVerifier({
    resolver: mailauthResolver(resolver),
    curTime: new Date(clock.nowMs()),
  })
  const readHeaders = verifier.messageHeaders.bind(verifier)
  verifier.messageHeaders = async (headers) => {
    await readHeaders(headers)
    boundSignatures(verifier)
  }
  const fault = await readMessage(verifier, message)
  if (fault !== null) return { ...unknown(fault), domains: [], from: [] }
  const signed = verifier.signatureHeaders
  if (signed.length === 0) return { ...found('none'), domains: [], from: verifier.headerFrom }
  await verifier.finish()
  return { ...judge(verifier), from: verifier.headerFrom }
}

/** Leaves the first signatures of DKIM itself, and of the hashes over the body those that they need. */
function boundSignatures(verifier: DkimVerifier): void {
  const kept = verifier.signatureHeaders.filter(({ type }) => type === 'DKIM').slice(0, signatureLimit)
  verifier.signatureHeaders = kept
  const needed = new Set(kept.map(({ bodyHashKey }) => bodyHashKey))
  for (const key of [...verifier.bodyHashes.keys()]) if (!needed.has(key)) verifier.bodyHashes.delete(key)
  // The hash knows where to stop; seen as a number here, mailauth would print to stdout.
  for (const signature of kept)
    if (typeof signature.maxBodyLength === 'number') signature.maxBodyLength = String(signature.maxBodyLength)
}

/** What makes the message unfit, or `null`. Reads no further than the header where nothing is signed. */
async function readMessage(verifier: DkimVerifier, message: PluginMessage): Promise<string | null> {
  const header = new HeaderPiece()
  const shape = new BodyShape()
  let isHeaderRead = false
  let octetCount = 0
  for await (const chunk of message.octets()) {
    for (let at = 0; at < chunk.length; at += octetsPerTurn) {
      let octets = chunk.subarray(at, at + octetsPerTurn)
      if (!isHeaderRead) {
        const part = header.take(octets)
        if (part === 'more') continue
        if (part === 'too long') return 'the header is too long'
        const fault = headerFault(part.head)
        if (fault !== null) return fault
        // Behind an empty first line, the body would be read as a header.
        if (part.head.length > 2) await verifier.writeAsync(part.head)
        if (verifier.signatureHeaders.length === 0) return null
        isHeaderRead = true
        octets = part.body
      }
      const fault = shape.take(octets)
      if (fault !== null) return fault
      await verifier.writeAsync(octets)
      octetCount += octets.length
      if (octetCount % octetsPerTurn < octets.length) await nextTurn()
    }
  }
  if (isHeaderRead) return null
  // A message that is nothing but a header has an empty body.
  const fault = headerFault(header.octets)
  if (fault === null) await verifier.writeAsync(Buffer.concat([header.octets, Buffer.from('\r\n')]))
  return fault
}

function judge(verifier: DkimVerifier): Finding & { domains: string[] } {
  const verified = verifier.signatureHeaders.filter(({ skip }) => skip !== true)
  const domains: string[] = []
  const texts: string[] = []
  let isUnanswered = false
  verified.forEach((signature, index) => {
    const { signingDomain = '', selector = '', status } = verifier.results[index]!
    const isWhole = verifier.bodyHashes.get(signature.bodyHashKey ?? '')?.maxSizeReached !== true
    const isValid = status.result === 'pass' && isWhole
    if (isValid) domains.push(signingDomain.toLowerCase())
    if (status.result === 'temperror') isUnanswered = true
    const word = status.result === 'pass' && !isValid ? 'fail' : status.result
    const reason = isWhole ? status.comment : 'covers only part of the body'
    texts.push(`${signingDomain} ${selector} ${word}${reason === undefined ? '' : ` (${reason})`}`)
  })
  const detail = texts.length === 0 ? 'no signature of a kind that is known' : texts.join('; ')
  if (domains.length > 0) return { ...found('pass', detail), domains }
  return { ...(isUnanswered ? unknown(detail) : found('fail', detail)), domains }
}
