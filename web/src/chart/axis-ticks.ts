/** Round values for the axes of a chart. */

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const stepsMs = [
  minuteMs, 5 * minuteMs, 10 * minuteMs, 30 * minuteMs,
  hourMs, 3 * hourMs, 6 * hourMs, 12 * hourMs,
  dayMs, 2 * dayMs, 7 * dayMs, 14 * dayMs, 28 * dayMs, 91 * dayMs, 364 * dayMs,
]

/** Top of a scale that holds `max`, and its ticks: 1, 2 or 5 times a power of ten apart, whole numbers only. */
export function countScale(max: number, tickCount = 3): { top: number; ticks: number[] } {
  const rough = Math.max(1, max / tickCount)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = Math.max(1, [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough)!)
  const top = Math.max(step, Math.ceil(max / step) * step)
  return { top, ticks: Array.from({ length: Math.round(top / step) }, (_, index) => (index + 1) * step) }
}

/** Times at which the clock of a zone is round, at most `atMost` of them. */
export function timeTicks(fromMs: number, uptoMs: number, timeZone: string, atMost: number) {
  const stepMs = stepsMs.find((step) => (uptoMs - fromMs) / step <= atMost) ?? stepsMs.at(-1)!
  const offsetMs = zoneOffsetMs(fromMs, timeZone)
  const first = Math.ceil((fromMs + offsetMs) / stepMs) * stepMs - offsetMs
  const ticks: number[] = []
  for (let tick = first; tick < uptoMs; tick += stepMs) {
    // Where the zone's offset changed on the way, the tick moves with the wall clock.
    ticks.push(tick + offsetMs - zoneOffsetMs(tick, timeZone))
  }
  return { stepMs, ticks }
}

/** How far the zone's wall clock is ahead of UTC at a time. */
export function zoneOffsetMs(timeMs: number, timeZone: string): number {
  const whole = Math.floor(timeMs / 1000) * 1000
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric',
    hour: 'numeric', minute: 'numeric', second: 'numeric',
  }).formatToParts(whole)
  const part = (type: string) => Number(parts.find((one) => one.type === type)?.value)
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second')) - whole
}
