/** docker-compose.yml and Dockerfile against the product that they start; no engine is needed. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { readVariables } from '../services/kit/config-variables.ts'
import { packageRoot } from '../services/kit/package-root.ts'
import { readConfig } from '../services/kit/read-config.ts'

type Service = {
  image?: string
  build?: string
  command?: string[]
  environment?: Record<string, string>
  volumes?: string[]
  depends_on?: Record<string, { condition: string }>
  ports?: string[]
}
const composeFile = path.join(packageRoot, 'docker-compose.yml')
const compose = parse(readFileSync(composeFile, 'utf8'), { merge: true }) as { services: Record<string, Service>; volumes: Record<string, unknown> }
const services = Object.entries(compose.services)
const ours = services.filter(([, service]) => service.build !== undefined)
const hasCompose = spawnSync('docker', ['compose', 'version']).status === 0

describe('docker-compose.yml', () => {
  it('runs each role as a service of its own beside a stock Postgres of a version that is supported', () => {
    expect(Object.keys(compose.services).sort()).toEqual(['api', 'gateway', 'ingest', 'migrate', 'postgres', 'worker'])
    expect(Number(/^postgres:(\d+)$/.exec(compose.services['postgres']!.image!)?.[1])).toBeGreaterThanOrEqual(15)
  })

  it.each(ours)('%s runs a command that there is', (_name, service) => {
    const help = execFileSync(process.execPath, ['bin/tollgate.js', ...service.command!, '--help'], { cwd: packageRoot, encoding: 'utf8' })
    expect(help).toContain(`Usage: tollgate ${service.command!.join(' ')}`)
  })

  it.each(ours)('%s gets settings that there are, with values that are right', (_name, service) => {
    const environment = Object.fromEntries(
      Object.entries(service.environment!).map(([name, value]) => [name, value.replace(/\$\{[^}]+\}/, 'secret')]),
    )
    const reading = readVariables(environment)
    expect({ faults: reading.faults, warnings: reading.warnings }).toEqual({ faults: [], warnings: [] })
    expect('faults' in readConfig(null, environment)).toBe(false)
  })

  it.each(services)('%s names only services and volumes that there are', (_name, service) => {
    for (const other of Object.keys(service.depends_on ?? {})) expect(compose.services).toHaveProperty(other)
    for (const volume of service.volumes ?? []) {
      const source = volume.split(':')[0]!
      if (!source.startsWith('./')) expect(compose.volumes).toHaveProperty(source)
    }
  })

  it('shares the event log between gateway and ingest', () => {
    for (const name of ['gateway', 'ingest']) expect(compose.services[name]!.volumes).toContain('mail:/data')
  })

  it('lets the gateway start without the database', () => {
    expect(compose.services['gateway']!.depends_on).toBeUndefined()
  })

  it('opens the web page to this machine alone, and holds no password', () => {
    expect(compose.services['api']!.ports).toEqual(['127.0.0.1:8080:8080'])
    const passwords = readFileSync(composeFile, 'utf8').match(/(?<=POSTGRES_PASSWORD: ).+|(?<=tollgate:)\$[^@]+(?=@)/g)
    expect(passwords).toHaveLength(2)
    for (const password of passwords!) expect(password).toMatch(/^\$\{POSTGRES_PASSWORD:\?/)
  })

  it.skipIf(!hasCompose)('is right for `docker compose config`', () => {
    const environment = { ...process.env, POSTGRES_PASSWORD: 'secret' }
    execFileSync('docker', ['compose', '-f', composeFile, 'config', '--quiet'], { env: environment })
  })
})

describe('the Dockerfile', () => {
  const lines = readFileSync(path.join(packageRoot, 'Dockerfile'), 'utf8').split('\n')
  const argumentsOf = (word: string) => lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1))

  it('ends as a user without rights', () => {
    expect(argumentsOf('USER')).toEqual(['node'])
    expect(lines.indexOf('USER node')).toBeGreaterThan(lines.findLastIndex((line) => line.startsWith('FROM ')))
  })

  it('starts the command of package.json', () => {
    const { bin } = JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8')) as { bin: { tollgate: string } }
    expect(argumentsOf('ENTRYPOINT').map((line) => JSON.parse(line) as unknown)).toEqual([['node', `/app/${bin.tollgate}`]])
  })

  it('copies what there is, and all that the product reads while it runs', () => {
    const copied = argumentsOf('COPY').filter((line) => line.startsWith('--from=build')).map((line) => /\/app\/(\S+) /.exec(line)![1]!)
    expect(copied).toEqual(['package.json', 'node_modules', 'dist', 'bin', 'migrations', 'services'])
    for (const name of copied) expect(existsSync(path.join(packageRoot, name))).toBe(true)
  })

  it('builds on a Node that package.json allows', () => {
    for (const image of argumentsOf('FROM')) expect(image).toMatch(/^node:20-/)
  })
})
