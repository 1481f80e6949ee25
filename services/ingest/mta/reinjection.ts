/**
 * Knows a message that a content filter handed back to the same Postfix (amavis and its like): it came from this machine
 * a second time, and is billed once.
 *
 * Why    the first one's delivery names the second's queue id (`queued as …`), or the filter names the first one's
 *        (`orig_queue_id=`). Where neither is written, it is the first one if it has the same Message-ID, came from
 *        elsewhere, and was handed to nobody so far. A forward by an alias of local(8) is known in the same way.
 * Limits remembers the last `rememberedCount` hand-overs; where the two stand in files that are ingested by two
 *        commands, nothing is recognised.
 */
const rememberedCount = 20_000

type Original = { transactionId: string; isHandedOn: boolean }

export class Reinjection {
  #originals = new Map<string, Original>()
  #byQueueId = new Map<string, string>()
  /** Those that are in the queue, by their own queue id. */
  #open = new Map<string, string>()
  #byTransaction = new Map<string, Original>()

  began(host: string, queueId: string, messageId: string, transactionId: string, isFromLoopback: boolean): void {
    if (!isFromLoopback) this.#open.set(`${host} ${queueId}`, transactionId)
    const key = `${host} ${messageId}`
    if (isFromLoopback || this.#originals.has(key)) return
    const original = { transactionId, isHandedOn: false }
    this.#originals.set(key, original)
    this.#byTransaction.set(transactionId, original)
  }

  /** A delivery succeeded; `queueId`: what a next hop on this machine called it. */
  handedOn(host: string, transactionId: string, queueId: string | null): void {
    const original = this.#byTransaction.get(transactionId)
    if (original !== undefined) original.isHandedOn = true
    if (queueId === null) return
    if (this.#byQueueId.size >= rememberedCount) this.#byQueueId.delete(this.#byQueueId.keys().next().value!)
    this.#byQueueId.set(`${host} ${queueId}`, transactionId)
  }

  /** `originalQueueId`: what the filter says the original's was (XFORWARD). */
  originalOf(host: string, queueId: string, originalQueueId: string | null, messageId: string | null, transactionId: string): string | null {
    const named = this.#byQueueId.get(`${host} ${queueId}`) ?? this.#open.get(`${host} ${originalQueueId}`)
    if (named !== undefined) return named
    const original = messageId === null ? undefined : this.#originals.get(`${host} ${messageId}`)
    return original === undefined || original.isHandedOn || original.transactionId === transactionId ? null : original.transactionId
  }

  ended(host: string, queueId: string, messageId: string | null, transactionId: string): void {
    this.#open.delete(`${host} ${queueId}`)
    this.#byTransaction.delete(transactionId)
    const key = `${host} ${messageId}`
    if (this.#originals.get(key)?.transactionId === transactionId) this.#originals.delete(key)
  }
}
