/**
 * Virtual aliases: an address that stands for others, from the file of `recipients.aliases`.
 *
 * Owns    every fault in the file, with its line; expanding each address to the end once, when the file is read.
 * Leaves  who may receive to decide-recipient.ts: an alias makes no address known.
 * Limits  `targetsPerAddress` at the end of one address.
 * Why     circles are faults of the file, so no message can ever go round in one. An address among its own targets is
 *         no circle: it keeps its mail, and others get a copy.
 */
import { readFile, stat } from 'node:fs/promises'
import { Type } from 'typebox'
import { normalizedAddress, type AddressNormalization } from '../../contracts/address.ts'
import { faultText } from '../../kit/fault.ts'
import { readYaml } from '../../kit/read-yaml.ts'

/** By normalised address, all of its final targets as they were written. */
export type Aliases = ReadonlyMap<string, readonly string[]>

export const noAliases: Aliases = new Map()

/** The file, read again when it changes; one that cannot be used leaves the aliases before in force. */
export class AliasesFile {
  current: Aliases = noAliases
  readonly #file: string
  readonly #normalization: AddressNormalization
  readonly #onLost: (sentence: string) => void
  #stamp = ''

  constructor(file: string, normalization: AddressNormalization, onLost: (sentence: string) => void) {
    this.#file = file
    this.#normalization = normalization
    this.#onLost = onLost
  }

  /** Throws where the file cannot be used. */
  async open(): Promise<void> {
    this.#stamp = await stampOf(this.#file)
    this.current = await readAliases(this.#file, this.#normalization)
  }

  /** Whether others came into force. */
  async refresh(isForced: boolean): Promise<boolean> {
    const stamp = await stampOf(this.#file)
    if (stamp === this.#stamp && !isForced) return false
    this.#stamp = stamp
    try {
      this.current = await readAliases(this.#file, this.#normalization)
      return true
    } catch (error) {
      this.#onLost(`${(error as Error).message}: the aliases before stay in force`)
      return false
    }
  }
}

const targetsPerAddress = 500
const addressPattern = '^[^@\\s<>]+@[^@\\s<>]+$'
const Address = Type.String({ pattern: addressPattern, description: 'an address like ann@example.org' })
const AliasesText = Type.Object(
  {
    aliases: Type.Array(
      Type.Object({ address: Address, to: Type.Array(Address, { minItems: 1 }) }, { additionalProperties: false }),
    ),
  },
  { additionalProperties: false },
)

/** Throws with a sentence that names every fault. */
export async function readAliases(file: string, normalization: AddressNormalization): Promise<Aliases> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new Error(`the file of recipients.aliases (${file}) cannot be read: check the setting and the rights of the file`, { cause: error })
  }
  const { value, faults, placeOf } = readYaml(AliasesText, text, file)
  const found = faults.map(faultText)
  const report = (index: number, message: string): void => {
    found.push(`${file}:${placeOf(`aliases[${index}].address`).line ?? 1}: aliases[${index}]: ${message}`)
  }
  if (found.length === 0) {
    const direct = new Map<string, readonly string[]>()
    for (const [index, { address, to }] of value.aliases.entries()) {
      const key = normalizedAddress(address, normalization)
      if (direct.has(key)) report(index, `${address} stands in the file twice. Write all of its targets in one place`)
      direct.set(key, to)
    }
    const whole = new Map<string, readonly string[]>()
    for (const [index, { address }] of value.aliases.entries()) {
      const targets = expanded(address, direct, normalization)
      if ('circle' in targets) report(index, `goes in a circle: ${targets.circle.join(' → ')}. Take one of these out`)
      else if (targets.found.length > targetsPerAddress) report(index, `leads to more than ${targetsPerAddress} addresses. Use a mailing list for that`)
      else whole.set(normalizedAddress(address, normalization), targets.found)
    }
    if (found.length === 0) return whole
  }
  throw new Error(`the file of recipients.aliases has faults: ${found.join('; ')}`)
}

/** `address` itself where it stands for no others. */
export function targetsOf(aliases: Aliases, address: string, normalized: string): readonly string[] {
  return aliases.get(normalized) ?? [address]
}

async function stampOf(file: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(file)
    return `${mtimeMs} ${size} ${ino}`
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  }
}

type Expansion = { found: string[] } | { circle: string[] }

function expanded(address: string, direct: ReadonlyMap<string, readonly string[]>, normalization: AddressNormalization): Expansion {
  const found = new Map<string, string>()
  const isDone = new Set<string>()
  const walk = (here: string, path: readonly string[]): string[] | null => {
    const key = normalizedAddress(here, normalization)
    if (path.includes(key)) return [...path.slice(path.indexOf(key)), key]
    const targets = direct.get(key)
    if (targets === undefined) {
      found.set(key, here)
      return null
    }
    // Reached on another way before: nothing new is behind it.
    if (isDone.has(key) || found.size > targetsPerAddress) return null
    isDone.add(key)
    for (const target of targets) {
      if (normalizedAddress(target, normalization) === key) found.set(key, target)
      else {
        const circle = walk(target, [...path, key])
        if (circle !== null) return circle
      }
    }
    return null
  }
  const circle = walk(address, [])
  return circle === null ? { found: [...found.values()] } : { circle }
}
