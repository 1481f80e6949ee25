import { expect, it } from 'vitest'
import type { CloseBlocker } from '../../../../services/contracts/statement.ts'
import { closeReadiness } from './close-readiness.ts'

const blocker = (name: string, isAcceptable: boolean): CloseBlocker => ({ name, isAcceptable, text: name, remedy: '' })

it('lets a period be closed only when its name is typed', () => {
  expect(closeReadiness([], new Set(), '', '2026-10')).toBe('not-named')
  expect(closeReadiness([], new Set(), '2026-11', '2026-10')).toBe('not-named')
  expect(closeReadiness([], new Set(), ' 2026-10 ', '2026-10')).toBe('ready')
})

it('asks for each thing that is missing by its name', () => {
  const blockers = [blocker('gap:a', true), blocker('node:b', true)]
  expect(closeReadiness(blockers, new Set(['gap:a']), '2026-10', '2026-10')).toBe('not-accepted')
  expect(closeReadiness(blockers, new Set(['gap:a', 'node:b']), '2026-10', '2026-10')).toBe('ready')
})

it('does not let what cannot be accepted be ticked away', () => {
  expect(closeReadiness([blocker('grace', false)], new Set(['grace']), '2026-10', '2026-10')).toBe('blocked')
})
