/**
 * ClamAV: whether a message holds a virus, by the INSTREAM command of clamd.
 *
 * Results  clean; infected, with the name of the signature; skipped, where clamd takes no message so large.
 * Why      a message over the limit of clamd is reset while it is still being sent, and then its answer may be lost:
 *          so it is sent again. The version of the database stands in each result: "clean" means by the
 *          patterns of that day.
 */
import type { Static } from 'typebox'
import type { Clock } from '../../../kit/clock.ts'
import type { ClamdSettings } from '../../../kit/plugin-settings.ts'
import { DaemonConnection } from '../daemon-connection.ts'
import type { PluginMessage } from '../plugin-contract.ts'
import { skippedResult } from '../../../rules/check-names.ts'
import { MessageFailure, type Plugin, type PluginFinding } from '../plugin.ts'

const frameBytes = 256 * 1024
const versionMs = 60_000
const tries = 3

export function clamdPlugin(settings: Static<typeof ClamdSettings>, clock: Pick<Clock, 'nowMs'>): Plugin {
  const { address } = settings
  let known: { text: string; askedAtMs: number } | null = null

  async function version(signal: AbortSignal): Promise<string> {
    const nowMs = clock.nowMs()
    if (known !== null && nowMs >= known.askedAtMs && nowMs - known.askedAtMs < versionMs) return known.text
    const text = await DaemonConnection.use(address, signal, async (connection) => {
      await connection.write('zVERSION\0')
      return await connection.answer('\0')
    })
    known = { text: shortVersion(text), askedAtMs: nowMs }
    return known.text
  }

  return {
    kind: 'clamd',
    settings,
    version,
    async scan(message, signal) {
      const [reply, by] = await Promise.all([scanned(address, message, signal), version(signal).catch(() => null)])
      const { result, detail } = findingOf(reply)
      return { result, detail: [detail, by].filter((part) => part !== null).join('; ') || null }
    },
  }
}

async function scanned(address: string, message: PluginMessage, signal: AbortSignal): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await sent(address, message, signal)
    } catch (error) {
      const { cause } = error as Error
      const isReset = cause instanceof Error && 'code' in cause && ['ECONNRESET', 'EPIPE'].includes(String(cause.code))
      if (!isReset || attempt === tries || signal.aborted) throw error
    }
  }
}

async function sent(address: string, message: PluginMessage, signal: AbortSignal): Promise<string> {
  return await DaemonConnection.use(address, signal, async (connection) => {
    let isWanted = await connection.write('zINSTREAM\0')
    for await (const chunk of message.octets()) {
      for (let at = 0; at < chunk.length && isWanted; at += frameBytes) {
        const frame = chunk.subarray(at, at + frameBytes)
        isWanted = await connection.write(lengthOf(frame.length), frame)
      }
      if (!isWanted) break
    }
    if (isWanted) await connection.write(lengthOf(0))
    return await connection.answer('\0')
  })
}

function lengthOf(octetCount: number): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(octetCount)
  return length
}

function findingOf(reply: string): PluginFinding {
  const text = reply.replace(/^stream: /, '')
  if (text === 'OK') return { result: 'clean', detail: null }
  const infected = /^(.+) FOUND$/s.exec(text)
  if (infected !== null) return { result: 'infected', detail: infected[1]! }
  if (text.startsWith('INSTREAM size limit exceeded')) return { result: skippedResult, detail: 'over StreamMaxLength of clamd' }
  throw new MessageFailure(`clamd said: ${reply}`)
}

/** `ClamAV 1.4.6/27345/Mon Nov 23 …` without the date: the number tells it. */
function shortVersion(text: string): string {
  return text.split('/').slice(0, 2).join('/')
}
