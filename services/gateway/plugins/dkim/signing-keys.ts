/**
 * The private keys for DKIM by domain, read once at the start.
 *
 * Fails  throws with a sentence that names setting, file and remedy: a gateway that should sign and cannot must not
 *        start and send mail that fails DMARC.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { normalizedDomain } from '../../../contracts/address.ts'

export type KeySettings = { domain: string; selector: string; file: string }
export type SigningKey = { domain: string; selector: string; algorithm: 'rsa' | 'ed25519'; privateKey: string }

const leastRsaBits = 1_024

export async function readSigningKeys(settings: readonly KeySettings[]): Promise<Map<string, SigningKey[]>> {
  const keys = new Map<string, SigningKey[]>()
  for (const [index, { domain, selector, file }] of settings.entries()) {
    const normalized = normalizedDomain(domain)
    const known = keys.get(normalized) ?? []
    const fault = (message: string, cause?: unknown): Error =>
      new Error(`plugins.dkim: key ${index + 1} (${domain}, selector ${selector}): ${message}`, { cause })
    if (known.some((key) => key.selector === selector)) throw fault('another key has this domain and selector: give each a selector of its own')
    let privateKey: string
    try {
      privateKey = await readFile(file, 'utf8')
    } catch (error) {
      throw fault(`${file} cannot be read: check path and rights of the file`, error)
    }
    const algorithm = algorithmOf(privateKey, file, fault)
    keys.set(normalized, [...known, { domain: normalized, selector, algorithm, privateKey }])
  }
  return keys
}

function algorithmOf(pem: string, file: string, fault: (message: string, cause?: unknown) => Error): SigningKey['algorithm'] {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (error) {
    throw fault(`${file} is no private key in PEM without a passphrase: make one with openssl genpkey`, error)
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'ed25519') return type
  if (type !== 'rsa') throw fault(`${file} is a key of type ${type}: DKIM knows rsa and ed25519`)
  const bits = details?.modulusLength ?? 0
  if (bits < leastRsaBits) throw fault(`${file} has ${bits} bits, which receivers take for no signature: make one of 2048`)
  return type
}
