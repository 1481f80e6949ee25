/**
 * When a scheduled export is due, and of what.
 *
 * Why  `month` writes a month once it has ended; `day` writes the month so far of each day that has ended. What was
 *      missed is made up for: every month, and of the days of a month the last one, since it holds the others. An
 *      export that never ran begins with the newest run that is due, not with the first month of the tenant.
 */
import { calendarDays, nextMonthLabel, previousMonthLabel, type Period } from '../../contracts/period.ts'

export type ExportRun = {
  /** `2026-11`, or `2026-11-24` of a day: part of the file's name; later runs sort later. */
  key: string
  /** Label of the month that it writes. */
  period: string
  dueAt: Date
}

/**
 * Runs that are due at `now` and come after the newest done one, oldest first. `periodOf` and `periodAt` are those of
 * the tenant; `afterMidnightMs` is how long after the end of a month or day its run is due.
 */
export function dueRuns(
  every: 'day' | 'month',
  newestDone: string | null,
  now: Date,
  afterMidnightMs: number,
  { periodOf, periodAt }: { periodOf(label: string): Period; periodAt(time: Date): Period },
): ExportRun[] {
  const isDue = (run: ExportRun): boolean => run.dueAt.getTime() <= now.getTime()
  const newestOf = (label: string): ExportRun | undefined =>
    runsOf(every, periodOf(label), afterMidnightMs).findLast(isDue)
  // The newest month of which something is due, seen from the running one.
  let label = periodAt(now).label
  while (newestOf(label) === undefined) label = previousMonthLabel(label)
  if (newestDone === null) return [newestOf(label)!]
  const runs: ExportRun[] = []
  for (let month = newestDone.slice(0, 7); month <= label; month = nextMonthLabel(month)) {
    const newest = newestOf(month)
    if (newest !== undefined && newest.key > newestDone) runs.push(newest)
  }
  return runs
}

function runsOf(every: 'day' | 'month', period: Period, afterMidnightMs: number): ExportRun[] {
  const ends = every === 'month' ? [period] : calendarDays(period)
  return ends.map(({ label, upto }) => ({
    key: label,
    period: period.label,
    dueAt: new Date(upto.getTime() + afterMidnightMs),
  }))
}
