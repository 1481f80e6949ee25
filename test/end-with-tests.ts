/** Ends a daemon of the tests also where the tests are killed: then nobody is left to stop it and to remove its folder. */
import { spawn } from 'node:child_process'

/** The folder stands in the arguments of the daemon, or is where it runs, so that no other process of that number is ended. */
export function endWithTests(folder: string, daemonPid: number, signal: 'INT' | 'TERM'): void {
  const isOurs = '{ ps -o args= -p "$2"; readlink "/proc/$2/cwd"; } | grep -qF "$3"'
  const script = `while kill -0 "$1"; do sleep 1; done; ${isOurs} && kill -"$4" "$2" && sleep 3; rm -rf "$3"`
  const words = ['-c', script, 'sh', String(process.pid), String(daemonPid), folder, signal]
  spawn('sh', words, { detached: true, stdio: 'ignore' }).unref()
}
