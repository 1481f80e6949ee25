/** Two clients and four messages of 2 MB to one address of each, in October 2026, behind the API: what tests of a closed month begin with. */
import { createApiFixture, loggedRecipient, plainMessage, type ApiFixture } from './api-fixture.ts'

export async function createBilledMonth(options: { webFolder?: string } = {}): Promise<ApiFixture> {
  const api = await createApiFixture({
    ...options,
    clients: [
      { id: 'acme', name: '<b>=Acme</b>', addresses: ['ann@corp.test'] },
      { id: 'globex', name: 'Globex', addresses: ['gus@globex.test'] },
    ],
  })
  await api.addUser('acc', 'accountant')
  await api.addUser('look', 'viewer')
  await api.addUser('acme-user', 'client', 'acme')
  const { log } = api
  const recipients = ['ann@corp.test', 'gus@globex.test'].map((address) => loggedRecipient(address))
  const messages = Array.from({ length: 4 }, () => log.line(plainMessage(log, { messageBytes: 2_000_000, recipients })))
  await api.ingest([...log.segmentStart(), ...messages])
  return api
}
