/**
 * Conditions, checked: that each part is of one known kind, that its attribute exists and is known at the stage of
 * the rule, and that its pattern, list, network or range can be used.
 */
import { stages, type Stage } from '../contracts/vocabulary.ts'
import { attributeNamed, attributeNames, attributeNamesAt, isKnownAt, type Attribute } from './attributes.ts'
import { checkFamilies, checkNamed, checkNames, mayAnswer, unknownResult, type KnownCheck } from './check-names.ts'
import { FaultList, isMember, isPlainObject, nearest, type Path } from './fault-list.ts'
import { maskedPrefix, parseIpPrefix } from './ip-prefix-set.ts'
import { listNamePattern, rulesetLimits } from './ruleset.ts'
import { patternFault } from './text-pattern.ts'

type Lists = ReadonlyMap<string, unknown>

/** What tells the kinds of condition apart, with the keys that each may have beside it. */
const kinds = {
  all: [],
  any: [],
  not: [],
  matches: ['attribute', 'caseSensitive'],
  equals: ['attribute', 'caseSensitive'],
  in: ['attribute', 'caseSensitive'],
  cidr: ['attribute'],
  country: [],
  above: ['attribute'],
  below: ['attribute'],
  between: ['attribute'],
  exists: ['attribute'],
  is: ['check'],
} as const
type Kind = keyof typeof kinds
const kindNames = Object.keys(kinds) as Kind[]
const checkPrefix = 'check.'

export function conditionFaults(
  faults: FaultList,
  path: Path,
  condition: unknown,
  stage: Stage | null,
  lists: Lists,
): void {
  const scope: Scope = { faults, stage, lists, conditionCount: 0 }
  visit(scope, path, condition, 1)
  if (scope.conditionCount > rulesetLimits.conditionsPerRule) {
    faults.add(
      path,
      `${scope.conditionCount} conditions in one rule, and at most ${rulesetLimits.conditionsPerRule} are allowed`,
    )
  }
}

type Scope = { faults: FaultList; stage: Stage | null; lists: Lists; conditionCount: number }

function visit(scope: Scope, path: Path, condition: unknown, depth: number): void {
  const { faults } = scope
  scope.conditionCount += 1
  if (!isPlainObject(condition)) {
    return faults.add(
      path,
      'A condition is a mapping',
      'Write for example { attribute: helo, matches: "^localhost$" }',
    )
  }
  if (depth > rulesetLimits.conditionDepth) {
    return faults.add(path, `Conditions are nested more than ${rulesetLimits.conditionDepth} deep`)
  }
  const present = kindNames.filter((kind) => condition[kind] !== undefined)
  if (present.length !== 1) return addKindFault(faults, path, condition, present)
  const kind = present[0]!
  faults.addUnknownKeys(path, condition, [kind, ...kinds[kind]])
  if (condition.caseSensitive !== undefined && typeof condition.caseSensitive !== 'boolean') {
    faults.add([...path, 'caseSensitive'], 'caseSensitive is true or false')
  }
  const attribute = isMember(kinds[kind], 'attribute') ? addAttributeFaults(scope, path, condition.attribute) : null
  checkOf[kind](scope, [...path, kind], condition, attribute, depth)
}

function addKindFault(faults: FaultList, path: Path, condition: Record<string, unknown>, present: Kind[]): void {
  if (present.length > 1) {
    return faults.add(
      [...path, present[1]!],
      `A condition is of one kind, and this one has ${present.join(' and ')}`,
      'Put both under all:',
    )
  }
  const own = ['attribute', 'check', 'caseSensitive']
  const stranger = Object.keys(condition).find((key) => !own.includes(key))
  faults.add(
    stranger === undefined ? path : [...path, stranger],
    `A condition has one of ${kindNames.join(', ')}`,
    stranger === undefined ? undefined : nearest(stranger, kindNames),
  )
}

function addAttributeFaults(scope: Scope, path: Path, name: unknown): Attribute | null {
  const { faults, stage } = scope
  if (typeof name !== 'string') {
    faults.add(name === undefined ? path : [...path, 'attribute'], 'This condition needs the name of an attribute')
    return null
  }
  const attribute = attributeNamed(name)
  if (name.startsWith(checkPrefix) && checkNamed(name.slice(checkPrefix.length)) === null) {
    const checkName = name.slice(checkPrefix.length)
    faults.add([...path, 'attribute'], `There is no check "${checkName}"`, checkNameRemedy(checkName))
  } else if (attribute === null) {
    const remedy = nearest(name, attributeNames) ?? `Known are ${attributeNamesAt(stage ?? 'complete').join(', ')}`
    faults.add([...path, 'attribute'], `There is no attribute "${name}"`, remedy)
  } else if (stage !== null && !isKnownAt(attribute, stage)) {
    faults.add([...path, 'attribute'], `${name} is not yet known at ${stage}`, worksFrom(attribute.from))
  }
  return attribute
}

