/** Clients and the addresses they hold: read by all who look at billing, changed where no file governs them. */
import { PassThrough } from 'node:stream'
import { Type } from 'typebox'
import { directoryChangeText } from '../../billing/clients/directory-change-text.ts'
import { directoryTable, parseDirectoryCsv } from '../../billing/clients/directory-csv.ts'
import { listClients, readClient, readDirectoryNow } from '../../billing/clients/read-clients.ts'
import { writeTable } from '../../billing/exports/write-table.ts'
import { DirectoryFault, importDirectory } from '../../billing/import-directory.ts'
import { ApiError } from '../../contracts/api.ts'
import { normalizedAddress } from '../../contracts/address.ts'
import { ClientChange, ClientChanges, ClientDetail, ClientImport, ClientList, NewAddress, NewClient } from '../../contracts/client.ts'
import type { DirectoryFile } from '../../contracts/directory.ts'
import { recordAudit } from '../access/audit.ts'
import { ApiFault } from '../api-fault.ts'
import { loginOfRequest } from '../access/route-access.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'

const readers = ['admin', 'accountant', 'viewer'] as const
const writers = ['admin', 'accountant'] as const
const ById = Type.Object({ id: Type.String({ maxLength: 100 }) })
const largestImportBytes = 60_000_000

type Client = DirectoryFile['clients'][number]

export function addClientRoutes(server: ApiServer, { database, tenantId, config, clock }: ApiContext): void {
  const now = (): Date => new Date(clock.nowMs())
  const changed = { 200: ClientChanges, 400: ApiError, 404: ApiError, 409: ApiError }

  server.get('/clients', {
    config: { roles: readers },
    schema: { summary: 'All clients', response: { 200: ClientList } },
  }, async () => ({ clients: await listClients(database, tenantId, now()), source: config.recipients.directory === undefined ? 'database' as const : 'file' as const }))

  server.get('/clients/:id', {
    config: { roles: readers },
    schema: { summary: 'One client with its addresses, those it held before included', params: ById, response: { 200: ClientDetail, 404: ApiError } },
  }, async (request) => {
    const client = await readClient(database, tenantId, request.params.id, now())
    if (client === null) throw new ApiFault('not-found', `There is no client "${request.params.id}"`)
    return client
  })

  server.get('/clients/export', {
    config: { roles: readers },
    schema: { summary: 'Clients and addresses as CSV, one line an address' },
  }, async (_request, reply) => {
    const output = new PassThrough()
    writeTable(directoryTable(await readDirectoryNow(database, tenantId)), output).then(() => output.end(), (error: Error) => output.destroy(error))
    reply.header('content-disposition', 'attachment; filename="clients.csv"')
    return await reply.type('text/csv; charset=utf-8; header=present').send(output)
  })

  server.post('/clients/import', {
    config: { roles: writers },
    bodyLimit: largestImportBytes,
    schema: { summary: 'The whole directory out of CSV; with dryRun it only tells each change', body: ClientImport, querystring: Type.Object({}, { additionalProperties: false }), response: changed },
  }, async (request) => {
    const { csv, dryRun = false, force = false } = request.body
    return await change(loginOfRequest(request).name, 'clients.imported', null, () => parseDirectoryCsv(csv), { dryRun, force })
  })

  server.post('/clients', {
    config: { roles: writers },
    schema: { summary: 'A new client, with addresses that it holds from now on', body: NewClient, response: changed },
  }, async (request) => {
    const { clientId, name, parentId, state = 'active', addresses = [] } = request.body
    return await change(loginOfRequest(request).name, 'client.added', clientId, ({ clients }) => {
      if (clients.some(({ id }) => id === clientId)) throw new ApiFault('conflict', `There is a client "${clientId}" already`)
      return { clients: [...clients, { id: clientId, name, state, addresses, ...(parentId == null ? {} : { parent: parentId }) }] }
    })
  })

  server.patch('/clients/:id', {
    config: { roles: writers },
    schema: { summary: 'Its name, its parent, or whether its mail is taken', params: ById, body: ClientChange, response: changed },
  }, async (request) => {
    const { id } = request.params
    const { name, parentId, state } = request.body
    return await change(loginOfRequest(request).name, 'client.changed', id, (directory) => ofClient(directory, id, (client) => {
      const { parent, ...rest } = client
      const newParent = parentId === undefined ? parent : parentId
      return { ...rest, ...(name === undefined ? {} : { name }), ...(state === undefined ? {} : { state }), ...(newParent == null ? {} : { parent: newParent }) }
    }))
  })

  server.post('/clients/:id/addresses', {
    config: { roles: writers },
    schema: { summary: 'An address that it holds from now on', params: ById, body: NewAddress, response: changed },
  }, async (request) => {
    const { id } = request.params
    const address = normalizedAddress(request.body.address, config.recipients)
    return await change(loginOfRequest(request).name, 'client.address-added', id, (directory) => {
      const holder = directory.clients.find(({ addresses }) => addresses.includes(address))
      if (holder !== undefined) throw new ApiFault('conflict', `${address} is held by ${holder.id}: take it from there first`)
      return ofClient(directory, id, (client) => ({ ...client, addresses: [...client.addresses, address] }))
    }, { detail: { address } })
  })

  server.delete('/clients/:id/addresses/:address', {
    config: { roles: writers },
    schema: { summary: 'An address that it holds no longer, from now on', params: Type.Object({ id: Type.String(), address: Type.String({ maxLength: 320 }) }), response: changed },
  }, async (request) => {
    const { id } = request.params
    const address = normalizedAddress(request.params.address, config.recipients)
    return await change(loginOfRequest(request).name, 'client.address-removed', id, (directory) => ofClient(directory, id, (client) => {
      if (!client.addresses.includes(address)) throw new ApiFault('not-found', `${id} does not hold ${address}`)
      return { ...client, addresses: client.addresses.filter((one) => one !== address) }
    }), { detail: { address } })
  })

  async function change(
    actor: string,
    action: 'client.added' | 'client.changed' | 'client.address-added' | 'client.address-removed' | 'clients.imported',
    subject: string | null,
    edit: (current: DirectoryFile) => DirectoryFile,
    { dryRun = false, force = true, detail }: { dryRun?: boolean; force?: boolean; detail?: Record<string, unknown> } = {},
  ): Promise<ClientChanges> {
    const { directory: file } = config.recipients
    if (file !== undefined && !dryRun) {
      throw new ApiFault('directory-from-file', `The clients come from ${file}: change them there, as the gateway reads it too`)
    }
    const changes = await importDirectory({ database, tenantId, directory: edit, at: now(), dryRun, force }).catch((error: unknown) => {
      if (error instanceof DirectoryFault) throw new ApiFault('bad-request', error.faults.join('; '))
      throw error
    })
    if (!dryRun) await recordAudit(database, tenantId, { actor, action, ...(subject === null ? {} : { subject }), detail: { ...detail, changeCount: changes.length } })
    return { changes: changes.map(directoryChangeText), isDryRun: dryRun }
  }
}

function ofClient({ clients }: DirectoryFile, id: string, edit: (client: Client) => Client): DirectoryFile {
  if (!clients.some((client) => client.id === id)) throw new ApiFault('not-found', `There is no client "${id}"`)
  return { clients: clients.map((client) => (client.id === id ? edit(client) : client)) }
}
