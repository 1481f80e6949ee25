/**
 * What became of each line that was read: translated, of no meaning here, or not translated and what to do instead.
 *
 * Owns    the promise that no setting is passed over: `linesOf` names those that nobody told about.
 */
import type { Setting } from './read-main-cf.ts'

export type Verdict = 'translated' | 'irrelevant' | 'not translated'
export type ReportLine = { file: string; line: number; subject: string; verdict: Verdict; text: string }

export class ImportReport {
  readonly lines: ReportLine[] = []

  translated(place: Place, text: string): void {
    this.#add(place, 'translated', text)
  }

  irrelevant(place: Place, why: string): void {
    this.#add(place, 'irrelevant', why)
  }

  /** `remedy` is a whole sentence. */
  left(place: Place, remedy: string): void {
    this.#add(place, 'not translated', remedy)
  }

  hasToldOf(file: string, line: number): boolean {
    return this.lines.some((told) => told.file === file && told.line === line)
  }

  #add({ file, line, subject }: Place, verdict: Verdict, text: string): void {
    this.lines.push({ file, line, subject: subject.length > 120 ? `${subject.slice(0, 117)}...` : subject, verdict, text })
  }
}

export type Place = { file: string; line: number; subject: string }

export function placeOf(file: string, { name, line, raw }: Setting): Place {
  return { file, line, subject: `${name} = ${raw}` }
}

export function reportText({ file, line, subject, verdict, text }: ReportLine): string {
  return `${file}:${line}: ${subject}: ${verdict}: ${text}`
}
