/** What a bench is, and how its figures are made of runs (DESIGN §8). */

export const scales = ['small', 'default', 'large'] as const
export type Scale = (typeof scales)[number]

export type Closable = { close(): Promise<void> }

export type BenchContext = {
  scale: Scale
  /** Empty, on the disk that temporary files go to; removed afterwards. */
  folder: string
  /** What is being done now, for the one who waits. */
  progress(text: string): void
  /** Made at the first call in a run, closed at the end of the run: what several benches measure on. */
  shared<Resource extends Closable>(key: string, make: (context: Pick<BenchContext, 'scale' | 'folder' | 'progress'>) => Promise<Resource>): Promise<Resource>
}

export type Figure = {
  name: string
  unit: string
  ours: number
  peer: string
  theirs: number
  /** Larger is better. */
  ratio: number
  goal: number | null
  met: boolean | null
  runs: number
  /** Of the ratios of the single runs: (largest - smallest) / median. */
  spread: number
  command: string
}

export type Bench = {
  name: string
  /** The ratio to reach, or `null` where the figure is only reported. */
  goal: number | null
  run(context: BenchContext): Promise<Omit<Figure, 'command'>[]>
}

/** A package of the system that a peer needs and that is not there. */
export class MissingPeer extends Error {}

export type Pair = { ours: number; theirs: number }

/** `isRate`: both are amounts per second, so more is better; else they are times, and less is. */
export function figureOf(bench: { name: string; goal: number | null }, unit: string, peer: string, pairs: readonly Pair[], isRate: boolean): Omit<Figure, 'command'> {
  if (pairs.length < 3) throw new Error(`${bench.name}: ${pairs.length} runs are too few for a median`)
  const ratioOf = (pair: Pair): number => (isRate ? pair.ours / pair.theirs : pair.theirs / pair.ours)
  const ours = median(pairs.map((pair) => pair.ours))
  const theirs = median(pairs.map((pair) => pair.theirs))
  const ratios = pairs.map(ratioOf)
  const ratio = ratioOf({ ours, theirs })
  return {
    name: bench.name,
    unit,
    ours: rounded(ours),
    peer,
    theirs: rounded(theirs),
    ratio: rounded(ratio),
    goal: bench.goal,
    met: bench.goal === null ? null : ratio >= bench.goal,
    runs: pairs.length,
    spread: rounded((Math.max(...ratios) - Math.min(...ratios)) / median(ratios)),
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