type KindCheck = (
  scope: Scope,
  path: Path,
  condition: Record<string, unknown>,
  attribute: Attribute | null,
  depth: number,
) => void

const checkOf: Record<Kind, KindCheck> = {
  all: visitMembers,
  any: visitMembers,
  not: (scope, path, condition, _attribute, depth) => visit(scope, path, condition.not, depth + 1),
  matches: ({ faults }, path, { matches }, attribute) => {
    addUnlessType(faults, path, attribute, ['text', 'ip'])
    if (typeof matches !== 'string' || matches === '')
      return faults.add(path, 'matches holds a regular expression in quotes')
    if (matches.length > rulesetLimits.patternLength) {
      return faults.add(
        path,
        `A pattern has at most ${rulesetLimits.patternLength} characters`,
        'Put the words into a list',
      )
    }
    const fault = patternFault(matches)
    if (fault !== null) faults.add(path, fault.message, fault.remedy, fault.offset)
  },
  equals: ({ faults }, path, { equals }, attribute) => {
    const wanted =
      attribute === null
        ? typeof equals
        : attribute.type === 'ip' || attribute.type === 'text'
          ? 'string'
          : attribute.type
    if (!['string', 'number', 'boolean'].includes(typeof equals)) return faults.add(path, 'equals holds one value')
    if (typeof equals === wanted) return
    const remedy = wanted === 'string' ? `Put it in quotes: "${String(equals)}"` : undefined
    faults.add(path, `${attribute!.name} is compared with a ${wanted === 'string' ? 'text' : wanted}`, remedy)
  },
  in: ({ faults, lists }, path, condition, attribute) => {
    addUnlessType(faults, path, attribute, ['text', 'ip'])
    const named = condition.in
    if (typeof named === 'string') return addUnknownListFault(faults, path, named, lists)
    addUnlessTexts(faults, path, named, 'in holds the name of a list, or texts in [ ]')
  },
  cidr: addCidrFaults,
  country: ({ faults, lists }, path, { country }) => {
    if (typeof country === 'string' && new RegExp(listNamePattern).test(country) && !/^[a-z]{2}$/.test(country)) {
      return addUnknownListFault(faults, path, country, lists)
    }
    for (const [entryPath, code] of entriesOf(path, country)) {
      if (typeof code === 'string' && /^[A-Za-z]{2}$/.test(code)) continue
      const remedy = code === false ? 'Put NO in quotes: YAML may read it as false' : 'Write two letters, like DE'
      faults.add(entryPath, `${JSON.stringify(code)} is no country code`, remedy)
    }
  },
  above: addUnlessNumber,
  below: addUnlessNumber,
  between: ({ faults }, path, { between }, attribute) => {
    addUnlessType(faults, path, attribute, ['number'])
    const isPair = Array.isArray(between) && between.length === 2 && between.every((one) => Number.isFinite(one))
    if (!isPair) return faults.add(path, 'between holds two numbers', 'Write [1, 10]; both ends belong to it')
    if (between[0] > between[1])
      faults.add(path, `Nothing lies between ${between[0]} and ${between[1]}`, `Write [${between[1]}, ${between[0]}]`)
  },
  exists: ({ faults }, path, { exists }) => {
    if (typeof exists !== 'boolean') faults.add(path, 'exists is true or false')
  },
  is: (scope, path, condition) => {
    const check = addCheckFaults(scope, path, condition)
    for (const [entryPath, result] of entriesOf(path, condition.is)) {
      if (typeof result !== 'string' || result === '') {
        scope.faults.add(entryPath, 'is holds one result, or some in [ ]')
      } else if (check !== null && !mayAnswer(check, result)) {
        const words = [...(check.results ?? []), unknownResult]
        const others = check.resultPattern === undefined ? '' : ', and addresses like 127.0.0.2'
        const remedy = nearest(result, words) ?? `Its answers are ${words.join(', ')}${others}`
        scope.faults.add(entryPath, `The check ${check.name} never answers "${result}"`, remedy)
      }
    }
  },
}

