/**
 * The pages by their URLs. Each is a bundle of its own, loaded when it is first opened.
 *
 * Owns  the login guard: every page but the login needs a session, and comes back to where one was going.
 */
import type { QueryClient } from '@tanstack/vue-query'
import { createRouter, createWebHistory, type RouteLocationNormalized, type Router } from 'vue-router'
import { ApiFailure } from './api/request-json.ts'
import { sessionQuery } from './api/queries.ts'
import AppFrame from './frame/AppFrame.vue'
import OverviewPage from './features/overview/OverviewPage.vue'

export function createPages(queryClient: QueryClient): Router {
  const router = createRouter({
    history: createWebHistory(),
    routes: [
      { path: '/login', name: 'login', component: () => import('./features/login/LoginPage.vue') },
      {
        path: '/',
        component: AppFrame,
        children: [
          { path: '', name: 'overview', component: OverviewPage },
          { path: 'trace', name: 'trace', component: () => import('./features/trace/TracePage.vue') },
          {
            path: 'messages/:id',
            name: 'message',
            component: () => import('./features/message/MessagePage.vue'),
            props: true,
          },
          {
            path: 'billing',
            redirect: { name: 'usage' },
            component: () => import('./features/billing/BillingFrame.vue'),
            children: [
              { path: 'usage', name: 'usage', component: () => import('./features/usage/UsagePage.vue') },
              { path: 'periods', name: 'periods', component: () => import('./features/billing/PeriodsPage.vue') },
              { path: 'periods/:label', name: 'period', component: () => import('./features/billing/PeriodPage.vue'), props: true },
              { path: 'statements', name: 'statements', component: () => import('./features/billing/StatementsPage.vue') },
              { path: 'statements/:id', name: 'statement', component: () => import('./features/billing/StatementPage.vue'), props: true },
              { path: 'tariffs', name: 'tariffs', component: () => import('./features/billing/TariffsPage.vue') },
            ],
          },
          { path: ':missing(.*)*', name: 'missing', component: () => import('./frame/MissingPage.vue') },
        ],
      },
    ],
  })
  router.beforeEach((to) => guard(to, queryClient))
  leaveWhenLoggedOut(router, queryClient)
  return router
}

async function guard(to: RouteLocationNormalized, queryClient: QueryClient) {
  if (to.name === 'login') return true
  try {
    await queryClient.ensureQueryData(sessionQuery())
    return true
  } catch (failure) {
    if (failure instanceof ApiFailure) return { name: 'login', query: { next: to.fullPath } }
    throw failure
  }
}

/** A session that ended on the server shows at the first request that is answered `not-logged-in`. */
function leaveWhenLoggedOut(router: Router, queryClient: QueryClient): void {
  queryClient.getQueryCache().subscribe((event) => {
    if (event.type !== 'updated' || event.action.type !== 'error') return
    const failure: unknown = event.action.error
    const current = router.currentRoute.value
    if (!(failure instanceof ApiFailure) || failure.code !== 'not-logged-in' || current.name === 'login') return
    if (current.matched.length === 0) return
    queryClient.removeQueries({ queryKey: sessionQuery().queryKey })
    void router.push({ name: 'login', query: { next: current.fullPath } })
  })
}
