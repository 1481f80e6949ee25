/** `tollgate erase recipient ADDRESS`: tells what would change, and with `--yes` changes it. */
import { recordAudit } from '../api/access/audit.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import { eraseAddress, erasureFault } from '../database/erasure/erase-address.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'
import { progressBar } from './progress-bar.ts'

export type EraseOptions = { address: string; isConfirmed: boolean; isDemo: boolean }

export async function eraseRecipient(configured: Config, { address, isConfirmed, isDemo }: EraseOptions): Promise<void> {
  const fault = erasureFault(address)
  if (fault !== null) throw new UsageError(`${fault}.`)
  await withCommandDatabase(configured, { isDemo }, async ({ database, config }) => {
    const tenantId = config.tenant
    await ensureTenant(database, tenantId)
    const bar = progressBar(isConfirmed ? 'erasing' : 'looking')
    const { replacement, counts } = await eraseAddress({
      database,
      tenantId,
      address,
      actor: 'command line',
      isDry: !isConfirmed,
      onBegun: (subject) => recordAudit(database, tenantId, { actor: 'command line', action: 'address.erased', subject }),
      onProgress: (done, all) => bar.show(done, all),
    })
    bar.end()
    const found = Object.entries(counts).filter(([, count]) => count > 0n).map(([part, count]) => `${count} ${part}`)
    const list = found.length === 0 ? 'nothing' : found.join(', ')
    process.stdout.write(
      replacement === null
        ? `Would change: ${list}. Nothing is changed yet: --yes does it, and it cannot be undone.\n`
        : `Changed: ${list}. ${replacement} stands in place of the address.\n`,
    )
  })
}
