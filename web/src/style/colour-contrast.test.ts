import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const sheet = readFileSync(new URL('./tokens.css', import.meta.url), 'utf8')
const outcomes = ['accepted', 'marked', 'deferred', 'refused', 'discarded', 'quarantined', 'aborted']
const surfaces = ['paper', 'paper-raised', 'paper-sunken', 'paper-hover', 'paper-selected']

describe.each(['light', 'dark'] as const)('%s theme', (theme) => {
  it.each(outcomes)('writes %s at 4.5:1 or more on every surface a row may have', (outcome) => {
    for (const surface of surfaces) {
      expect(contrast(colourOf(theme, `outcome-${outcome}`), colourOf(theme, surface))).toBeGreaterThanOrEqual(4.5)
    }
  })

  it.each(['ink', 'ink-soft', 'ink-faint', 'warning', 'fault'])('writes %s readably on every surface', (ink) => {
    for (const surface of surfaces) {
      expect(contrast(colourOf(theme, ink), colourOf(theme, surface))).toBeGreaterThanOrEqual(4.5)
    }
  })

  it('gives no two outcomes the same colour', () => {
    expect(new Set(outcomes.map((outcome) => colourOf(theme, `outcome-${outcome}`))).size).toBe(outcomes.length)
    expect(new Set(outcomes.map((outcome) => colourOf(theme, `fill-${outcome}`))).size).toBe(outcomes.length)
  })
})

function colourOf(theme: 'light' | 'dark', token: string): string {
  const match = new RegExp(`--${token}: light-dark\\((#[0-9a-f]{6}), (#[0-9a-f]{6})\\);`).exec(sheet)
  if (match === null) throw new Error(`tokens.css has no colour --${token}`)
  return match[theme === 'light' ? 1 : 2]!
}

/** WCAG 2.2 contrast ratio of two sRGB colours. */
function contrast(one: string, other: string): number {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [number, number]
  return (light + 0.05) / (dark + 0.05)
}

function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((start) => {
    const channel = Number.parseInt(colour.slice(start, start + 2), 16) / 255
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
