/**
 * The demo's live mail: remotes that connect to the real gateway.
 *
 * Limits  at most `sessionsAtOnce`; a remote tries again three times, and then gives up.
 * Why     every kind of remote binds the loopback address of its network: the gateway tells them apart as it does
 *         in the world, by where the connection comes from.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../kit/operator-log.ts'
import type { SocketAddress } from '../kit/socket-address.ts'
import type { MailPlanner } from './mail-planner.ts'
import type { SessionPlan } from './session-plan.ts'
import { playSession } from './smtp-dialog.ts'

export type LiveStreamOptions = {
  planner: MailPlanner
  /** Where the gateway listens now; `null` while it does not. */
  gateway(): SocketAddress | null
  /** Lively at first, so that whoever starts the demo sees mail flow; then about as much as its history has. */
  sessionsPerSecond: { opening: number; settled: number; openingMs: number }
  log: Logger
  signal: AbortSignal
}

const sessionsAtOnce = 20
const longestPauseMs = 60_000
const retryAfterMs = [4_000, 15_000, 60_000]

export async function runLiveStream(options: LiveStreamOptions): Promise<void> {
  const { planner, signal } = options
  const open = new Set<Promise<void>>()
  const start = (plan: SessionPlan, attempt: number): void => {
    const session = play(plan, attempt, options, start).finally(() => open.delete(session))
    open.add(session)
  }
  const { opening, settled, openingMs } = options.sessionsPerSecond
  const openedAtMs = Date.now()
  while (!signal.aborted) {
    const plan = planner.plan(Date.now())
    if (open.size < sessionsAtOnce && options.gateway() !== null) start(plan, 0)
    // Arrivals are independent of one another.
    const perSecond = Date.now() - openedAtMs < openingMs ? opening : settled
    const pauseMs = (-Math.log(1 - planner.random.fraction()) * 1_000) / perSecond
    await sleep(Math.min(pauseMs, longestPauseMs), undefined, { signal }).catch(() => {})
  }
  await Promise.allSettled(open)
}

type Start = (plan: SessionPlan, attempt: number) => void

async function play(plan: SessionPlan, attempt: number, options: LiveStreamOptions, start: Start): Promise<void> {
  const gateway = options.gateway()
  let later = plan.transactions
  if (gateway !== null) {
    try {
      const outcomes = await playSession(plan, gateway, localAddressOf(plan))
      later = plan.transactions.filter((_, index) => outcomes[index] === 'later' || outcomes[index] === undefined)
    } catch (error) {
      options.log.debug({ err: error }, 'a remote of the demo lost its connection')
    }
  }
  const pauseMs = retryAfterMs[attempt]
  if (later.length === 0 || pauseMs === undefined || options.signal.aborted) return
  await sleep(pauseMs, undefined, { signal: options.signal }).catch(() => {})
  // The same octets again, and this time the remote waits for the reply.
  const transactions = later.map((transaction) => ({ ...transaction, givesUp: 'never' as const }))
  if (!options.signal.aborted) start({ ...plan, transactions }, attempt + 1)
}

/**
 * Any address of 127.0.0.0/8 is this machine's: the two inside stand for networks, the others for the internet. Where
 * a system has only 127.0.0.1, every remote is one of the internet.
 */
function localAddressOf({ origin, remoteIp }: SessionPlan): string | undefined {
  if (process.platform === 'darwin') return undefined
  if (origin === 'scanner') return '127.0.0.3'
  if (origin === 'office') return '127.0.0.4'
  return `127.0.1.${remoteIp.slice(remoteIp.lastIndexOf('.') + 1)}`
}
