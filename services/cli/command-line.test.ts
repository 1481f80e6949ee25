import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { runTollgate, type Finished } from '../../test/harness/tollgate-command.ts'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import { startTicksOf, writeInstance } from '../kit/instance-file.ts'
import { demoMark } from '../demo/demo-config.ts'

// Each of these starts a process or several; nothing here is about how long that takes.
vi.setConfig({ testTimeout: 300_000 })

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tollgate-cli-'))
  // As root the embedded database runs as another user, who must get in.
  chmodSync(folder, 0o755)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const anyPorts = { TOLLGATE_HTTP_LISTEN: '127.0.0.1:0', TOLLGATE_SMTP_LISTEN: '127.0.0.1:0' }
const tollgate = (words: string, environment: NodeJS.ProcessEnv = {}, input = ''): Promise<Finished> => {
  return runTollgate(words.split(' '), { folder, environment: { ...anyPorts, ...environment }, input })
}

/** One sentence on stderr and nothing on stdout, and never a stack. */
function expectSentence(finished: Finished, code: number, sentence: RegExp): void {
  expect(finished).toMatchObject({ code, stdout: '' })
  // The operator log is JSON Lines here; what remains is the sentence.
  const lines = finished.stderr.trim().split('\n').filter((line) => !line.startsWith('{'))
  expect(lines).toEqual([expect.stringMatching(sentence)])
  expect(finished.stderr).not.toMatch(/\n\s+at /)
}

describe('used wrongly, a command ends with 2 and says what to do', () => {
  it.each([
    ['trrace x', /unknown command 'trrace'[\s\S]*trace/i],
    ['up --demmo', /unknown option '--demmo'[\s\S]*--demo/i],
    ['report usage', /required option '--period <month>'/i],
    ['report usage --period 2026-13', /year and a month, like 2026-11/],
    ['report usage --period 2026-11 --by planet', /client, recipient, day, domain/],
    ['trace --limit 0 x', /whole number from 1 to 100000/],
    ['user add ann --role king', /admin, operator, accountant, viewer, client/],
    ['up --config nowhere.yaml', /nowhere\.yaml: there is no such file/],
    ['rules check nowhere.yaml', /nowhere\.yaml: there is no such file/],
    ['ingest nowhere.jsonl', /nowhere\.jsonl: there is no such file/],
    ['import recipients .', /folder, and a file is needed/],
    ['trace to:ann', /There is no database in .*data yet/],
  ])('%s', async (words, wanted) => {
    const finished = await tollgate(words)
    expect(finished.code).toBe(2)
    expect(finished.stderr).toMatch(wanted)
    expect(finished.stderr).not.toMatch(/\n\s+at /)
  })

  it('tells all three mistakes of a configuration at once, with line and field', async () => {
    writeFileSync(join(folder, 'tollgate.yaml'), 'smtp:\n  limits:\n    messageBites: 5\nrecipients:\n  mode: knwon\nroutes:\n  - domain: "*"\n    host: inner\n    port: 70000\n')
    const { code, stdout, stderr } = await tollgate('up')
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr.trim().split('\n')).toEqual([
      'The configuration has 3 mistakes:',
      expect.stringMatching(/^ {2}tollgate\.yaml:3:5: smtp\.limits\.messageBites: .*"messageBytes"/),
      expect.stringMatching(/^ {2}tollgate\.yaml:5:9: recipients\.mode: .*"known"/),
      expect.stringMatching(/^ {2}tollgate\.yaml:9:11: routes\[0\]\.port: .*65535/),
    ])
    expect(readdirSync(folder)).toEqual(['tollgate.yaml'])
  })

  it('shows where in a query the mistake is', async () => {
    const { code, stderr } = await tollgate('trace from:a froom:b')
    expect(code).toBe(2)
    expect(stderr.split('\n').slice(0, 2)).toEqual(['from:a froom:b', '       ^^^^^'])
    expect(stderr).toMatch(/from/)
  })

  it('names line and remedy of every mistake in a rule set', async () => {
    writeFileSync(join(folder, 'rules.yaml'), 'markAt: 5\nrejectAt: 8\nrules:\n  - id: a\n    name: A\n    stage: mali\n    when: { attribute: subject, matches: "(" }\n    then: { weight: x }\n')
    const { code, stderr } = await tollgate('rules check rules.yaml')
    expect(code).toBe(2)
    expect(stderr.trim().split('\n').length).toBeGreaterThanOrEqual(2)
    for (const line of stderr.trim().split('\n')) expect(line).toMatch(/^rules\.yaml:\d+:\d+: /)
  })

  it('refuses a directory with mistakes, by line', async () => {
    writeFileSync(join(folder, 'clients.yaml'), 'clients:\n  - id: Acme\n    name: Acme\n    addresses: [ann]\n')
    const { code, stderr } = await tollgate('import recipients clients.yaml')
    expect(code).toBe(2)
    expect(stderr).toMatch(/clients\.yaml:2:\d+: clients\[0\]\.id: [\s\S]*clients\.yaml:4:\d+: clients\[0\]\.addresses\[0\]: /)
  })
})

