import { expect, it } from 'vitest'
import { safeNext } from './safe-next.ts'

it.each([
  ['/trace?q=to:a&range=7d', '/trace?q=to:a&range=7d'],
  ['//evil.example/x', '/'],
  ['/\\evil.example', '/'],
  ['https://evil.example', '/'],
  ['javascript:alert(1)', '/'],
  [undefined, '/'],
  [['/a', '/b'], '/'],
])('after login to %s leads to %s', (next, path) => {
  expect(safeNext(next)).toBe(path)
})
