/**
 * Who may log in to send mail, and how often a network may guess.
 *
 * Owns    the list in force, checking passwords, counting failures by network (/24 or /64).
 * Leaves  the exchange to verbs/auth.ts.
 * Limits  `failuresPerNetwork` in `windowMs`, checks under way counted as if they had failed; `concurrent` checks at
 *         once and `waiting` more: one costs 32 MiB and some 60 ms, and shares its threads with the disk.
 * Why     an unknown name costs as much time as a wrong password, and a user is never locked: that would let anybody
 *         keep others from sending.
 * Fails   a file that cannot be used stops the start; later the list before stays in force, and that is said.
 */
import { verifyPassword } from '../../kit/password.ts'
import { SlidingCounts } from '../checks/sliding-counts.ts'
import { neighbourhoodOf } from '../policy/network-table.ts'
import type { Credentials } from '../verbs/auth.ts'
import { readUsersFile, usersFileStamp, type SubmissionUser } from './users-file.ts'

const failuresPerNetwork = 10
const windowMs = 15 * 60_000
const countedNetworks = 50_000
const concurrent = 2
const waiting = 64

export type LoginOutcome = { user: SubmissionUser } | 'wrong' | 'too-many-failures' | 'busy'

type Options = { nowMs: () => number; onLost?: (sentence: string) => void }

export class SubmissionUsers {
  #users = new Map<string, SubmissionUser>()
  #stamp = ''
  #checkCount = 0
  readonly #turns: (() => void)[] = []
  readonly #file: string | null
  readonly #options: Options
  readonly #failures = new SlidingCounts(windowMs, countedNetworks)

  /** Without a file nobody may log in. */
  constructor(file: string | null, options: Options) {
    this.#file = file
    this.#options = options
  }

  /** Throws where the file cannot be used. */
  async open(): Promise<void> {
    if (this.#file === null) return
    this.#stamp = await usersFileStamp(this.#file)
    this.adopt(await readUsersFile(this.#file))
  }

  /** Takes the file again where it looks other than the last time, or where it is forced to. */
  async refresh(isForced = false): Promise<void> {
    if (this.#file === null) return
    const stamp = await usersFileStamp(this.#file)
    if (stamp === this.#stamp && !isForced) return
    this.#stamp = stamp
    try {
      this.adopt(await readUsersFile(this.#file))
    } catch (error) {
      this.#options.onLost?.(`${(error as Error).message}: the users before stay in force`)
    }
  }

  adopt(users: readonly SubmissionUser[]): void {
    this.#users = new Map(users.map((user) => [user.name.toLowerCase(), user]))
  }

  async logIn(ip: string | null, { user, password }: Credentials): Promise<LoginOutcome> {
    const network = ip === null ? 'unknown' : neighbourhoodOf(ip)
    if (this.#failures.total(network, this.#options.nowMs()) >= failuresPerNetwork) return 'too-many-failures'
    if (this.#turns.length >= waiting) return 'busy'
    // Taken as a failure until it is none: a hundred guesses at once are a hundred guesses.
    const countedAtMs = this.#options.nowMs()
    this.#failures.add(network, 1, countedAtMs)
    const known = this.#users.get(user.toLowerCase()) ?? null
    const isRight = await this.#inTurn(() => verifyPassword(known?.passwordHash ?? null, password))
    if (!isRight || known === null) return 'wrong'
    this.#failures.add(network, -1, countedAtMs)
    return { user: known }
  }

  async #inTurn<Value>(check: () => Promise<Value>): Promise<Value> {
    if (this.#checkCount >= concurrent) await new Promise<void>((resolve) => this.#turns.push(resolve))
    else this.#checkCount += 1
    try {
      return await check()
    } finally {
      const next = this.#turns.shift()
      if (next === undefined) this.#checkCount -= 1
      else next()
    }
  }
}

/** `<>` is nobody's address: programs answer with it, so that nobody answers them. */
export function maySendAs({ senders }: SubmissionUser, sender: string): boolean {
  if (senders === null || sender === '') return true
  const address = sender.toLowerCase()
  return senders.includes(address) || senders.includes(`*${address.slice(address.lastIndexOf('@'))}`)
}
