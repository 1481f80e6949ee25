/** Every mistake of a tariff with its place: its shape first, then what a schema cannot see. */
import type { TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { minorDigitsOf } from '../../contracts/money.ts'
import { tariffComponentKinds, tariffComponents, TariffDefinition, tariffFaults } from '../../contracts/tariff.ts'

const mostFaults = 20

export function faultsOfTariff(value: unknown): string[] {
  if (!isObject(value)) return ['A tariff has name, currency and components']
  const { components, ...rest } = value
  const faults = shapeFaults(TariffDefinition, { ...rest, components: [{ kind: 'flat', amount: '0' }] }, '')
  if (!Array.isArray(components) || components.length === 0) faults.push('components: is no list of at least one component')
  // Component by component: a fault of one is told by what its kind wants, not by all that it might have been.
  else faults.push(...components.flatMap((component, index) => componentFaults(component, `components[${index}]`)))
  if (faults.length > 0) return faults.slice(0, mostFaults)
  if (!Value.Check(TariffDefinition, value)) return shapeFaults(TariffDefinition, value, '').slice(0, mostFaults)
  faults.push(...tariffFaults(value).map(({ path, message }) => `${path} ${message}`))
  try {
    minorDigitsOf(value.currency)
  } catch (error) {
    faults.push(`currency: ${(error as Error).message}`)
  }
  return faults
}

function componentFaults(component: unknown, at: string): string[] {
  if (!isObject(component)) return [`${at}: is no component: write one like {kind: flat, amount: "10"}`]
  const kind = tariffComponentKinds.find((known) => known === component['kind'])
  if (kind === undefined) return [`${at}.kind: is ${JSON.stringify(component['kind'])}: write one of ${tariffComponentKinds.join(', ')}`]
  return shapeFaults(tariffComponents[kind], component, at)
}

function shapeFaults(schema: TSchema, value: unknown, at: string): string[] {
  // A name that is not known is told at its parent, which lists it.
  return [...Value.Errors(schema, value)].filter(({ message }) => message !== 'schema is false').map(({ instancePath, message, params }) => {
    const place = [at, ...instancePath.split('/').slice(1)].filter((part) => part !== '').join('.')
    const found = Object(Value.Pointer.Get(value as object, instancePath)) as unknown
    const isNumber = found instanceof Number
    const extra = (params as { additionalProperties?: string[] }).additionalProperties
    if (extra !== undefined) return `${place || 'the tariff'}: there is no ${extra.join(', ')} here`
    return `${place || 'the tariff'}: ${isNumber ? `write ${String(found)} in quotes, so that no digit is lost` : message}`
  })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
