/** The adapter of each format. */
import type { MtaAdapter } from './assembler.ts'
import { eximAdapter } from './exim.ts'
import { harakaAdapter } from './haraka.ts'
import type { MtaEvents } from './mta-event.ts'
import type { MtaSource } from './mta-line.ts'
import { postfixAdapter } from './postfix.ts'

export function adapterOf(source: MtaSource, events: MtaEvents, host: string): MtaAdapter {
  if (source === 'postfix') return postfixAdapter(events)
  return source === 'exim' ? eximAdapter(events, host) : harakaAdapter(events, host)
}
