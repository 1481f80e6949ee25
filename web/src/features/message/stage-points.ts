/** The way of a message through the stages, with the time each took: the line of the message page. */
import type { MessageDetail } from '../../../../services/contracts/api.ts'
import { stages } from '../../../../services/contracts/vocabulary.ts'

export type StageName = (typeof stages)[number] | 'spool' | 'delivery'
export type StagePoint = {
  name: StageName
  /** `null`: not reached, or not logged. */
  durationUs: number | null
  state: 'passed' | 'ended' | 'unreached'
}

export function stagePoints({ event, deliveries }: MessageDetail): StagePoint[] {
  const reached = stages.indexOf(event.stage)
  const isQueued = event.queueId !== null
  const inDialog = stages.map((name, index): StagePoint => ({
    name,
    durationUs: index <= reached ? event.timings[`${name}Us`] : null,
    state: index > reached ? 'unreached' : index === reached && !isQueued ? 'ended' : 'passed',
  }))
  const delivering = deliveries.length > 0
  return [
    ...inDialog,
    { name: 'spool', durationUs: event.timings.spoolUs, state: isQueued ? 'passed' : 'unreached' },
    {
      name: 'delivery',
      durationUs: delivering ? deliveries.reduce((sum, one) => sum + one.durationUs, 0) : null,
      state: delivering ? 'ended' : 'unreached',
    },
  ]
}
