/**
 * What the DNS would say of the history's remotes: the name of who is at it, and no other.
 *
 * Why  a history must not ask the world about invented addresses, and comes out the same each time: names follow
 *      from the plan of a session, and how long an answer takes from the seed.
 */
import type { Answer, RecordOf, RecordType, Resolver } from '../gateway/checks/resolver.ts'
import { reverseName } from '../gateway/checks/reverse-name.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { SessionPlan } from './session-plan.ts'
import type { SimulatedTime } from './simulated-time.ts'

type Named = { pointer: string; name: string | null; ip: string; isConfirmed: boolean }

export class ScriptedNames implements Resolver {
  readonly #time: SimulatedTime
  readonly #random: SeededRandom
  #remote: Named = { pointer: '', name: null, ip: '', isConfirmed: false }

  constructor(time: SimulatedTime, random: SeededRandom) {
    this.#time = time
    this.#random = random
  }

  /** From now on questions are about the remote of this session. */
  speakOf({ remoteIp, helo }: SessionPlan): void {
    const lastOctet = lastOctetOf(remoteIp)
    const isKept = /\.example$|\.test$/.test(helo) && !helo.includes('.dsl.')
    // Of lines that send spam some have no name, some have one of a pool, and of some it leads back.
    const pool = lastOctet % 3 === 0 ? null : `pool-${lastOctet}.dsl.example`
    this.#remote = {
      pointer: reverseName(remoteIp) ?? '',
      name: isKept ? helo : pool,
      ip: remoteIp,
      isConfirmed: isKept || lastOctet % 3 === 1,
    }
  }

  async ask<Type extends RecordType>(name: string, type: Type): Promise<Answer<RecordOf[Type]>> {
    this.#time.pass(this.#random.logNormal(14, 0.7))
    const { pointer, name: own, ip, isConfirmed } = this.#remote
    let record: string | null = null
    if (type === 'PTR' && name === pointer) record = own
    if (type === 'A' && name === own && isConfirmed) record = ip
    if (record === null) return { status: 'none', hasName: name === own }
    return { status: 'found', records: [record] as unknown as RecordOf[Type][] }
  }
}

const countries = ['DE', 'DE', 'DE', 'FR', 'NL', 'PL', 'AT', 'US', 'US', 'GB', 'CN', 'BR', 'VN']

/** A country for each of the addresses that belong to none, `null` for those of the organisation. */
export function inventedCountryOf(ip: string): string | null {
  return ip.startsWith('10.') || ip.startsWith('127.') ? null : countries[lastOctetOf(ip) % countries.length]!
}

function lastOctetOf(ip: string): number {
  return Number(ip.slice(ip.lastIndexOf('.') + 1))
}
