import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['services/**/*.test.ts', 'test/**/*.test.ts', 'web/src/**/*.test.ts'],
    globalSetup: ['test/postgres-server.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
