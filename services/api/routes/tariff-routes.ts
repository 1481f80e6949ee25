/** Tariffs, who carries them, and what a month would have cost under another one. */
import { simulateTariff } from '../../billing/tariffs/simulate-tariff.ts'
import { simulationResult } from '../../billing/tariffs/simulation-result.ts'
import { faultsOfTariff } from '../../billing/tariffs/faults-of-tariff.ts'
import { addTariffVersion, assignTariff, listAssignments, listTariffs, TariffRefusal, type Assignment, type Tariff } from '../../billing/tariffs/tariff-store.ts'
import { ApiError } from '../../contracts/api.ts'
import {
  NewTariff, NewTariffVersion, SimulationRequest, SimulationResult, TariffAssignmentRequest, TariffList, TariffView, type TariffAssignment,
} from '../../contracts/tariff-api.ts'
import { Type } from 'typebox'
import { recordAudit } from '../access/audit.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'

const readers = ['admin', 'accountant', 'viewer'] as const
const writers = ['admin', 'accountant'] as const

export function addTariffRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId } = context
  const store = { database, tenantId }

  server.get('/tariffs', {
    config: { roles: readers },
    schema: { summary: 'All tariffs with their versions, and which client carries which', response: { 200: TariffList } },
  }, async () => ({ tariffs: (await listTariffs(store)).map(tariffView), assignments: (await listAssignments(store)).map(assignmentView) }))

  server.post('/tariffs', {
    config: { roles: writers },
    schema: { summary: 'A new tariff; its first version holds from the beginning of time', body: NewTariff, response: { 201: TariffView, 400: ApiError } },
  }, async (request, reply) => {
    const { tariffId, definition } = request.body
    await asked(() => addTariffVersion(store, { tariffId, definition, from: null, by: loginOfRequest(request).name }))
    await recordAudit(database, tenantId, { actor: loginOfRequest(request).name, action: 'tariff.added', subject: tariffId })
    return await reply.code(201).send(await tariffOf(tariffId))
  })

  server.get('/tariffs/:id', {
    config: { roles: readers },
    schema: { summary: 'One tariff', params: Type.Object({ id: Type.String() }), response: { 200: TariffView, 404: ApiError } },
  }, async (request) => await tariffOf(request.params.id))

  server.post('/tariffs/:id/versions', {
    config: { roles: writers },
    schema: { summary: 'A version that holds from the start of a day on', params: Type.Object({ id: Type.String() }), body: NewTariffVersion, response: { 201: TariffView, 400: ApiError, 404: ApiError } },
  }, async (request, reply) => {
    const { id } = request.params
    await tariffOf(id)
    const { version } = await asked(() => addTariffVersion(store, { tariffId: id, ...request.body, by: loginOfRequest(request).name }))
    await recordAudit(database, tenantId, { actor: loginOfRequest(request).name, action: 'tariff.version-added', subject: id, detail: { version, from: request.body.from } })
    return await reply.code(201).send(await tariffOf(id))
  })

  server.put('/clients/:id/tariff', {
    config: { roles: writers },
    schema: { summary: 'Which tariff a client carries from a day on', params: Type.Object({ id: Type.String() }), body: TariffAssignmentRequest, response: { 200: TariffList.properties.assignments, 400: ApiError } },
  }, async (request) => {
    const { tariffId, from = null } = request.body
    const clientId = request.params.id
    const assignments = await asked(() => assignTariff(store, { clientId, tariffId, from, by: loginOfRequest(request).name }))
    await recordAudit(database, tenantId, { actor: loginOfRequest(request).name, action: 'tariff.assigned', subject: clientId, detail: { tariffId, from } })
    return assignments.map(assignmentView)
  })

  server.post('/tariffs/simulations', {
    config: { roles: readers },
    schema: { summary: 'What a month would have cost under a tariff; nothing is changed', body: SimulationRequest, response: { 200: SimulationResult, 400: ApiError, 404: ApiError } },
  }, async (request) => {
    const { period, tariffId, clientId = null } = request.body
    const definition = request.body.definition ?? (tariffId === undefined ? undefined : (await tariffOf(tariffId)).versions.at(-1)!.definition)
    if (definition === undefined) throw new ApiFault('bad-request', 'Name a tariff by tariffId, or write one as definition')
    const faults = faultsOfTariff(definition)
    if (faults.length > 0) throw new ApiFault('bad-request', `The tariff has faults: ${faults.join('; ')}`)
    return simulationResult(period, await asked(() => simulateTariff({ database, tenantId, period, tariff: tariffId ?? 'draft', definition, clientId })))
  })

  async function tariffOf(id: string): Promise<TariffView> {
    const found = (await listTariffs(store)).find(({ tariffId }) => tariffId === id)
    if (found === undefined) throw new ApiFault('not-found', `There is no tariff "${id}"`)
    return tariffView(found)
  }
}

/** What cannot be done is the caller's mistake, with the remedy in it. */
export async function asked<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof TariffRefusal || error instanceof RangeError) throw new ApiFault('bad-request', error.message)
    throw error
  }
}

function tariffView({ tariffId, versions }: Tariff): TariffView {
  return {
    tariffId,
    versions: versions.map((version) => ({ ...version, validFrom: version.validFrom?.toISOString() ?? null, createdAt: version.createdAt.toISOString() })),
  }
}

function assignmentView({ clientId, tariffId, from, upto }: Assignment): TariffAssignment {
  return { clientId, tariffId, from: from?.toISOString() ?? null, upto: upto?.toISOString() ?? null }
}
