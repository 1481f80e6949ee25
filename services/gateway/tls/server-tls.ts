/**
 * The gateway's side of TLS: certificate and key from their files, made into contexts that sockets are secured with.
 *
 * Owns    reading both files, taking a renewed pair without a restart, and the oldest version that each network may
 *         speak.
 * Why     printers of old know nothing newer than TLS 1.0 (SYSTEMS P6): a network may lower the minimum for itself,
 *         and only for such a context OpenSSL's own bounds are lowered too.
 * Fails   at a start a pair that cannot be used is an error that names file and remedy; later it leaves the one in
 *         force and says so.
 */
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext, type SecureVersion } from 'node:tls'
import type { Logger } from 'pino'
import type { Config } from '../../kit/config.ts'

export type TlsSettings = NonNullable<Config['smtp']['tls']>
export type TlsVersion = TlsSettings['minVersion']

type Pair = { certificate: Buffer; key: Buffer }

const dayMs = 86_400_000
const warnedDays = 14

export class ServerTls {
  readonly #settings: TlsSettings
  readonly #log: Logger
  #pair: Pair | null = null
  readonly #contexts = new Map<TlsVersion, SecureContext>()

  constructor(settings: TlsSettings, log: Logger) {
    this.#settings = settings
    this.#log = log
  }

  /** Throws where the pair cannot be used. */
  async open(nowMs: number): Promise<void> {
    this.#use(await readPair(this.#settings), nowMs)
  }

  /** Takes a renewed certificate; connections that are secured already keep theirs. */
  async reload(nowMs: number): Promise<void> {
    try {
      const pair = await readPair(this.#settings)
      if (this.#pair !== null && pair.certificate.equals(this.#pair.certificate) && pair.key.equals(this.#pair.key)) return
      this.#use(pair, nowMs)
      this.#log.info({ certificate: this.#settings.certificate }, 'The renewed certificate is in force')
    } catch (error) {
      this.#log.error(error, 'The certificate could not be renewed: the one before stays in force')
    }
  }

  /** For a network that allows `minVersion`, or what the settings say for all. */
  context(minVersion: TlsVersion | null): SecureContext {
    const version = minVersion ?? this.#settings.minVersion
    let context = this.#contexts.get(version)
    if (context === undefined) {
      context = contextOf(this.#pair!, version)
      this.#contexts.set(version, context)
    }
    return context
  }

  #use(pair: Pair, nowMs: number): void {
    // Made before anything is replaced: a pair that does not fit together throws here.
    const { minVersion, certificate } = this.#settings
    const context = contextOf(pair, minVersion)
    this.#pair = pair
    this.#contexts.clear()
    this.#contexts.set(minVersion, context)
    const expiresMs = Date.parse(new X509Certificate(pair.certificate).validTo)
    if (expiresMs - nowMs < warnedDays * dayMs) {
      this.#log.warn({ certificate, expires: new Date(expiresMs).toISOString() }, 'The certificate expires soon: renew it')
    }
  }
}

function contextOf({ certificate, key }: Pair, minVersion: TlsVersion): SecureContext {
  const isOld = minVersion === 'TLSv1' || minVersion === 'TLSv1.1'
  return createSecureContext({
    cert: certificate,
    key,
    minVersion: minVersion satisfies SecureVersion,
    // OpenSSL 3 allows neither of the two versions at its usual security level.
    ...(isOld ? { ciphers: 'DEFAULT:@SECLEVEL=0' } : {}),
  })
}

async function readPair(settings: TlsSettings): Promise<Pair> {
  const certificate = await readPem(settings.certificate, 'certificate')
  const key = await readPem(settings.key, 'key')
  let x509: X509Certificate
  try {
    x509 = new X509Certificate(certificate)
  } catch (error) {
    throw new Error(`${settings.certificate} holds no certificate: smtp.tls.certificate needs a PEM file, the chain included`, { cause: error })
  }
  let isPair: boolean
  try {
    isPair = x509.checkPrivateKey(createPrivateKey(key))
  } catch (error) {
    throw new Error(`${settings.key} holds no private key: smtp.tls.key needs a PEM file without a passphrase`, { cause: error })
  }
  if (!isPair) throw new Error(`the key ${settings.key} does not belong to the certificate ${settings.certificate}`)
  return { certificate, key }
}

async function readPem(file: string, setting: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw new Error(`${file} cannot be read: check the setting "smtp.tls.${setting}" and the rights of the file`, { cause: error })
  }
}
