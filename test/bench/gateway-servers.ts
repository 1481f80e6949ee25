/**
 * Our gateway and its peers, each set up as the gateway of one domain with one known recipient before the same sink;
 * the benches of the gateway share them.
 *
 * Why  ours is a process of its own from the built code, with rules: none, as the peers have none; its spool and event
 *      log are on the same disk as the peers' queues.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { BenchContext } from './bench.ts'
import { cpuSecondsOf, knownRecipient, listedDomain, startPostfix, startSink, type MailServer, type Sink } from './smtp-peers.ts'

export type GatewayServers = { sink: Sink; ours: MailServer & { pid: number }; postfix: MailServer; close(): Promise<void> }

export function gatewayServers(context: BenchContext): Promise<GatewayServers> {
  return context.shared('gateway-servers', async ({ folder }) => {
    const sink = await startSink()
    const ours = await startGatewayProcess(path.join(folder, 'tollgate'), sink.port)
    const postfix = await startPostfix(path.join(folder, 'postfix'), sink.port)
    return {
      sink,
      ours,
      postfix,
      close: async () => {
        await ours.stop()
        await postfix.stop()
        await sink.stop()
      },
    }
  })
}

export async function startGatewayProcess(folder: string, sinkPort: number): Promise<MailServer & { pid: number }> {
  mkdirSync(folder, { recursive: true })
  const config = path.join(folder, 'tollgate.yaml')
  writeFileSync(path.join(folder, 'clients.yaml'), `clients:\n  - {id: bench, name: Bench, addresses: [${knownRecipient}]}\n`)
  writeFileSync(config, `smtp:
  hostname: mx.bench.test
  listen: ['127.0.0.1:0']
  limits: {transactionsPerSession: 1000000, errorsPerSession: 1000000000, badRecipientsPerSession: 1000000000,
    sessions: 10000, sessionsPerNetwork: 10000}
recipients: {mode: known, domains: [${listedDomain}], directory: clients.yaml}
routes: [{domain: ${listedDomain}, host: 127.0.0.1, port: ${sinkPort}, tls: off}]
`)
  const child = fork(path.join(import.meta.dirname, '..', 'harness', 'gateway-child.js'), [config])
  const [{ address }] = (await once(child, 'message')) as [{ address: string }]
  return {
    name: 'Tollgate',
    pid: child.pid!,
    port: Number(address.split(':').at(-1)),
    cpuSeconds: () => cpuSecondsOf(child.pid!),
    stop: async () => {
      const closed = once(child, 'close')
      child.send('stop')
      await closed
    },
  }
}
