/** The part of mailauth that signs. */
declare module 'mailauth/lib/dkim/dkim-signer.js' {
  export type SignatureData = { signingDomain: string; selector: string; privateKey: string }
  export class DkimSigner {
    constructor(options: { canonicalization: string; signTime: Date; signatureData: SignatureData[] })
    signatureHeaders: string[]
    errors: { selector?: string; err: Error }[]
    writeAsync(chunk: Uint8Array): Promise<void>
    finish(): Promise<void>
  }
  const signerModule: { DkimSigner: typeof DkimSigner }
  export default signerModule
}
