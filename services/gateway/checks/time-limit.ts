import { unknown, type Finding } from './check.ts'

/** The finding, or `unknown` where it takes longer. What it waits for goes on and may fill a cache. */
export function withinLimit(finding: Promise<Finding>, limitMs: number): Promise<Finding> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(unknown(`no answer within ${limitMs} ms`)), limitMs)
    finding.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
