/** Erasing one person's data on request. */
import { ApiError, ErasureList, ErasureReport, ErasureRequest } from '../../contracts/api.ts'
import { eraseAddress, erasureFault } from '../../database/erasure/erase-address.ts'
import { recordAudit } from '../access/audit.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'

export function addErasureRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId } = context

  server.post(
    '/erasures',
    {
      config: { roles: ['admin'] },
      schema: {
        summary: 'Take an address out of everything that is stored, or count what that would change; answers when it is done',
        body: ErasureRequest,
        response: { 200: ErasureReport, 400: ApiError },
      },
    },
    async (request) => {
      const { address, dryRun = false } = request.body
      const fault = erasureFault(address)
      if (fault !== null) throw new ApiFault('bad-request', fault)
      const actor = loginOfRequest(request).name
      const { replacement, counts } = await eraseAddress({
        database,
        tenantId,
        address,
        actor,
        isDry: dryRun,
        // The record holds what stands in place of the address, never the address.
        onBegun: (subject) => recordAudit(database, tenantId, { actor, action: 'address.erased', subject }),
      })
      return { replacement, counts: Object.fromEntries(Object.entries(counts).map(([part, count]) => [part, String(count)])) }
    },
  )

  server.get(
    '/erasures',
    {
      config: { roles: ['admin'] },
      schema: { summary: 'The erasures so far, newest first', response: { 200: ErasureList } },
    },
    async () => {
      const { rows } = await database.pool.query<{ replacement: string; erased_at: Date; erased_by: string; finished_at: Date | null }>(
        `select replacement, max(erased_at) as erased_at, max(erased_by) as erased_by, min(finished_at) as finished_at
         from erased_address where tenant_id = $1 group by replacement order by 2 desc`,
        [tenantId],
      )
      return {
        erasures: rows.map((row) => ({
          replacement: row.replacement,
          erasedAt: row.erased_at.toISOString(),
          erasedBy: row.erased_by,
          finishedAt: row.finished_at?.toISOString() ?? null,
        })),
      }
    },
  )
}
