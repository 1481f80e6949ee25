/** Runs the built `tollgate` command as a user does. Needs a build (`npm test` makes one first). */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { packageRoot } from '../../services/kit/package-root.ts'

export type Finished = { code: number | null; stdout: string; stderr: string }
export type RunOptions = { folder: string; environment?: NodeJS.ProcessEnv; input?: string }

/** Without the caller's own TOLLGATE_ variables. */
export function startTollgate(words: readonly string[], options: RunOptions): ChildProcess & { finished: Promise<Finished>; output(): Finished } {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('TOLLGATE_'))
  const child = spawn(process.execPath, [path.join(packageRoot, 'bin/tollgate.js'), ...words], {
    cwd: options.folder,
    env: { ...Object.fromEntries(inherited), ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin!.end(options.input ?? '')
  const output: Finished = { code: null, stdout: '', stderr: '' }
  child.stdout!.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr!.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
  const finished = new Promise<Finished>((resolve) => child.once('close', (code) => resolve(Object.assign(output, { code }))))
  return Object.assign(child, { finished, output: () => output })
}

export function runTollgate(words: readonly string[], options: RunOptions): Promise<Finished> {
  return startTollgate(words, options).finished
}

/** Whether a process runs; one that ended and was not reaped yet does not. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Waits as long as the test may take. */
export async function whenTrue(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20)
}
