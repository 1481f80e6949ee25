/** The unit of systemd: what it promises about rights. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { packageRoot } from '../services/kit/package-root.ts'

const unit = readFileSync(path.join(packageRoot, 'docs/systemd/tollgate@.service'), 'utf8')
const valueOf = (name: string): string | undefined => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1]
const folder = mkdtempSync(path.join(tmpdir(), 'tollgate-unit-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('runs without root, and may do nothing beyond listening on a low port', () => {
  expect(valueOf('User')).toBe('tollgate')
  expect([valueOf('CapabilityBoundingSet'), valueOf('AmbientCapabilities')]).toEqual(['CAP_NET_BIND_SERVICE', 'CAP_NET_BIND_SERVICE'])
  expect([valueOf('NoNewPrivileges'), valueOf('ProtectSystem'), valueOf('PrivateDevices')]).toEqual(['yes', 'strict', 'yes'])
})

it.skipIf(!existsSync('/usr/bin/systemd-analyze'))('is rated OK by systemd-analyze, if that is there', () => {
  const file = path.join(folder, 'tollgate@gateway.service')
  writeFileSync(file, unit)
  const told = execFileSync('systemd-analyze', ['security', '--offline=true', '--threshold=25', file], { encoding: 'utf8' })
  expect(told).toMatch(/Overall exposure level for tollgate@gateway\.service: [0-2]\.\d OK/)
})
