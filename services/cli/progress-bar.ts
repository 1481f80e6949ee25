/** How far long work is: a line on a terminal that is drawn over itself, and nothing anywhere else. */
export type ProgressBar = { show(done: number, total: number): void; end(): void }

const drawEveryMs = 100
const barWidth = 30

export function progressBar(title: string, stream: NodeJS.WriteStream = process.stderr): ProgressBar {
  if (stream.isTTY !== true) return { show() {}, end() {} }
  let drawnAt = 0
  let line = ''
  return {
    show(done, total) {
      line = barLine(title, done, total, stream.columns ?? 80)
      if (performance.now() - drawnAt < drawEveryMs) return
      drawnAt = performance.now()
      stream.write(`\r${line}\u001b[K`)
    },
    end() {
      if (line !== '') stream.write(`\r${line}\u001b[K\n`)
    },
  }
}

export function barLine(title: string, done: number, total: number, columns: number): string {
  const share = total === 0 ? 1 : Math.min(1, done / total)
  const filled = Math.round(share * barWidth)
  const bar = `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)} ${String(Math.floor(share * 100)).padStart(3)} %`
  const room = columns - bar.length - 2
  const shown = title.length > room ? `…${title.slice(title.length - Math.max(0, room - 1))}` : title
  return room < 4 ? bar : `${shown} ${bar}`
}