describe('where the world fails, a command ends with 1 and one sentence', () => {
  let taken: Server
  let port = 0
  let closedPort = 0
  beforeAll(async () => {
    taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    port = (taken.address() as AddressInfo).port
    const closing = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => closing.once('listening', resolve))
    closedPort = (closing.address() as AddressInfo).port
    await new Promise((resolve) => closing.close(resolve))
  })
  afterAll(() => new Promise((resolve) => taken.close(resolve)))

  it.each(['gateway', 'up'])('%s: an SMTP port in use', async (role) => {
    const finished = await tollgate(role, { TOLLGATE_SMTP_LISTEN: `127.0.0.1:${port}` })
    expectSentence(finished, 1, new RegExp(`127\\.0\\.0\\.1:${port} is in use.*smtp\\.listen`))
  })

  it('up: an HTTP port in use', async () => {
    const finished = await tollgate('up', { TOLLGATE_HTTP_LISTEN: `127.0.0.1:${port}` })
    expectSentence(finished, 1, new RegExp(`127\\.0\\.0\\.1:${port} is in use.*http\\.listen`))
    expect(existsSync(join(folder, 'data', 'instance.json'))).toBe(false)
  })

  it('gateway: an address that this machine has not', async () => {
    const finished = await tollgate('gateway', { TOLLGATE_SMTP_LISTEN: '192.0.2.77:2525' })
    expectSentence(finished, 1, /192\.0\.2\.77.*smtp\.listen/)
  })

  it.each(['up', 'worker', 'ingest', 'api', 'db status', 'trace x'])('%s: a database that cannot be reached', async (words) => {
    const finished = await tollgate(words, { TOLLGATE_DATABASE_URL: `postgres://u:geheim@127.0.0.1:${closedPort}/d` })
    expectSentence(finished, 1, new RegExp(`database at 127\\.0\\.0\\.1:${closedPort} cannot be reached.*TOLLGATE_DATABASE_URL`))
    expect(finished.stderr).not.toContain('geheim')
  })

  it('up: a database that refuses the password, or is not there', async () => {
    const server = inject('postgresUrlPattern').replace('%s', 'postgres')
    const wrong = new URL(server)
    wrong.password = 'wrong'
    expectSentence(await tollgate('up', { TOLLGATE_DATABASE_URL: wrong.href }), 1, /refuses the login.*password/)
    const missing = inject('postgresUrlPattern').replace('%s', 'no_such_database')
    expectSentence(await tollgate('up', { TOLLGATE_DATABASE_URL: missing }), 1, /"no_such_database" does not exist.*createdb/)
  })

  it.each(['up', 'gateway'])('%s: a data folder that is a file', async (role) => {
    writeFileSync(join(folder, 'data'), '')
    expectSentence(await tollgate(role), 1, /data is a file where a folder is needed.*TOLLGATE_DATA/)
  })

  it.each(['up', 'gateway'])('%s: a data folder inside a file', async (role) => {
    writeFileSync(join(folder, 'file'), '')
    expectSentence(await tollgate(role, { TOLLGATE_DATA: 'file/data' }), 1, /file is a file where a folder is needed.*TOLLGATE_DATA/)
  })

  const canMount = process.getuid?.() === 0 && trial()
  describe.skipIf(!canMount)('on a file system of its own', () => {
    const mounted = (options: string): string => {
      const place = join(folder, 'disk')
      mkdirSync(place)
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', place])
      return place
    }
    afterEach(() => void spawnSync('umount', [join(folder, 'disk')]))

    it.each(['up', 'gateway'])('%s: a data folder that is read-only', async (role) => {
      const place = mounted('ro')
      expectSentence(await tollgate(role, { TOLLGATE_DATA: place }), 1, /read-only.*TOLLGATE_DATA/)
    })

    it.each(['up', 'gateway'])('%s: a disk that is full', async (role) => {
      const place = mounted('size=64k')
      spawnSync('dd', ['if=/dev/zero', `of=${join(place, 'filler')}`, 'bs=4k'])
      expectSentence(await tollgate(role, { TOLLGATE_DATA: join(place, 'data') }), 1, /disk that holds .* is full.*TOLLGATE_DATA/)
    })

    it('report: an output file on a disk that is full', async () => {
      const place = mounted('size=8k')
      spawnSync('dd', ['if=/dev/zero', `of=${join(place, 'filler')}`, 'bs=4k'])
      const own = await createTestDatabase()
      try {
        writeFileSync(join(folder, 'clients.yaml'), 'clients: []\n')
        await tollgate('import recipients clients.yaml', { TOLLGATE_DATABASE_URL: own.url })
        const words = `report usage --period 2026-11 --output ${join(place, 'usage.csv')}`
        expectSentence(await tollgate(words, { TOLLGATE_DATABASE_URL: own.url }), 1, /is full/)
      } finally {
        await own.drop()
      }
    })
  })

  it('up: another instance on the same folder', async () => {
    mkdirSync(join(folder, 'data'))
    const other = { pid: process.pid, processStartTicks: startTicksOf(process.pid), startedAt: '', isDemo: false, tenant: 'main', databaseUrl: 'x', httpUrl: null, smtpAddresses: [], roles: {} }
    writeInstance(join(folder, 'data'), other)
    expectSentence(await tollgate('up'), 1, new RegExp(`process ${process.pid}\\).*TOLLGATE_DATA`))
  })
})

