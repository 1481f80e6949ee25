import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DnsServer } from '../../../test/dns-server.ts'
import { acceptMessage, envelopeTo, eventually, MemoryEventLog, openTestSpool, temporaryFolder } from '../../../test/spool-fixture.ts'
import { startSink, type Sink } from '../../demo/sink.ts'
import { systemClock } from '../../kit/clock.ts'
import { configOf } from '../../../test/gateway-harness.ts'
import { DnsResolver } from '../checks/dns-resolver.ts'
import type { OpenSpool } from '../spool/open-spool.ts'
import { mailExchangers, type Ourselves } from './next-hops.ts'

let names: DnsServer
let resolver: DnsResolver
beforeEach(async () => {
  names = await DnsServer.start()
  resolver = new DnsResolver(configOf(`checks: {dns: {servers: ['${names.address}'], timeoutMs: 300, tries: 1}}`).checks.dns, systemClock)
})
afterEach(async () => {
  resolver.close()
  await names.stop()
})

const ourselves: Ourselves = { name: 'mx.test', ports: new Set([25]), addresses: () => new Set(['192.0.2.25']) }
const look = (domain: string, port = 25) => mailExchangers(resolver, { domain, port }, ourselves, () => 0.5)

async function hopsOf(domain: string): Promise<string> {
  const found = await look(domain)
  if (found.status === 'found') return found.hops.map(({ host, address }) => `${host}=${address}`).join(' ')
  return found.status === 'never' ? found.error : `unknown: ${found.why}`
}

describe('the servers of a domain', () => {
  it('are its MX by preference, each with all of its addresses', async () => {
    names.zones = {
      'far.example': { MX: ['20 second.example', '10 first.example', '30 dead.example'] },
      'first.example': { A: ['192.0.2.1', '192.0.2.2'], AAAA: ['2001:db8::1'] },
      'second.example': { A: ['192.0.2.3'] },
    }
    expect(await hopsOf('far.example')).toBe('first.example=192.0.2.1 first.example=192.0.2.2 first.example=2001:db8::1 second.example=192.0.2.3')
  })

  it('are the domain itself where it has no MX, and none behind a null MX', async () => {
    names.zones = { 'plain.example': { A: ['192.0.2.1'] }, 'null.example': { MX: ['0 .'], A: ['192.0.2.1'] }, 'mute.example': { TXT: ['x'] }, 'lost.example': { MX: ['10 nowhere.example'], A: ['192.0.2.1'] } }
    expect(await hopsOf('plain.example')).toBe('plain.example=192.0.2.1')
    expect(await hopsOf('null.example')).toBe('5.1.10 null.example takes no mail (null MX)')
    expect(await hopsOf('gone.example')).toBe('5.1.2 gone.example does not exist')
    expect(await hopsOf('mute.example')).toBe('5.4.4 mute.example has no server with an address')
    // Its own address is no way round MX that lead nowhere.
    expect(await hopsOf('lost.example')).toBe('5.4.4 lost.example has no server with an address')
    expect(await hopsOf('[192.0.2.9]')).toBe('192.0.2.9=192.0.2.9')
    expect(await hopsOf('[IPv6:2001:db8::9]')).toBe('2001:db8::9=2001:db8::9')
  })

  it('are those before ourselves alone, by name or by address', async () => {
    const others = { 'better.example': { A: ['192.0.2.1'] }, 'equal.example': { A: ['192.0.2.2'] }, 'worse.example': { A: ['192.0.2.3'] } }
    names.zones = {
      ...others,
      'backup.example': { MX: ['10 better.example', '20 equal.example', '20 MX.test', '30 worse.example'] },
      'alias.example': { MX: ['10 better.example', '20 other-name.example', '30 worse.example'] },
      'other-name.example': { A: ['192.0.2.25'] },
      'ours.example': { MX: ['10 mx.test', '20 worse.example'] },
      'loop.example': { A: ['127.0.0.1'] },
    }
    expect(await hopsOf('backup.example')).toBe('better.example=192.0.2.1')
    expect(await hopsOf('alias.example')).toBe('better.example=192.0.2.1')
    expect(await hopsOf('ours.example')).toMatch(/^5\.4\.6 ours\.example would send its mail back to this gateway/)
    expect(await hopsOf('loop.example')).toMatch(/^5\.4\.6 /)
    expect(await look('loop.example', 2_525)).toMatchObject({ status: 'found' })
  })

  it('are unknown, not none, while nobody can tell', async () => {
    names.zones = { 'far.example': { MX: ['10 first.example'] } }
    names.mishaps.set('first.example', 'servfail')
    names.mishaps.set('broken.example', 'servfail')
    expect(await hopsOf('far.example')).toMatch(/^unknown: cannot look up where mail for far\.example goes: /)
    expect(await hopsOf('broken.example')).toMatch(/^unknown: /)
  })
})

