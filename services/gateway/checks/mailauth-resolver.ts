import type { RecordType, Resolver } from './resolver.ts'

/** Our resolver in the shape that mailauth asks for: lists of records, and errors with the codes of Node. */
export function mailauthResolver(resolver: Resolver): (name: string, type: string) => Promise<unknown[]> {
  return async (name, type) => {
    // What its search for an organisational domain makes of a name that has none.
    if (!types.has(type) || name === '_dmarc.null') throw withCode('ENODATA', 'no such record')
    const answer = await resolver.ask(name, type as RecordType)
    if (answer.status === 'found') return type === 'TXT' ? answer.records.map((text) => [text]) : [...answer.records]
    if (answer.status === 'none') throw withCode(answer.hasName ? 'ENODATA' : 'ENOTFOUND', 'no such record')
    // The only failure that mailauth does not take for an answer inside an `include`.
    throw withCode('ETIMEOUT', answer.why)
  }
}

const types = new Set<string>(['A', 'AAAA', 'MX', 'PTR', 'TXT'] satisfies RecordType[])

function withCode(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}