/** Whether this user may mount: root in a container often may not. */
function trial(): boolean {
  const place = mkdtempSync(join(tmpdir(), 'tollgate-mount-'))
  const { status } = spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', place])
  if (status === 0) spawnSync('umount', [place])
  rmSync(place, { recursive: true, force: true })
  return status === 0
}

describe('on a database of its own', () => {
  let own: TestDatabase
  let url = ''
  beforeAll(async () => {
    own = await createTestDatabase()
    url = own.url
  })
  afterAll(() => own.drop())
  const onDatabase = (words: string, input = '') => tollgate(words, { TOLLGATE_DATABASE_URL: url }, input)

  it('migrate and status tell what is applied', async () => {
    expect(await onDatabase('db migrate')).toMatchObject({ code: 0, stdout: 'Nothing to do.\n' })
    const { code, stdout } = await onDatabase('db status')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^0001_\S+ +\d{4}-\d\d-\d\dT/)
    expect(stdout).not.toContain('missing')
    expect(stdout).toContain('There are no partitions yet.')
    await own.database.pool.query(`select ensure_partitions('2024-03-01', '2024-03-01')`)
    const { stdout: later } = await onDatabase('db status')
    expect(later).toMatch(/^2024-03 +\d+\.\d MB  8 tables: /m)
    expect(later).toMatch(/^2024-03  details +now due/m)
    expect(later).toMatch(/^2024-03  usage +from 2034-04-\d\d/m)
  })

  it('import recipients takes clients over, once, and only tells with --dry-run', async () => {
    writeFileSync(join(folder, 'clients.yaml'), 'clients:\n  - { id: acme, name: Acme, addresses: [ann@a.test, bob@a.test] }\n')
    expect((await onDatabase('import recipients clients.yaml --dry-run')).stdout).toMatch(/^3 changes would be made:\n/)
    expect((await onDatabase('import recipients clients.yaml')).stdout).toMatch(/client acme is new: Acme\n.*ann@a\.test goes to acme/)
    expect((await onDatabase('import recipients clients.yaml')).stdout).toBe('Nothing has changed.\n')
    writeFileSync(join(folder, 'clients.yaml'), 'clients:\n  - { id: acme, name: Acme, addresses: [] }\n')
    const refused = await onDatabase('import recipients clients.yaml')
    expect(refused.code).toBe(2)
    expect(refused.stderr).toMatch(/2 of 2 addresses would be gone/)
    expect((await onDatabase('import recipients clients.yaml --force')).code).toBe(0)
  })

  it('user add reads the password from standard input and shows it nowhere', async () => {
    const added = await onDatabase('user add ann --role viewer --password-stdin', 'geheim-genug\n')
    expect(added).toEqual({ code: 0, stdout: 'ann may log in.\n', stderr: '' })
    const short = await onDatabase('user add bob --role viewer --password-stdin', 'kurz\n')
    expect(short.code).toBe(2)
    expect(short.stderr).toMatch(/at least 8 characters/)
    expect((await onDatabase('user add bob --role viewer', 'geheim-genug\n')).stderr).toMatch(/--password-stdin/)
    expect((await onDatabase('user add bob --role client --password-stdin', 'geheim-genug\n')).stderr).toMatch(/--client ID/)
  })

  it('erase recipient only tells without --yes, and names what stands in place of the address with it', async () => {
    const told = await onDatabase('erase recipient nobody@a.test')
    expect(told).toEqual({ code: 0, stdout: 'Would change: nothing. Nothing is changed yet: --yes does it, and it cannot be undone.\n', stderr: '' })
    const done = await onDatabase('erase recipient nobody@a.test --yes')
    expect(done).toMatchObject({ code: 0, stderr: '' })
    expect(done.stdout).toMatch(/^Changed: nothing\. erased-[0-9a-f]{12}@a\.test stands in place of the address\.\n$/)
    const { rows } = await own.database.pool.query(`select actor, subject from audit_record where action = 'address.erased'`)
    expect(rows).toEqual([{ actor: 'command line', subject: /erased-\S+/.exec(done.stdout)![0] }])
    expectSentence(await onDatabase('erase recipient *@a.test'), 2, /no whole address/)
  })

  it('rebuild rollups takes days and months, and refuses what is none', async () => {
    expect(await onDatabase('rebuild rollups --from 2026-10 --upto 2026-11-02')).toEqual({ code: 0, stdout: 'The rollups are rebuilt.\n', stderr: '' })
    expectSentence(await onDatabase('rebuild rollups --from 2026-11-02 --upto 2026-11-01'), 2, /--upto 2026-11-01 is not after --from 2026-11-02/)
    expectSentence(await onDatabase('rebuild rollups --from 2026-02-30'), 2, /day like 2026-11-01/)
  })

  it('trace and report say nothing but their result on standard output', async () => {
    expect(await onDatabase('trace to:nobody@a.test --format json')).toEqual({ code: 0, stdout: '', stderr: '' })
    const report = await onDatabase('report usage --period 2026-11')
    expect(report).toEqual({ code: 0, stdout: 'client_id,client_name,direction,messages,billed_bytes,unbilled_bytes\r\n', stderr: '' })
  })
})

