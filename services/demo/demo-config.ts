/** The configuration of `tollgate up --demo`: a small organisation of invented clients on invented domains. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Config } from '../kit/config.ts'
import { packageRoot } from '../kit/package-root.ts'

export const demoTenant = 'demo'
export const demoDatabaseName = 'tollgate_demo'

/** The files of this folder, from source and from dist alike: the compiler does not copy them. */
export const demoAsset = (name: string): string => join(packageRoot, 'services', 'demo', name)

/** What the demo publishes first; its history is judged by it. */
export const demoRules = (): string => readFileSync(demoAsset('rules.yaml'), 'utf8')

/** Folder of the demo: `TOLLGATE_DEMO_DATA`, else `./demo-data`. */
export function demoFolder(environment: NodeJS.ProcessEnv): string {
  const named = environment['TOLLGATE_DEMO_DATA']
  return resolve(named === undefined || named === '' ? 'demo-data' : named)
}

/** Written into the folder that the demo makes, so that it takes and removes no folder of somebody else's. */
export const demoMark = 'tollgate-demo'

/** What the demo takes from the given configuration is where to listen; all else is its own. */
export function demoConfig(given: Config, folder: string, database: string): Config {
  // Its rules are published, so that a visitor can publish others.
  const { rules: _rules, ...config } = given
  return {
    ...config,
    tenant: demoTenant,
    node: 'gateway-1',
    data: folder,
    database,
    smtp: { ...config.smtp, hostname: 'mx1.corp.test' },
    recipients: {
      ...config.recipients,
      mode: 'known',
      domains: demoDomains,
      directory: demoAsset('clients.yaml'),
    },
    policy: { pollSeconds: config.policy.pollSeconds },
    // Addresses of the demo are invented or loopback: nobody in the world is to be asked about them.
    checks: { ...config.checks, dns: { ...config.checks.dns, enabled: false } },
    networks: demoNetworks,
    routes: [],
    billing: { ...config.billing, mode: 'full', unit: 'MB', currency: 'EUR', costPrice: '0.02' },
  }
}

export const demoDomains = ['corp.test', 'shop.test', 'clinic.test', 'campus.test', 'lists.campus.test', 'retro.test']

/**
 * A live connection comes from whichever loopback address its client binds, so each stands for a network: these two
 * are inside, every other one is the public internet. The private networks are those of the history.
 */
export const demoNetworks: Config['networks'] = [
  { name: 'scanners', class: 'device', cidrs: ['127.0.0.3/32', '10.20.30.0/24'], relay: false, client: 'corp' },
  { name: 'head office', class: 'trusted', cidrs: ['127.0.0.4/32', '10.20.0.0/24'], relay: true, client: 'corp' },
]

/** All mail goes to the inner mail server of the demo, and none leaves the machine. */
export function demoRoutes(sinkPort: number): Config['routes'] {
  return [{ domain: '*', host: '127.0.0.1', port: sinkPort, mx: false, tls: 'off' }]
}
