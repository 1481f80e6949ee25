/** Clients and addresses over HTTP: changed from now on, one owner an address, and nothing where a file governs. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Value } from 'typebox/value'
import { ClientChanges, ClientDetail, ClientList } from '../services/contracts/client.ts'
import { createApiFixture, type ApiFixture, type Caller } from './api-fixture.ts'

describe.each(['database', 'file'] as const)('clients that a %s governs', (source) => {
  let api: ApiFixture
  let accountant: Caller
  beforeAll(async () => {
    api = await createApiFixture({ clients: [{ id: 'acme', name: 'Acme', addresses: ['ann@corp.test', '*@corp.test'] }] })
    if (source === 'file') {
      await api.close()
      api = await createApiFixture({
        clients: [{ id: 'acme', name: 'Acme', addresses: ['ann@corp.test'] }],
        settings: { recipients: { mode: 'known', domains: ['corp.test'], directory: '/etc/clients.yaml', lowerCaseLocalPart: true } as never },
      })
    }
    await api.addUser('acc', 'accountant')
    accountant = await api.login('acc')
  })
  afterAll(async () => await api.close())

  if (source === 'file') {
    it('are told, tried, and not changed', async () => {
      expect((await accountant.get('/clients')).json()).toMatchObject({ source: 'file', clients: [{ clientId: 'acme' }] })
      for (const answer of [
        await accountant.call('POST', '/clients', { body: { clientId: 'new', name: 'New' } }),
        await accountant.call('POST', '/clients/acme/addresses', { body: { address: 'x@corp.test' } }),
        await accountant.call('DELETE', '/clients/acme/addresses/ann@corp.test'),
        await accountant.call('POST', '/clients/import', { body: { csv: 'client_id,name\nacme,Other\n' } }),
      ]) expect(answer.json().error).toMatchObject({ code: 'directory-from-file', message: expect.stringContaining('/etc/clients.yaml') })
      expect((await accountant.call('POST', '/clients/import', { body: { csv: 'client_id,name\nacme,Other\n', dryRun: true } })).json()).toMatchObject({ isDryRun: true })
    })
    return
  }

  it('are added, renamed, made departments, and hold addresses that no other can take', async () => {
    const add = await accountant.call('POST', '/clients', { body: { clientId: 'borealis', name: 'Borealis', parentId: 'acme', addresses: ['Zoe@Shared.test'] } })
    expect([add.status, Value.Check(ClientChanges, add.json())]).toEqual([200, true])
    expect((await accountant.call('POST', '/clients', { body: { clientId: 'borealis', name: 'B' } })).json().error.code).toBe('conflict')
    expect((await accountant.call('POST', '/clients/acme/addresses', { body: { address: 'zoe@shared.test' } })).json().error).toMatchObject({ code: 'conflict', message: 'zoe@shared.test is held by borealis: take it from there first' })
    expect((await accountant.call('POST', '/clients', { body: { clientId: 'x', name: 'X', parentId: 'nobody' } })).json().error.message).toContain('its parent "nobody" is not in the directory')
    expect((await accountant.call('POST', '/clients/nobody/addresses', { body: { address: 'a@b.test' } })).status).toBe(404)
    const renamed = await accountant.call('PATCH', '/clients/borealis', { body: { name: 'Borealis AG', parentId: null, state: 'blocked' } })
    expect(renamed.json().changes).toEqual(['client borealis: Borealis is now Borealis AG', 'client borealis: parent acme is now none', 'client borealis: active is now blocked'])
    expect((await accountant.call('PATCH', '/clients/acme', { body: { parentId: 'acme' } })).json().error.message).toContain('its own ancestor')
    expect((await accountant.call('DELETE', '/clients/borealis/addresses/zoe@shared.test')).status).toBe(200)
    expect((await accountant.call('DELETE', '/clients/borealis/addresses/zoe@shared.test')).status).toBe(404)
    const detail = (await accountant.get('/clients/borealis')).json()
    expect(Value.Check(ClientDetail, detail)).toBe(true)
    expect(detail.addresses).toMatchObject([{ address: 'zoe@shared.test', upto: expect.stringMatching(/Z$/) }])
    const list = (await accountant.get('/clients')).json()
    expect(Value.Check(ClientList, list)).toBe(true)
    expect(list.source).toBe('database')
  })

  it('are exported and imported without a change, and a dry run changes nothing', async () => {
    const csv = (await accountant.get('/clients/export')).text
    expect((await accountant.call('POST', '/clients/import', { body: { csv } })).json()).toEqual({ changes: [], isDryRun: false })
    const other = csv.replaceAll(',Acme,', ',Acme Ltd.,')
    expect((await accountant.call('POST', '/clients/import', { body: { csv: other, dryRun: true } })).json().changes).toEqual(['client acme: Acme is now Acme Ltd.'])
    expect((await accountant.get('/clients/acme')).json().name).toBe('Acme')
    // A dry run that would stand in the address alone must not write.
    expect((await accountant.call('POST', '/clients/import?dryRun=true', { body: { csv: other } })).status).toBe(400)
    const half = (await accountant.call('POST', '/clients/import', { body: { csv: 'client_id,name\nacme,Acme\nborealis,Borealis\n' } })).json()
    expect(half.error.message).toContain('more than half')
    expect((await accountant.call('POST', '/clients/import', { body: { csv: 'client_id,name\nACME,x\n' } })).json().error.message).toContain('line 2')
  })
})