describe('a route that looks up MX', () => {
  let place: Awaited<ReturnType<typeof temporaryFolder>>
  let log: MemoryEventLog
  let sink: Sink
  let open: OpenSpool
  beforeEach(async () => {
    place = await temporaryFolder()
    log = new MemoryEventLog()
    sink = await startSink({ port: 0 })
  })
  afterEach(async () => {
    await open.stop()
    await sink.stop()
    await place.remove()
  })

  it('takes mail to the first server that answers, and tells which it was', async () => {
    names.zones = {
      'far.example': { MX: ['10 dead.example', '20 alive.example'] },
      'other.example': { A: ['127.0.0.1'] },
      // On this address nothing listens at that port.
      'dead.example': { A: ['127.0.0.77'] },
      'alive.example': { A: ['127.0.0.1'] },
    }
    open = await openTestSpool(place.folder, log, { routes: [{ port: sink.port, mx: true }], resolver })
    await acceptMessage(open.spool, log, envelopeTo(['a@far.example', 'b@other.example']), 'Subject: x\r\n\r\n')
    await eventually(() => log.of('message.finished').length === 1)
    const hops = log.of('delivery.attempted').map(({ nextHop, recipients }) => `${nextHop.route} ${nextHop.host} ${recipients[0]!.outcome}`)
    expect(hops.sort()).toEqual(['far.example alive.example delivered', 'other.example other.example delivered'])
  })

  it('fails mail that no server will ever take, at once', async () => {
    names.zones = { 'null.example': { MX: ['0 .'] } }
    open = await openTestSpool(place.folder, log, { routes: [{ port: sink.port, mx: true }], resolver })
    await acceptMessage(open.spool, log, envelopeTo(['a@null.example']), 'Subject: x\r\n\r\n')
    await eventually(() => log.of('message.finished').length === 1)
    expect(log.of('delivery.attempted')).toMatchObject([{ recipients: [{ outcome: 'failed', error: '5.1.10 null.example takes no mail (null MX)' }] }])
    expect(log.of('message.finished')).toMatchObject([{ failedCount: 1 }])
  })

  it('keeps mail while nobody can tell where it goes, and takes it there afterwards', async () => {
    names.zones = { 'far.example': { A: ['127.0.0.1'] } }
    names.mishaps.set('*', 'servfail')
    open = await openTestSpool(place.folder, log, { routes: [{ port: sink.port, mx: true }], resolver })
    const envelope = envelopeTo(['a@far.example'])
    await acceptMessage(open.spool, log, envelope, 'Subject: x\r\n\r\n')
    await eventually(() => log.of('delivery.attempted').length === 1)
    expect(log.of('delivery.attempted')).toMatchObject([{ recipients: [{ outcome: 'deferred' }] }])
    names.mishaps.clear()
    await eventually(() => open.relay.retryNow(envelope.queueId, 'test') || sink.counts.messages === 1)
    await eventually(() => sink.counts.messages === 1)
  })
})
