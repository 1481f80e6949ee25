/**
 * A rule set's text with the content of its list files in it, so that it is whole in itself; comments and order stay.
 *
 * Leaves  faults to parseRuleset: a text that has some, or a list that is not there, comes back as far as it can.
 */
import { isMap, isScalar, parseDocument } from 'yaml'
import { parseListFile } from './list-file.ts'
import { tooDeepAt } from './yaml-depth.ts'

/** `listTexts` as for parseRuleset. */
export function withInlineLists(text: string, listTexts: ReadonlyMap<string, string>): string {
  if (tooDeepAt(text) !== null) return text
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: false, merge: false })
  const lists = document.errors.length > 0 ? null : document.get('lists')
  if (!isMap(lists)) return text
  let isChanged = false
  for (const pair of lists.items) {
    const file = isMap(pair.value) ? pair.value.get('file') : null
    const content = typeof file === 'string' ? listTexts.get(file) : undefined
    if (content === undefined || !isScalar(pair.key)) continue
    pair.value = document.createNode(parseListFile(content).map((entry) => entry.text))
    isChanged = true
  }
  // JSON stays JSON: it is flow style throughout. Long lines are not folded, nor are texts that others wrote.
  return isChanged ? document.toString({ lineWidth: 0 }) : text
}
