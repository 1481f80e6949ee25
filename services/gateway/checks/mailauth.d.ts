/** The parts of mailauth that the gateway calls, by the files they stand in: its entry loads far more. */
declare module 'mailauth/lib/spf/index.js' {
  export type MailauthResolver = (name: string, type: string) => Promise<unknown[]>
  const spfModule: {
    spf(options: {
      sender: string
      ip: string
      helo: string
      mta: string
      resolver: MailauthResolver
    }): Promise<{ domain: string; status: { result: string; comment?: string }; lookups?: { count: number } }>
  }
  export default spfModule
}

declare module 'mailauth/lib/dkim/dkim-verifier.js' {
  export type SignatureHeader = { type: string; bodyHashKey?: string; skip?: boolean; maxBodyLength?: unknown }
  export class DkimVerifier {
    constructor(options: { resolver: (name: string, type: string) => Promise<unknown[]>; curTime: Date })
    headerFrom: string[]
    signatureHeaders: SignatureHeader[]
    bodyHashes: Map<string, { maxSizeReached: boolean }>
    results: { signingDomain?: string; selector?: string; status: { result: string; comment?: string } }[]
    messageHeaders(headers: unknown): Promise<void>
    writeAsync(chunk: Uint8Array): Promise<void>
    finish(): Promise<void>
  }
  const verifierModule: { DkimVerifier: typeof DkimVerifier }
  export default verifierModule
}

declare module 'mailauth/lib/dmarc/index.js' {
  const dmarcModule: {
    dmarc(options: {
      headerFrom: string
      spfDomains: { domain: string }[]
      dkimDomains: { domain: string }[]
      resolver: (name: string, type: string) => Promise<unknown[]>
    }): Promise<{
      status: { result: string }
      policy?: string
      pct?: number
      alignment?: { spf: { strict: boolean }; dkim: { strict: boolean } }
    }>
  }
  export default dmarcModule
}