describe('demo clear', () => {
  it('removes the folder of the demo', async () => {
    mkdirSync(join(folder, 'demo-data'))
    writeFileSync(join(folder, 'demo-data', demoMark), '')
    const { code, stdout } = await tollgate('demo clear')
    expect({ code, stdout: stdout.trim() }).toEqual({ code: 0, stdout: `Removed ${join(folder, 'demo-data')}.` })
    expect(readdirSync(folder)).toEqual([])
  })

  it('leaves a folder alone that is none of the demo', async () => {
    mkdirSync(join(folder, 'letters'))
    writeFileSync(join(folder, 'letters', 'important'), '')
    const finished = await tollgate('demo clear', { TOLLGATE_DEMO_DATA: 'letters' })
    expectSentence(finished, 2, /letters is no data folder of the demo/)
    expect(existsSync(join(folder, 'letters', 'important'))).toBe(true)
    expectSentence(await tollgate('up --demo', { TOLLGATE_DEMO_DATA: 'letters' }), 2, /letters holds something else/)
  })

  it('refuses while the demo runs', async () => {
    const place = join(folder, 'demo-data')
    mkdirSync(place)
    writeFileSync(join(place, demoMark), '')
    writeInstance(place, { pid: process.pid, processStartTicks: startTicksOf(process.pid), startedAt: '', isDemo: true, tenant: 'demo', databaseUrl: 'x', httpUrl: null, smtpAddresses: [], roles: {} })
    expectSentence(await tollgate('demo clear'), 1, new RegExp(`demo runs \\(process ${process.pid}\\)`))
    expect(existsSync(place)).toBe(true)
  })

  it('drops the database of the demo and no other', async () => {
    const own = await createTestDatabase()
    const owner = new pg.Client({ connectionString: own.url })
    await owner.connect()
    try {
      const hasDemo = async () => (await owner.query(`select from pg_database where datname = 'tollgate_demo'`)).rowCount === 1
      await owner.query('create database tollgate_demo')
      expect(await hasDemo()).toBe(true)
      expect(await tollgate('demo clear', { TOLLGATE_DATABASE_URL: own.url })).toMatchObject({ code: 0 })
      expect(await hasDemo()).toBe(false)
      await owner.query('select from mail_transaction')
    } finally {
      await owner.end()
      await own.drop()
    }
  })
})
