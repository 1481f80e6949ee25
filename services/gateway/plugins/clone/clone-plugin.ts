/**
 * Sends a second copy of inbound mail to another server: each recipient once more, under another domain.
 *
 * Owns    whom it adds to the envelope.
 * Leaves  delivery to the relay, by the route of that domain, with its own queue and retries.
 * Limits  what is delivered only, not what is held; and nothing that came through this gateway before, or the other
 *         server sending it on would make it go round.
 */
import type { Static } from 'typebox'
import { domainOf, normalizedDomain } from '../../../contracts/address.ts'
import type { CloneSettings } from '../../../kit/plugin-settings.ts'
import { HeaderPiece } from '../../checks/message-shape.ts'
import { parseHeaderSection } from '../../data/header-section.ts'
import { envelopeRecipient } from '../../session/envelope.ts'
import type { EnvelopeRecipient } from '../../spool/spool-contract.ts'
import type { PluginMessage } from '../plugin-contract.ts'
import { skippedResult } from '../../../rules/check-names.ts'
import { MessageFailure, type Plugin } from '../plugin.ts'

export function clonePlugin(settings: Static<typeof CloneSettings>, hostname: string): Plugin {
  const wanted = new Set(settings.of.map(normalizedDomain))
  return {
    kind: 'clone',
    settings,
    version: async () => settings.domain,
    async prepare(message, envelope) {
      if (envelope.disposition !== 'deliver') return { result: skippedResult, detail: 'it is held', envelope }
      if (await wasHere(message, hostname)) return { result: skippedResult, detail: 'it came through here before', envelope }
      const { transaction } = message
      const clones = new Map<string, EnvelopeRecipient>()
      for (const { address, normalized, disposition } of envelope.recipients) {
        const domain = domainOf(normalized)
        if (disposition === 'quarantine' || !transaction.policy.domains.has(domain)) continue
        if (wanted.size > 0 && !wanted.has(domain)) continue
        const clone = envelopeRecipient(transaction.policy, `${address.slice(0, address.lastIndexOf('@'))}@${settings.domain}`)
        clones.set(clone.normalized, { ...clone, isClone: true })
      }
      if (clones.size === 0) return { result: 'none', detail: 'no recipient of a domain that is cloned', envelope }
      const recipients = [...envelope.recipients, ...clones.values()]
      return { result: 'cloned', detail: `${clones.size} to ${settings.domain}`, envelope: { ...envelope, recipients } }
    },
  }
}

async function wasHere(message: PluginMessage, hostname: string): Promise<boolean> {
  const header = new HeaderPiece()
  let head: Buffer | null = null
  for await (const chunk of message.octets()) {
    const part = header.take(chunk)
    if (part === 'more') continue
    if (part === 'too long') throw new MessageFailure('the header is too long')
    head = part.head
    break
  }
  const fields = parseHeaderSection(head ?? header.octets)
  return fields.some(({ name, value }) => name.toLowerCase() === 'received' && value.includes(`by ${hostname} (Tollgate)`))
}
