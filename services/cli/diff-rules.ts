/** `tollgate rules diff A B`: what the second rule set changes against the first, rule by rule. */
import { diffRulesets, type FieldChange, type RulesetDiff } from '../rules/diff-rulesets.ts'
import { readRules } from './read-rules.ts'

export async function diffRules(before: string, after: string, format: 'text' | 'json'): Promise<void> {
  const diff = diffRulesets(await readRules(before), await readRules(after))
  process.stdout.write(format === 'json' ? `${JSON.stringify(diff)}\n` : diffText(diff))
}

function diffText(diff: RulesetDiff): string {
  if (diff.isSame) return 'No difference.\n'
  const lines = [
    ...diff.settings.map((change) => `* ${fieldText(change)}`),
    ...diff.added.map(({ id, stage, name }) => `+ ${id} at ${stage}: ${name}`),
    ...diff.removed.map(({ id, stage, name }) => `- ${id} at ${stage}: ${name}`),
    ...diff.changed.flatMap(({ ruleId, fields, isRevisionForgotten }) => [
      `~ ${ruleId}${isRevisionForgotten ? '  (raise its revision: hits in the log cannot be told apart otherwise)' : ''}`,
      ...fields.map((change) => `    ${fieldText(change)}`),
    ]),
    ...diff.moved.map((id) => `> ${id} runs in another order`),
    ...diff.lists.map(
      ({ name, addedCount, removedCount, kind }) =>
        `${signs[kind]} list ${name}: ${addedCount} entries more, ${removedCount} fewer`,
    ),
  ]
  return `${lines.join('\n')}\n`
}

const signs = { added: '+', removed: '-', changed: '~' } as const

function fieldText({ field, before, after }: FieldChange): string {
  return `${field}: ${JSON.stringify(before)} → ${JSON.stringify(after)}`
}
