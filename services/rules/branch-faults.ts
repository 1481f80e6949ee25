/** What a rule may do, checked: a branch holds weight, marks, and at most one action. */
import { FaultList, isPlainObject, type Path } from './fault-list.ts'
import { branchActions, headerNamePattern, headerValuePattern, plainTextPattern } from './ruleset.ts'

const branchKeys = ['weight', 'markSubject', 'addHeader', ...branchActions]
const addressPattern = /^[^@\s]+@[^@\s]+$/

/** Headers of the message itself: adding a second one would change or break it. */
const ownHeaders = ['from', 'to', 'cc', 'subject', 'date', 'message-id', 'received', 'dkim-signature', 'content-type']

export function branchFaults(faults: FaultList, path: Path, branch: unknown): void {
  if (!isPlainObject(branch)) {
    return faults.add(path, 'This is a mapping of what to do', 'Write for example { weight: 2 }')
  }
  faults.addUnknownKeys(path, branch, branchKeys)
  if (branch.weight !== undefined) faults.addUnlessWeight([...path, 'weight'], branch.weight)
  if (branch.markSubject !== undefined) {
    faults.addUnlessText([...path, 'markSubject'], branch.markSubject, plainTextPattern, 60, 1)
  }
  if (branch.addHeader !== undefined) addedHeaderFaults(faults, [...path, 'addHeader'], branch.addHeader)
  const actions = branchActions.filter((action) => branch[action] !== undefined)
  if (actions.length > 1) {
    faults.add(
      [...path, actions[1]!],
      `A branch has one action, and this one has ${actions.join(' and ')}`,
      'Make two rules of it',
    )
  }
  if (branch.reject !== undefined) replyFaults(faults, [...path, 'reject'], branch.reject, 5)
  if (branch.defer !== undefined) replyFaults(faults, [...path, 'defer'], branch.defer, 4)
  for (const action of ['discard', 'quarantine', 'stop', 'accept'] as const) {
    if (branch[action] === undefined || branch[action] === true) continue
    faults.add([...path, action], `${action} is true or left out`)
  }
  for (const action of ['redirect', 'copy'] as const) {
    const address = branch[action]
    if (address === undefined || (typeof address === 'string' && addressPattern.test(address))) continue
    faults.add([...path, action], `${action} names one address`, 'Write local@domain')
  }
}

function addedHeaderFaults(faults: FaultList, path: Path, header: unknown): void {
  if (!isPlainObject(header))
    return faults.add(path, 'A header has a name and a value', 'Write { name: X-Rule, value: yes }')
  faults.addUnknownKeys(path, header, ['name', 'value'])
  if (typeof header.name !== 'string' || !new RegExp(headerNamePattern).test(header.name)) {
    faults.add([...path, 'name'], 'A header name has letters, digits and -', 'Write for example X-Spam')
  } else if (ownHeaders.includes(header.name.toLowerCase())) {
    faults.add([...path, 'name'], `${header.name} belongs to the message itself`, `Write X-${header.name}`)
  }
  if (typeof header.value !== 'string' || !new RegExp(headerValuePattern).test(header.value)) {
    const remedy =
      typeof header.value === 'number' || typeof header.value === 'boolean'
        ? `Put it in quotes: "${header.value}"`
        : undefined
    faults.add([...path, 'value'], 'A header value is one line of at most 500 printable ASCII characters', remedy)
  }
}

function replyFaults(faults: FaultList, path: Path, reply: unknown, family: 4 | 5): void {
  if (!isPlainObject(reply)) {
    const text = typeof reply === 'string' ? reply : 'Why it is not taken'
    return faults.add(path, 'A reply is a mapping with a text', `Write { text: ${JSON.stringify(text)} }`)
  }
  faults.addUnknownKeys(path, reply, ['code', 'enhanced', 'text'])
  if (
    reply.code !== undefined &&
    !(Number.isInteger(reply.code) && Math.floor(Number(reply.code) / 100) === family)
  ) {
    faults.add([...path, 'code'], `The code of this reply lies between ${family}00 and ${family}99`)
  }
  if (reply.enhanced !== undefined) {
    const isCode =
      typeof reply.enhanced === 'string' && new RegExp(`^${family}\\.\\d{1,3}\\.\\d{1,3}$`).test(reply.enhanced)
    if (!isCode) faults.add([...path, 'enhanced'], `An enhanced code of this reply is a text like "${family}.7.1"`)
  }
  if (typeof reply.text !== 'string' || reply.text === '' || !new RegExp(headerValuePattern).test(reply.text)) {
    faults.add([...path, 'text'], 'The text of a reply is one line of 1 to 500 printable ASCII characters')
  }
}
