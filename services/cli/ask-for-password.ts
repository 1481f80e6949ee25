/** A password from the terminal, or from standard input: never from the arguments, which everybody can list. */
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { UsageError } from './outcome.ts'

export async function firstLineOfStdin(): Promise<string> {
  const lines = createInterface({ input: process.stdin })
  for await (const line of lines) {
    lines.close()
    return line
  }
  throw new UsageError('There is no password on standard input: write it there as one line.')
}

/** Asked twice on the terminal, and not shown. */
export async function askForPassword(): Promise<string> {
  if (process.stdin.isTTY !== true) throw new UsageError('Standard input is no terminal to ask for the password on: give --password-stdin.')
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true })
  terminal.on('SIGINT', () => process.exit(130))
  const ask = (question: string): Promise<string> => {
    process.stderr.write(question)
    return new Promise((resolve) => terminal.once('line', (line) => {
      process.stderr.write('\n')
      resolve(line)
    }))
  }
  try {
    const first = await ask('Password: ')
    if (first !== (await ask('Once more: '))) throw new UsageError('The two passwords differ.')
    return first
  } finally {
    terminal.close()
  }
}
