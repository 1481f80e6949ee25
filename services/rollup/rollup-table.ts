/** The derived tables: what each is summed from, and by which statement. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { packageRoot } from '../kit/package-root.ts'

export type RollupTable = {
  name: string
  /** The column that says when, and whether it is a day or an hour. */
  timeColumn: 'hour' | 'day'
  /** Sums of ingested batches, or of metered ones. */
  source: 'ingested' | 'metered'
  /** Whether it is summed from rule hits, which retention may remove before the messages. */
  needsDetails: boolean
  sumStatement: string
}

const table = (name: string, timeColumn: RollupTable['timeColumn'], more: Partial<RollupTable> = {}): RollupTable => ({
  name,
  timeColumn,
  source: 'ingested',
  needsDetails: false,
  sumStatement: readFileSync(path.join(packageRoot, 'services', 'rollup', 'sql', `${name.replaceAll('_', '-')}.sql`), 'utf8'),
  ...more,
})

export const rollupTables: readonly RollupTable[] = [
  table('traffic_hour', 'hour'),
  table('rule_hour', 'hour', { needsDetails: true }),
  table('rule_message_hour', 'hour', { needsDetails: true }),
  table('recipient_day', 'day'),
  table('sender_day', 'day'),
  table('client_hour', 'hour', { source: 'metered' }),
]
