import { describe, expect, it } from 'vitest'
import { LoginLimiter, loginLimits } from './login-limiter.ts'

describe('the login limiter', () => {
  it('remembers a bounded number of names and addresses, whatever is tried', () => {
    const limiter = new LoginLimiter()
    for (let index = 0; index < loginLimits.maxKeys * 2; index += 1)
      limiter.begin(`name-${index}`, `10.0.${index >> 8}.${index & 255}`, 1_000)
    expect(limiter.size).toBe(loginLimits.maxKeys)
  })

  it('counts a name in any case as one', () => {
    const limiter = new LoginLimiter()
    for (let index = 0; index < loginLimits.failuresPerName; index += 1)
      expect(limiter.begin(index % 2 === 0 ? 'Root' : 'ROOT', `10.0.0.${index}`, 0)).toBeNull()
    expect(limiter.begin('root', '10.0.1.1', 0)).toBe(loginLimits.windowMs / 1_000)
    expect(limiter.begin('root', '10.0.1.1', loginLimits.windowMs - 1)).toBe(1)
    expect(limiter.begin('root', '10.0.1.1', loginLimits.windowMs)).toBeNull()
  })

  it('forgets the failures of a name that got in, and of its address only that try', () => {
    const limiter = new LoginLimiter()
    for (let index = 0; index < loginLimits.failuresPerName - 1; index += 1) limiter.begin('root', '10.0.0.1', 0)
    limiter.begin('root', '10.0.0.1', 0)
    limiter.succeeded('root', '10.0.0.1')
    for (let index = 0; index < loginLimits.failuresPerIp - loginLimits.failuresPerName + 1; index += 1) {
      expect(limiter.begin(`other-${index}`, '10.0.0.1', 0), String(index)).toBeNull()
    }
    expect(limiter.begin('root', '10.0.0.1', 0)).toBeGreaterThan(0)
    expect(limiter.begin('root', '10.0.0.2', 0)).toBeNull()
  })
})