function addCheckFaults({ faults, stage }: Scope, path: Path, condition: Record<string, unknown>): KnownCheck | null {
  const { check: name } = condition
  const place = [...path.slice(0, -1), ...('check' in condition ? ['check'] : [])]
  if (typeof name !== 'string') {
    faults.add(place, 'This condition needs the name of a check')
    return null
  }
  const check = checkNamed(name)
  if (check === null) faults.add(place, `There is no check "${name}"`, checkNameRemedy(name))
  else if (stage !== null && !isFrom(check.from, stage)) {
    faults.add(place, `The check ${name} has no answer yet at ${stage}`, worksFrom(check.from))
  }
  return check
}

function checkNameRemedy(name: string): string {
  const isFamily = checkFamilies.some(({ prefix }) => name.startsWith(prefix))
  if (isFamily) return 'The name behind it has lower-case letters, digits and -, as in the configuration'
  return nearest(name, checkNames) ?? `There are ${checkNames.join(', ')}`
}

function isFrom(from: Stage, stage: Stage): boolean {
  return stages.indexOf(from) <= stages.indexOf(stage)
}

function worksFrom(from: Stage): string {
  const later = stages.slice(stages.indexOf(from))
  return later.length === 1 ? `It works at ${later[0]}` : `It works from ${from} on: ${later.join(', ')}`
}

function visitMembers(
  scope: Scope,
  path: Path,
  condition: Record<string, unknown>,
  _attribute: unknown,
  depth: number,
): void {
  const members = condition[path.at(-1)!]
  if (!Array.isArray(members) || members.length === 0) {
    return scope.faults.add(path, `${path.at(-1)} holds a list of at least one condition`)
  }
  for (const [index, member] of members.entries()) visit(scope, [...path, index], member, depth + 1)
}

function addCidrFaults(
  { faults, lists }: Scope,
  path: Path,
  { cidr }: Record<string, unknown>,
  attribute: Attribute | null,
): void {
  addUnlessType(faults, path, attribute, ['ip', 'text'])
  let entries = entriesOf(path, cidr)
  if (typeof cidr === 'string' && new RegExp(listNamePattern).test(cidr) && parseIpPrefix(cidr) === null) {
    addUnknownListFault(faults, path, cidr, lists)
    const list = lists.get(cidr)
    entries = Array.isArray(list) ? list.map((entry, index): [Path, unknown] => [['lists', cidr, index], entry]) : []
  }
  for (const [entryPath, entry] of entries) {
    if (typeof entry === 'string' && parseIpPrefix(entry) !== null) continue
    const masked = typeof entry === 'string' ? maskedPrefix(entry) : null
    faults.add(
      entryPath,
      `${JSON.stringify(entry)} is no network`,
      masked === null ? 'Write an address and a length, like 192.0.2.0/24 or 2001:db8::/32' : `Write ${masked}`,
    )
  }
}

function addUnknownListFault(faults: FaultList, path: Path, name: string, lists: Lists): void {
  if (lists.has(name)) return
  const known = [...lists.keys()]
  const fallback =
    known.length === 0 ? 'There are none: add it under lists' : `There are ${known.slice(0, 20).join(', ')}`
  faults.add(path, `There is no list "${name}"`, nearest(name, known) ?? fallback)
}

function addUnlessType(faults: FaultList, path: Path, attribute: Attribute | null, types: readonly string[]): void {
  if (attribute === null || types.includes(attribute.type)) return
  const remedy =
    attribute.type === 'number'
      ? 'Use above, below or between'
      : attribute.type === 'boolean'
        ? 'Use equals'
        : undefined
  faults.add(path, `${attribute.name} is a ${attribute.type}: ${path.at(-1)} cannot be used with it`, remedy)
}

function addUnlessNumber(
  { faults }: Scope,
  path: Path,
  condition: Record<string, unknown>,
  attribute: Attribute | null,
): void {
  addUnlessType(faults, path, attribute, ['number'])
  if (!Number.isFinite(condition[path.at(-1)!])) faults.add(path, `${path.at(-1)} holds a number`)
}

function addUnlessTexts(faults: FaultList, path: Path, value: unknown, message: string): void {
  if (!Array.isArray(value)) return faults.add(path, message)
  for (const [index, entry] of value.entries()) {
    if (typeof entry === 'string') continue
    faults.add([...path, index], 'An entry is a text', `Put it in quotes: "${String(entry)}"`)
  }
}

function entriesOf(path: Path, value: unknown): [Path, unknown][] {
  return Array.isArray(value) ? value.map((entry, index) => [[...path, index], entry]) : [[path, value]]
}
