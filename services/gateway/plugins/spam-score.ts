/** What the score of a spam filter is called, by thresholds: rules are pure and give each word its own weight. */
export type ScoreThresholds = { probable: number; certain: number }

/** As it is logged, and so as rules see it. */
export function loggedScore(score: number): number {
  return Number(score.toFixed(3))
}

export function scoreWord(score: number, { probable, certain }: ScoreThresholds): 'ham' | 'probable' | 'certain' {
  return score >= certain ? 'certain' : score >= probable ? 'probable' : 'ham'
}

/** At most so many names: the detail of a result is one line. */
const namesShown = 8

export function scoreText(score: number, limit: number | null, names: readonly string[]): string {
  const shown = names.slice(0, namesShown).join(', ')
  const more = names.length > namesShown ? `, and ${names.length - namesShown} more` : ''
  return `score ${Number(score.toFixed(2))}${limit === null ? '' : ` of ${limit}`}${shown === '' ? '' : `; ${shown}${more}`}`
}
