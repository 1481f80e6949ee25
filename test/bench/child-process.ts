/** Child processes of a bench: what they print is taken, their complaint is the error. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'

/** Starts a compiled file beside this one. */
export function startRole(file: string, roleArguments: readonly string[]): ChildProcess {
  return spawn(process.execPath, [path.join(import.meta.dirname, file), ...roleArguments], { stdio: ['pipe', 'pipe', 'inherit'] })
}

/** Resolves to what it printed; `okCodes` beside 0 are no failure. */
export async function outputOf(program: string, programArguments: readonly string[], okCodes: readonly number[] = []): Promise<string> {
  const child = spawn(program, programArguments, { stdio: ['ignore', 'pipe', 'pipe'] })
  const printed: Buffer[] = []
  let complaint = ''
  child.stdout.on('data', (chunk: Buffer) => printed.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0 && !okCodes.includes(code ?? -1)) throw new Error(`${path.basename(program)} failed: ${complaint.trim()}`)
  return Buffer.concat(printed).toString()
}

export async function outputOfRole(file: string, roleArguments: readonly string[]): Promise<string> {
  return await outputOf(process.execPath, [path.join(import.meta.dirname, file), ...roleArguments])
}

/** Ends it in an orderly way, and waits until it is gone. */
export async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGTERM')
  await closed
}
