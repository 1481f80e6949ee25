/** No stored text holds a NUL, and Postgres takes none as a parameter: what asks for one is a mistake, told at once. */
import { ApiFault } from './api-fault.ts'
import type { ApiServer } from './api-server.ts'

export function refuseNul(server: ApiServer): void {
  server.addHook('preValidation', async (request) => {
    for (const [place, values] of Object.entries({ query: request.query, body: request.body })) {
      for (const [name, value] of Object.entries((values ?? {}) as Record<string, unknown>)) {
        if (typeof value === 'string' && value.includes('\0')) {
          throw new ApiFault('bad-request', `${place}.${name} holds a NUL character: leave it out`)
        }
      }
    }
  })
}
