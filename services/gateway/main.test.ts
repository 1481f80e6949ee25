import { mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { TollgateEvent } from '../contracts/event.ts'
import { configOf } from '../../test/gateway-harness.ts'
import { openOperatorLog } from '../kit/operator-log.ts'
import { startGateway } from './main.ts'

let folder: string
beforeEach(async () => void (folder = await mkdtemp(path.join(tmpdir(), 'tollgate-gateway-'))))
afterEach(() => rm(folder, { recursive: true }))

const log = openOperatorLog('gateway', { level: 'silent' })
const configWith = (listen: string, data = folder) => ({
  ...configOf(`smtp: {listen: ['${listen}'], limits: {transactionsPerSession: 1000000}}`),
  data,
})

async function events(): Promise<TollgateEvent[]> {
  const names = (await readdir(path.join(folder, 'events'))).sort()
  const texts = await Promise.all(names.map((name) => readFile(path.join(folder, 'events', name), 'utf8')))
  return texts.flatMap((text) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as TollgateEvent),
  )
}

it('tells its start, its policy and its end in the log, and the next start knows that it ended well', async () => {
  for (let boot = 1; boot <= 2; boot += 1) {
    const gateway = await startGateway({ config: configWith('127.0.0.1:0'), log })
    const socket = connect({ host: '127.0.0.1', port: Number(gateway.addresses[0]!.split(':')[1]) })
    await new Promise((resolve) => socket.once('data', resolve))
    await Promise.all([gateway.stop(), gateway.stop()])
  }
  expect((await events()).map((event) => event.kind)).toEqual(
    [0, 1].flatMap(() => [
      'segment.opened',
      'gateway.started',
      'policy.loaded',
      'policy.loaded',
      'policy.loaded',
      'session.closed',
      'gateway.stopped',
    ]),
  )
  expect((await events()).filter(({ kind }) => kind === 'gateway.started').at(-1)).toMatchObject({
    previousEndedCleanly: true,
    previousSeq: 7,
    bootNumber: 2,
  })
})

it('says which address it cannot have, and leaves nothing open', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => other.once('listening', resolve))
  const { port } = other.address() as AddressInfo
  await expect(startGateway({ config: configWith(`127.0.0.1:${port}`), log })).rejects.toMatchObject({
    code: 'EADDRINUSE',
    address: '127.0.0.1',
    port,
  })
  other.close()
  await expect(startGateway({ config: configWith('192.0.2.1:2525'), log })).rejects.toMatchObject({
    code: 'EADDRNOTAVAIL',
  })
  expect((await events()).filter(({ kind }) => kind === 'gateway.stopped')).toHaveLength(2)
})

it('names the folder that it cannot write to', async () => {
  const data = path.join(folder, 'file')
  await writeFile(data, '')
  await expect(startGateway({ config: configWith('127.0.0.1:0', data), log })).rejects.toMatchObject({
    code: 'ENOTDIR',
    path: path.join(data, 'events'),
  })
})

it('reloads rules on SIGHUP without dropping a session', async () => {
  const rules = path.join(folder, 'rules.yaml')
  const refusing = (word: string) =>
    `rules: [{id: r, revision: 1, name: r, stage: mail, when: {attribute: sender, matches: ${word}}, then: {reject: {text: no}}}]\n`
  await writeFile(rules, refusing('one'))
  await utimes(rules, 1_000_000_000, 1_000_000_000)
  const gateway = await startGateway({ config: { ...configWith('127.0.0.1:0'), rules }, log })
  const socket = connect({ host: '127.0.0.1', port: Number(gateway.addresses[0]!.split(':')[1]) })
  socket.setEncoding('latin1')
  let text = ''
  socket.on('data', (chunk) => (text += String(chunk)))
  const said = async (count: number): Promise<string> => {
    while (text.split('\r\n').length <= count) await new Promise((resolve) => socket.once('data', resolve))
    return text.split('\r\n')[count - 1]!
  }
  socket.write('HELO c\r\nMAIL FROM:<one@r.example>\r\n')
  expect(await said(3)).toBe('550 5.7.1 no')
  // Size and time stay: only a reload that was asked for sees the change.
  await writeFile(rules, refusing('two'))
  await utimes(rules, 1_000_000_000, 1_000_000_000)
  process.kill(process.pid, 'SIGHUP')
  let line = 4
  for (socket.write('MAIL FROM:<two@r.example>\r\nRSET\r\n'); !(await said(line)).startsWith('550'); line += 2) {
    socket.write('MAIL FROM:<two@r.example>\r\nRSET\r\n')
  }
  socket.write('MAIL FROM:<one@r.example>\r\n')
  expect(await said(line + 2)).toBe('250 2.1.0 Sender ok')
  socket.end()
  await gateway.stop()
  const hashes = (await events()).flatMap((event) => (event.kind === 'transaction.ended' ? [event.rulesetHash] : []))
  expect(new Set(hashes).size).toBe(2)
})
