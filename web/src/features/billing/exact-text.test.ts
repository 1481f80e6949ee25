import { expect, it } from 'vitest'
import { changeText, decimalText, fractionDecimal, moneyDifference, moneyText, priceText, wholeOctets } from './exact-text.ts'

it.each([
  ['7', 3, '7'], ['1/3', 3, '0.333'], ['2/3', 3, '0.667'], ['-2/3', 3, '-0.667'], ['1/2', 0, '1'], ['-1/2', 0, '-1'],
  ['-1/9', 0, '0'], ['1/1000', 3, '0.001'], ['90071992547409931/10', 3, '9007199254740993.1'],
])('writes %s with %i places as %s', (exact, places, decimal) => {
  expect(fractionDecimal(exact, places)).toBe(decimal)
})

it('keeps octets beyond 2^53', () => {
  expect(wholeOctets('9007199254740993')).toBe(9007199254740993n)
})

it.each([
  ['12.00', '3.50', '8.50'], ['3.50', '12.00', '-8.50'], ['-1.25', '-0.25', '-1.00'], ['0.1', '0.02', '0.08'], ['100', '99', '1'],
  ['90071992547409.93', '0.01', '90071992547409.92'], ['5.00', '5.00', '0.00'],
])('%s less %s is %s', (one, other, difference) => {
  expect(moneyDifference(one, other)).toBe(difference)
})

it('writes money with every digit, in the places of its currency', () => {
  expect(moneyText('en', '9007199254740993.01', 'EUR')).toBe('€9,007,199,254,740,993.01')
  expect(moneyText('en', '1200', 'JPY')).toBe('¥1,200')
  expect(changeText('en', '3.5', 'EUR')).toBe('+€3.50')
  expect(changeText('en', '0.00', 'EUR')).toBe('€0.00')
})

it('writes a price with the places that it has', () => {
  expect(priceText('en', '0.000123456789', 'EUR')).toBe('€0.000123456789')
  expect(priceText('en', '2', 'EUR')).toBe('€2.00')
  expect(decimalText('en', '1000.5')).toBe('1,000.5')
})
