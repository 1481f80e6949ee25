/**
 * The resolver of the gateway: the one of Node (c-ares) with name servers of its own, a cache, and a bound on how
 * much is asked at once.
 *
 * Owns    caching by the TTL of an answer between bounds, one question for all who ask the same, the bounds.
 * Limits  `concurrent` questions at once, ten times as many wait, more are `unknown` at once; `cacheEntries` answers
 *         of at most 4 KB; 100 records of an answer are looked at.
 * Why     c-ares tells TTLs of addresses only: other answers are kept for `cacheSeconds`, and that there is none
 *         for `negativeCacheSeconds`. A failure is not kept: the next one who asks may have more luck.
 */
import { Resolver as NodeResolver } from 'node:dns/promises'
import type { Clock } from '../../kit/clock.ts'
import type { Config } from '../../kit/config.ts'
import { BoundedCache } from './bounded-cache.ts'
import { isQuestionName, type Answer, type RecordOf, type RecordType, type Resolver } from './resolver.ts'

type Settings = Config['checks']['dns']
type AnyAnswer = Answer<RecordOf[RecordType]>
type Fetched = { answer: AnyAnswer; ttlSeconds: number }

const recordLimit = 100
const cachedAnswerChars = 4_096

export class DnsResolver implements Resolver {
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #node: NodeResolver
  readonly #cache: BoundedCache<{ answer: AnyAnswer; untilMs: number }>
  readonly #pending = new Map<string, Promise<AnyAnswer>>()
  readonly #waiting: (() => void)[] = []
  #runningCount = 0
  #isClosed = false

  constructor(settings: Settings, clock: Clock) {
    this.#settings = settings
    this.#clock = clock
    this.#node = new NodeResolver({ timeout: settings.timeoutMs, tries: settings.tries })
    if (settings.servers.length > 0) this.#node.setServers(settings.servers)
    this.#cache = new BoundedCache(settings.cacheEntries)
  }

  /** Answers kept and questions under way. */
  get counts(): { cached: number; pending: number } {
    return { cached: this.#cache.size, pending: this.#pending.size }
  }

  async ask<Type extends RecordType>(name: string, type: Type): Promise<Answer<RecordOf[Type]>> {
    const asked = name.toLowerCase().replace(/\.$/, '')
    if (!isQuestionName(asked)) return { status: 'none', hasName: false }
    const key = `${type} ${asked}`
    const cached = this.#cache.get(key)
    if (cached !== undefined && cached.untilMs > this.#clock.nowMs()) return cached.answer as Answer<RecordOf[Type]>
    let pending = this.#pending.get(key)
    if (pending === undefined) {
      pending = this.#fetch(key, asked, type).finally(() => this.#pending.delete(key))
      this.#pending.set(key, pending)
    }
    return (await pending) as Answer<RecordOf[Type]>
  }

  /** Questions under way end as `unknown`. */
  close(): void {
    this.#isClosed = true
    this.#node.cancel()
    for (const go of this.#waiting.splice(0)) go()
  }

  async #fetch(key: string, name: string, type: RecordType): Promise<AnyAnswer> {
    if (this.#runningCount >= this.#settings.concurrent) {
      if (this.#waiting.length >= 10 * this.#settings.concurrent)
        return { status: 'unknown', why: 'too many questions' }
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    if (this.#isClosed) return { status: 'unknown', why: 'the gateway stops' }
    this.#runningCount += 1
    try {
      const { answer, ttlSeconds } = await fetchAnswer(this.#node, name, type)
      this.#keep(key, answer, ttlSeconds)
      return answer
    } finally {
      this.#runningCount -= 1
      this.#waiting.shift()?.()
    }
  }

  #keep(key: string, answer: AnyAnswer, ttlSeconds: number): void {
    const { cacheSeconds, negativeCacheSeconds } = this.#settings
    if (answer.status === 'unknown') return
    const seconds = answer.status === 'none' ? negativeCacheSeconds : Math.min(ttlSeconds, cacheSeconds)
    if (seconds <= 0 || charsOf(answer) > cachedAnswerChars) return
    this.#cache.set(key, { answer, untilMs: this.#clock.nowMs() + seconds * 1_000 })
  }
}

async function fetchAnswer(node: NodeResolver, name: string, type: RecordType): Promise<Fetched> {
  try {
    const { records, ttlSeconds } = await fetchRecords(node, name, type)
    if (records.length === 0) return { answer: { status: 'none', hasName: true }, ttlSeconds: 0 }
    return { answer: { status: 'found', records: records.slice(0, recordLimit) }, ttlSeconds }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // A name that c-ares cannot write into a question, nobody can have.
    if (code === 'ENOTFOUND' || code === 'EBADNAME')
      return { answer: { status: 'none', hasName: false }, ttlSeconds: 0 }
    if (code === 'ENODATA') return { answer: { status: 'none', hasName: true }, ttlSeconds: 0 }
    if (code === undefined) throw error
    return {
      answer: { status: 'unknown', why: failureTexts[code] ?? `the name server failed (${code})` },
      ttlSeconds: 0,
    }
  }
}

async function fetchRecords(
  node: NodeResolver,
  name: string,
  type: RecordType,
): Promise<{ records: RecordOf[RecordType][]; ttlSeconds: number }> {
  if (type === 'A' || type === 'AAAA') {
    const options = { ttl: true } as const
    const found = type === 'A' ? await node.resolve4(name, options) : await node.resolve6(name, options)
    const ttlSeconds = found.reduce((least, { ttl }) => Math.min(least, ttl), Infinity)
    return { records: found.map(({ address }) => address), ttlSeconds }
  }
  if (type === 'PTR') return { records: await node.resolvePtr(name), ttlSeconds: Infinity }
  if (type === 'MX') return { records: await node.resolveMx(name), ttlSeconds: Infinity }
  return { records: (await node.resolveTxt(name)).map((strings) => strings.join('')), ttlSeconds: Infinity }
}

const failureTexts: Record<string, string> = {
  ETIMEOUT: 'the name server did not answer in time',
  ESERVFAIL: 'the name server failed',
  EREFUSED: 'the name server refused to answer',
  ECONNREFUSED: 'no name server can be reached',
  ECANCELLED: 'the gateway stops',
  EBADRESP: 'the name server answered with nonsense',
}

function charsOf(answer: AnyAnswer): number {
  if (answer.status !== 'found') return 0
  let chars = 0
  for (const record of answer.records) chars += typeof record === 'string' ? record.length : record.exchange.length
  return chars
}
