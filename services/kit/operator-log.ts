/**
 * The operator log: what the one who runs the product reads. It is not the event log.
 *
 * Why  to stderr, so that stdout carries only what a command was asked for; sentences on a terminal, JSON Lines
 *      on anything else. `TOLLGATE_LOG_FORMAT=json` or `text` overrides: a supervised child writes to a pipe,
 *      and its parent knows whether a person is reading.
 */
import { Writable } from 'node:stream'
import { pino, type Logger } from 'pino'

export type { Logger } from 'pino'
export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

export type OperatorLogOptions = { level?: LogLevel; format?: 'json' | 'text'; stream?: NodeJS.WritableStream }

/** `name` is the role, e.g. `gateway`. Writes synchronously: the last line before a death is the one that matters. */
export function openOperatorLog(name: string, options: OperatorLogOptions = {}): Logger {
  const stream = options.stream ?? process.stderr
  const format = options.format ?? formatOf(stream)
  const settings = {
    level: options.level ?? levelOf(process.env['TOLLGATE_LOG_LEVEL']),
    base: { role: name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  if (format === 'json') return pino(settings, options.stream ?? pino.destination({ fd: 2, sync: true }))
  return pino(settings, textLines(stream, 'isTTY' in stream && stream.isTTY === true))
}

function formatOf(stream: NodeJS.WritableStream): 'json' | 'text' {
  const wanted = process.env['TOLLGATE_LOG_FORMAT']
  if (wanted === 'json' || wanted === 'text') return wanted
  return 'isTTY' in stream && stream.isTTY === true ? 'text' : 'json'
}

function levelOf(text: string | undefined): LogLevel {
  return logLevels.find((level) => level === text) ?? 'info'
}

/** Each JSON line as `12:03:04 gateway  warn  text (key=value …)`. */
function textLines(stream: NodeJS.WritableStream, hasColour: boolean): Writable {
  return new Writable({
    decodeStrings: false,
    write(chunk: unknown, _encoding, done) {
      for (const line of String(chunk).split('\n')) {
        if (line !== '') stream.write(`${textLine(JSON.parse(line) as Record<string, unknown>, hasColour)}\n`)
      }
      done()
    },
  })
}

const colourOf: Record<string, string> = { fatal: '31', error: '31', warn: '33', debug: '2', trace: '2' }

export function textLine(entry: Record<string, unknown>, hasColour: boolean): string {
  const { level, time, role, msg, err, name: _name, ...rest } = entry
  const at = new Date(String(time))
  const clockTime = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':')
  const fields = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  const reason = isErrorEntry(err) ? causeChain(err) : ''
  const word = level === 'info' ? '' : `${hasColour && colourOf[String(level)] !== undefined ? `\u001b[${colourOf[String(level)]}m${String(level)}\u001b[0m` : String(level)}: `
  const tail = fields.length === 0 ? '' : ` (${fields.join(' ')})`
  return `${clockTime} ${String(role).padEnd(8)} ${word}${String(msg ?? '')}${reason}${tail}`
}

type ErrorEntry = { message: string; type?: string; stack?: string }
function isErrorEntry(value: unknown): value is ErrorEntry {
  return typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string'
}

/** pino's error serializer already joins the messages of the causes. */
function causeChain(error: ErrorEntry): string {
  return `: ${error.message}`
}
