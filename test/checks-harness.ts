/**
 * A gateway's session with real checks: a name server on loopback, a folder for what they remember, and a clock that
 * a test turns.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { openChecks, type OpenChecks, type OpenChecksOptions } from '../services/gateway/checks/open-checks.ts'
import { DnsServer } from './dns-server.ts'
import { configOf, Harness, type HarnessOptions } from './gateway-harness.ts'

export type ChecksHarnessOptions = HarnessOptions & Pick<OpenChecksOptions, 'resolver' | 'countryOf'>

export class ChecksHarness extends Harness {
  readonly names: DnsServer
  readonly folder: string
  readonly warnings: string[] = []
  readonly #options: ChecksHarnessOptions
  #open: OpenChecks | null = null

  private constructor(options: ChecksHarnessOptions, names: DnsServer) {
    super(options)
    this.#options = options
    this.names = names
    this.folder = mkdtempSync(path.join(tmpdir(), 'tollgate-checks-'))
  }

  static async start(options: ChecksHarnessOptions): Promise<ChecksHarness> {
    const harness = new ChecksHarness(options, await DnsServer.start())
    await harness.boot()
    return harness
  }

  /** Opens the checks as a start of the gateway does; `isKilled`: what was open before gets no chance to close. */
  async boot({ isKilled = false } = {}): Promise<void> {
    if (!isKilled) await this.#open?.close()
    const config = configOf(this.#options.config ?? 'recipients: {domains: [example.com]}')
    const { dns } = config.checks
    this.#open = await openChecks({
      ...this.#options,
      config: {
        ...config,
        data: this.folder,
        checks: { ...config.checks, dns: { ...dns, servers: [this.names.address], timeoutMs: 1_000, tries: 1 } },
      },
      hostname: 'mx.test',
      clock: this.deps.clock,
      log: { warn: ((text: string) => void this.warnings.push(text)) as OpenChecksOptions['log']['warn'] },
    })
    this.deps.checks = this.#open.checks
  }

  async stop(): Promise<void> {
    await this.#open?.close()
    await this.names.stop()
    rmSync(this.folder, { recursive: true })
  }
}
