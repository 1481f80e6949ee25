/** The Fastify instance of the api with its type provider, and what every route is given. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../kit/clock.ts'
import type { Config } from '../kit/config.ts'
import type { Database } from '../database/open-database.ts'

export type ApiServer = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

export type ApiContext = {
  config: Config
  database: Database
  tenantId: string
  isDemo: boolean
  version: string
  clock: Clock
}
