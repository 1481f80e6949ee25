/** Who is logged in. Pages behind the router's guard always have a session; the login page has none. */
import { useQueryClient } from '@tanstack/vue-query'
import type { Session } from '../../../services/contracts/api.ts'
import { requestJson } from './request-json.ts'
import { sessionQuery } from './queries.ts'

export function useSession() {
  const client = useQueryClient()

  async function logIn(name: string, password: string): Promise<void> {
    const session = await requestJson<Session>('/api/v1/session', { method: 'POST', body: { name, password } })
    client.clear()
    client.setQueryData(sessionQuery().queryKey, session)
  }

  async function logOut(): Promise<void> {
    await requestJson<unknown>('/api/v1/session', { method: 'DELETE', csrfToken: currentSession().csrfToken })
    client.clear()
  }

  function currentSession(): Session {
    const session = client.getQueryData(sessionQuery().queryKey)
    if (session === undefined) throw new Error('No session: this page is reached only after the login guard')
    return session
  }

  return { currentSession, logIn, logOut }
}
