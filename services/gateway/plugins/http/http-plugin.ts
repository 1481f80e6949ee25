/**
 * An HTTP hook: posts the message to a URL of yours, whose JSON answer is the result.
 *
 * Results  any short word: `{"result": "confidential", "detail": "page 3"}`.
 * Limits   an answer of 64 KiB; no redirects. A 4xx says no to this message, 5xx that the server is in trouble.
 */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Static } from 'typebox'
import type { HttpSettings } from '../../../kit/plugin-settings.ts'
import { acceptedRecipients } from '../../session/transaction.ts'
import type { PluginMessage } from '../plugin-contract.ts'
import { MessageFailure, type Plugin, type PluginFinding } from '../plugin.ts'
import { postMessage, type HttpAnswer } from '../post-message.ts'

/** Servers take some 8 to 16 KiB of headers; the number of recipients is told in any case. */
const recipientOctets = 4_096

/** Throws where the file of certificates cannot be used. */
export async function httpPlugin(settings: Static<typeof HttpSettings>): Promise<Plugin> {
  const { url, token, caFile } = settings
  const trusted = caFile === undefined ? {} : { ca: await readCertificates(settings.name, caFile) }
  const secret: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return {
    kind: 'http',
    settings,
    async scan(message, signal) {
      const headers = { ...secret, ...envelopeHeaders(message), accept: 'application/json', 'content-type': 'message/rfc822' }
      return findingOf(await postMessage({ url, headers, message, signal, ...trusted }))
    },
  }
}

async function readCertificates(name: string, file: string): Promise<string> {
  try {
    const text = await readFile(file, 'utf8')
    new X509Certificate(text)
    return text
  } catch (error) {
    throw new Error(`plugins.http: ${name}: ${file} is no file of certificates in PEM that can be read`, { cause: error })
  }
}

/** Texts are percent-encoded, so that an address may hold any character. */
function envelopeHeaders({ transaction, digest }: PluginMessage): Record<string, string> {
  const { facts, sender, id } = transaction
  const recipients = acceptedRecipients(transaction)
  let told = ''
  for (const { normalized } of recipients) {
    const next = `${told === '' ? '' : `${told},`}${encoded(normalized)}`
    if (next.length > recipientOctets) break
    told = next
  }
  const headers: Record<string, string> = {
    'x-tollgate-id': id,
    'x-tollgate-digest': digest,
    'x-tollgate-sender': encoded(sender ?? ''),
    'x-tollgate-recipients': told,
    'x-tollgate-recipient-count': String(recipients.length),
    'x-tollgate-network-class': facts.remote.networkClass,
  }
  if (facts.remote.ip !== null) headers['x-tollgate-remote-ip'] = facts.remote.ip
  if (facts.helo !== null) headers['x-tollgate-helo'] = encoded(facts.helo)
  if (facts.authUser !== null) headers['x-tollgate-user'] = encoded(facts.authUser)
  return headers
}

/** A lone surrogate cannot be encoded, and stands in no address that was decoded from UTF-8. */
function encoded(text: string): string {
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd')).replaceAll('%40', '@')
}

function findingOf({ status, body }: HttpAnswer): PluginFinding {
  if (status >= 500) throw new Error(`it answered ${status}`)
  if (status !== 200) throw new MessageFailure(`it answered ${status}`)
  let answer: unknown
  try {
    answer = JSON.parse(body)
  } catch (error) {
    throw new MessageFailure('it answered no JSON', { cause: error })
  }
  const { result, detail } = (typeof answer === 'object' && answer !== null ? answer : {}) as { result?: unknown; detail?: unknown }
  if (typeof result !== 'string') throw new MessageFailure('its answer has no "result"')
  return { result, detail: typeof detail === 'string' ? detail : null }
}
