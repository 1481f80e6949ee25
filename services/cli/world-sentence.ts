/**
 * What the operator reads when the world fails: one sentence with the place and the setting to change.
 *
 * Leaves  mistakes in configuration and arguments to faults and usage errors, which name their own remedy.
 * Why     a stack trace tells our story; the one who reads needs theirs: which port, which folder, which setting.
 */
import { dirname } from 'node:path'
import type { Config } from '../kit/config.ts'
import { socketAddressText } from '../kit/socket-address.ts'

type WorldError = Error & { code?: unknown; path?: unknown; address?: unknown; port?: unknown; syscall?: unknown; hostname?: unknown }

/** The sentence, or `null` for an error that is none of the world's: then it is our own bug. */
export function worldSentence(error: unknown, config: Config | null): string | null {
  const chain = errorChain(error)
  for (const link of chain) {
    const sentence = sentenceOf(link, config)
    if (sentence !== null) return sentence
  }
  const first = chain[0]
  // Thrown with a sentence of its own: plain errors are, those of the runtime are bugs.
  const isBug = first === undefined || first.name !== 'Error' || 'code' in first
  return isBug ? null : first.message
}

function errorChain(error: unknown): WorldError[] {
  const chain: WorldError[] = []
  const visit = (link: unknown): void => {
    if (!(link instanceof Error) || chain.includes(link)) return
    chain.push(link)
    if (link instanceof AggregateError) link.errors.forEach(visit)
    visit(link.cause)
  }
  visit(error)
  return chain
}

function sentenceOf(error: WorldError, config: Config | null): string | null {
  if (typeof error.code !== 'string') return null
  return listenSentence(error, config) ?? fileSentence(error, config) ?? databaseSentence(error, config)
}

function listenSentence(error: WorldError, config: Config | null): string | null {
  const isListening = error.syscall === 'listen' || error.syscall === 'bind'
  if (!isListening || typeof error.address !== 'string' || typeof error.port !== 'number') return null
  const address = socketAddressText({ host: error.address, port: error.port })
  const setting = config?.http.listen.endsWith(`:${error.port}`) === true ? 'http.listen' : 'smtp.listen'
  const remedy = `change ${setting} (or TOLLGATE_${setting.replace('.', '_').toUpperCase()})`
  if (error.code === 'EADDRINUSE') return `${address} is in use by another program: stop that one, or ${remedy}.`
  if (error.code === 'EADDRNOTAVAIL') return `This machine has no address ${error.address}: ${remedy}.`
  if (error.code === 'EACCES') return `This user may not listen on ${address}, as ports below 1024 are reserved: give the service CAP_NET_BIND_SERVICE (docs/deploy.md), or ${remedy}.`
  return null
}

const fileCodes = ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'ENOTDIR', 'EEXIST', 'EISDIR', 'EMFILE', 'ENFILE', 'EIO']

function fileSentence(error: WorldError, config: Config | null): string | null {
  if (typeof error.code !== 'string' || !fileCodes.includes(error.code)) return null
  if (error.code === 'EMFILE' || error.code === 'ENFILE') return 'There are too many open files: raise the limit with `ulimit -n 65536`.'
  const path = typeof error.path === 'string' ? error.path : null
  const isOurs = config !== null && (path === null || path.startsWith(config.data))
  const place = path ?? config?.data ?? 'the folder'
  const remedy = isOurs ? 'change data (or TOLLGATE_DATA)' : 'name another one'
  if (error.code === 'ENOSPC') return `The disk that holds ${place} is full: make room, or ${remedy}.`
  if (error.code === 'EDQUOT') return `The disk quota for ${place} is used up: make room, or ${remedy}.`
  if (error.code === 'EROFS') return `${place} lies on a file system that is read-only: mount it writable, or ${remedy}.`
  if (error.code === 'EIO') return `The disk that holds ${place} fails (input/output error): replace it, or ${remedy}.`
  if (error.code === 'ENOTDIR' || error.code === 'EEXIST') {
    const file = error.code === 'EEXIST' ? place : dirname(place)
    return `${file} is a file where a folder is needed: remove it, or ${remedy}.`
  }
  if (error.code === 'EISDIR') return `${place} is a folder where a file is needed: ${remedy}.`
  return `This user has no right to write to ${place}: give it the right, or ${remedy}.`
}

const reachSentences: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was cut',
  ETIMEDOUT: 'no answer',
  EHOSTUNREACH: 'no way to the host',
  ENETUNREACH: 'no way to the network',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the host name cannot be looked up now',
  '57P03': 'it is starting up or shutting down',
  '57P01': 'it was shut down',
  '53300': 'it has no free connection left',
}

function databaseSentence(error: WorldError, config: Config | null): string | null {
  const code = String(error.code)
  const place = databasePlace(config)
  const remedy = 'database (or TOLLGATE_DATABASE_URL)'
  const why = reachSentences[code]
  if (why !== undefined) return `The database${place} cannot be reached (${why}): start it, or change ${remedy}.`
  if (code === '28P01' || code === '28000') return `The database${place} refuses the login (${error.message}): correct user and password in ${remedy}.`
  if (code === '3D000') return `The database server${place} answers, but ${error.message}: create it with createdb, or change ${remedy}.`
  if (code === '42501') return `The database${place} denies a right (${error.message}): log in as the owner, or grant it; see ${remedy}.`
  if (code === '53100') return `The disk of the database${place} is full: make room there.`
  if (/^[0-9A-Z]{5}$/.test(code) && 'severity' in error) return `The database${place} reports: ${error.message}.`
  return null
}

/** ` at host:port`: never the whole URL, which holds the password. */
function databasePlace(config: Config | null): string {
  if (config === null || !URL.canParse(config.database)) return ''
  const url = new URL(config.database)
  return url.host === '' ? '' : ` at ${url.hostname}:${url.port === '' ? '5432' : url.port}`
}
