/** What a transaction costs on disk, in all and by table and index, against its share of the raw log. */
import { rounded, type Bench, type Figure } from './bench.ts'
import { loadedLog } from './loaded-log.ts'

type Size = { name: string; bytes: bigint }

/** Partitions under the name of their table or index. TOAST belongs to its table. */
const sizes = `
  select root.relname as name, sum(case when leaf.relkind = 'r' then pg_table_size(leaf.oid) else pg_relation_size(leaf.oid) end)::bigint as bytes
  from pg_class root join pg_inherits link on link.inhparent = root.oid join pg_class leaf on leaf.oid = link.inhrelid
  where root.relkind in ('p', 'I') and root.relnamespace = 'public'::regnamespace
  group by 1 having sum(pg_relation_size(leaf.oid)) > 0 order by 2 desc`

export const bench: Bench = {
  name: 'disk.transaction',
  goal: null,
  run: async (context) => {
    const { database, transactionCount, logBytes } = await loadedLog(context)
    const { rows } = await database.pool.query<Size>(sizes)
    const all = rows.reduce((sum, row) => sum + Number(row.bytes), 0)
    const figure = (name: string, bytes: number, peer: string, theirBytes: number): Omit<Figure, 'command'> => ({
      name,
      unit: 'bytes a transaction',
      ours: rounded(bytes / transactionCount),
      peer,
      theirs: rounded(theirBytes / transactionCount),
      ratio: rounded(theirBytes / bytes),
      goal: null,
      met: null,
      runs: 1,
      spread: 0,
    })
    return [
      figure(bench.name, all, 'the raw log', logBytes),
      ...rows.map((row) => figure(`${bench.name}.${row.name}`, Number(row.bytes), 'all tables and indexes', all)),
    ]
  },
}
