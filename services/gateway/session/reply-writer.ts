/**
 * Replies on their way to the remote: gathered, written in one piece, and watched until they are handed over.
 *
 * Owns   which acknowledged messages the remote may not have heard of.
 * Why    a reply counts as heard once the remote says anything after it; until then a broken connection makes the
 *        message a candidate for a retry that must not be delivered twice.
 */
import type { Connection } from './connection.ts'
import type { MessageIdentity } from './duplicate-index.ts'

export type Acknowledged = { transactionId: string; identity: MessageIdentity }

export class ReplyWriter {
  sentBytes = 0
  readonly #connection: Connection
  #text = ''
  /** Acknowledged in `#text`. */
  #unwritten: Acknowledged[] = []
  /** Written, and not known to be heard. */
  #unheard: Acknowledged[] = []
  /** Handing over failed. */
  #isBroken = false

  constructor(connection: Connection) {
    this.#connection = connection
  }

  add(text: string, acknowledged: Acknowledged | null = null): void {
    this.#text += text
    if (acknowledged !== null) this.#unwritten.push(acknowledged)
  }

  flush(): void {
    if (this.#text === '') return
    const text = this.#text
    this.#text = ''
    this.sentBytes += text.length
    this.#unheard.push(...this.#unwritten.splice(0))
    this.#connection.write(text, (error) => {
      if (error != null) this.#isBroken = true
    })
  }

  /** The remote spoke again. */
  heard(): void {
    if (this.#unheard.length > 0 && !this.#isBroken) this.#unheard = []
  }

  /** Messages of which the remote may not know that they were accepted, now that the connection is over. */
  unheard(isConnectionBroken: boolean): readonly Acknowledged[] {
    return isConnectionBroken || this.#isBroken ? [...this.#unheard, ...this.#unwritten] : this.#unwritten
  }
}
