/**
 * Signs outbound mail (DKIM, RFC 6376 and 8463) with the keys of the domain in From.
 *
 * Owns    what is signed: the message as it leaves, with the tag in its subject, in one pass over its octets.
 * Limits  mail of remotes that may relay only: a stranger who writes our domain into From gets no signature of ours.
 *         A message of a shape that costs far more than its size to sign is left unsigned.
 * Why     the signature goes before the message with Received and marks, which are not signed: what comes after it
 *         was not changed any more.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Static } from 'typebox'
import { domainOf, normalizedDomain } from '../../../contracts/address.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { DkimSettings } from '../../../kit/plugin-settings.ts'
import { BodyShape, HeaderPiece, headerFault } from '../../checks/message-shape.ts'
import { fieldValue, parseHeaderSection } from '../../data/header-section.ts'
import { withTaggedSubject } from '../../relay/tagged-subject.ts'
import type { Envelope } from '../../spool/spool-contract.ts'
import type { PluginMessage } from '../plugin-contract.ts'
import { skippedResult } from '../../../rules/check-names.ts'
import type { Plugin, PreparedMessage } from '../plugin.ts'
import { readSigningKeys, type SigningKey } from './signing-keys.ts'

/** The event loop gets its turn behind each. */
const octetsPerTurn = 512 * 1024

export async function dkimPlugin(settings: Static<typeof DkimSettings>, clock: Pick<Clock, 'nowMs'>): Promise<Plugin> {
  const keys = await readSigningKeys(settings.keys)
  return {
    kind: 'dkim',
    settings,
    wants: ({ transaction }) => transaction.facts.mayRelay,
    version: async () => [...keys.values()].flat().map(({ domain, selector, algorithm }) => `${selector}._domainkey.${domain} (${algorithm})`).join(', '),
    async prepare(message, envelope) {
      const signed = await sign(message, envelope, keys, new Date(clock.nowMs()))
      if ('result' in signed) return { ...signed, envelope }
      const prependedHeaders = `${signed.signatures.map((line) => `${line}\r\n`).join('')}${envelope.prependedHeaders}`
      return { result: 'signed', detail: signed.by.map(keyText).join(', '), envelope: { ...envelope, prependedHeaders } }
    },
  }
}

type Signed = { signatures: string[]; by: SigningKey[] }

async function sign(
  message: PluginMessage,
  { sender, subjectTag }: Envelope,
  keys: ReadonlyMap<string, SigningKey[]>,
  signTime: Date,
): Promise<Signed | Omit<PreparedMessage, 'envelope'>> {
  const { default: module } = await import('mailauth/lib/dkim/dkim-signer.js')
  const header = new HeaderPiece()
  const shape = new BodyShape()
  let signing: { signer: InstanceType<typeof module.DkimSigner>; by: SigningKey[] } | null = null
  const begin = async (head: Buffer): Promise<Omit<PreparedMessage, 'envelope'> | null> => {
    const fault = headerFault(head)
    if (fault !== null) return { result: skippedResult, detail: fault }
    const domains = domainsOf(head, sender)
    const by = domains.map((domain) => keys.get(domain)).find((known) => known !== undefined)
    if (by === undefined) return { result: 'unsigned', detail: `no key for ${domains.join(', ') || 'a message without From'}` }
    const signatureData = by.map(({ domain, selector, privateKey }) => ({ signingDomain: domain, selector, privateKey }))
    const signer = new module.DkimSigner({ canonicalization: 'relaxed/relaxed', signTime, signatureData })
    await signer.writeAsync(subjectTag === null ? head : withTaggedSubject(head, subjectTag))
    signing = { signer, by }
    return null
  }
  let octetCount = 0
  for await (const chunk of message.octets()) {
    let octets = chunk
    if (signing === null) {
      const part = header.take(chunk)
      if (part === 'more') continue
      if (part === 'too long') return { result: skippedResult, detail: 'the header is too long' }
      const ending = await begin(part.head)
      if (ending !== null) return ending
      octets = part.body
    }
    for (let at = 0; at < octets.length; at += octetsPerTurn) {
      const piece = octets.subarray(at, at + octetsPerTurn)
      const fault = shape.take(piece)
      if (fault !== null) return { result: skippedResult, detail: fault }
      await signing!.signer.writeAsync(piece)
      octetCount += piece.length
      if (octetCount >= octetsPerTurn) {
        octetCount = 0
        await nextTurn()
      }
    }
  }
  if (signing === null) {
    // A message that is nothing but a header has an empty body.
    const ending = await begin(Buffer.concat([header.octets, Buffer.from('\r\n')]))
    if (ending !== null) return ending
  }
  const { signer, by } = signing!
  await signer.finish()
  if (signer.errors.length > 0 || signer.signatureHeaders.length !== by.length) {
    throw new Error('the message could not be signed', { cause: signer.errors[0]?.err })
  }
  return { signatures: signer.signatureHeaders, by }
}

/** Whose name stands on the message: of From, which DMARC asks for, then of the sender. */
function domainsOf(head: Buffer, sender: string): string[] {
  const from = fieldValue(parseHeaderSection(head), 'from') ?? ''
  const addresses = [...from.replace(/"(?:[^"\\]|\\.)*"/g, '').matchAll(/[^\s<>,;:()"]+@[^\s<>,;:()"]+/g)].map(([text]) => text)
  return [...new Set([...addresses, sender].map((address) => normalizedDomain(domainOf(address))))].filter((domain) => domain !== '')
}

function keyText({ domain, selector, algorithm }: SigningKey): string {
  return `${selector}._domainkey.${domain} ${algorithm}`
}
