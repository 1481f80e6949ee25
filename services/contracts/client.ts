/** Clients and the addresses they hold, as the API tells and takes them. */
import { Type, type Static, type TSchema } from 'typebox'
import { clientStates } from './directory.ts'

const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
const time = Type.String({ format: 'date-time' })
const ClientId = Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,62}$' })
const ClientName = Type.String({ minLength: 1, maxLength: 200 })
/** `local@domain`, or `*@domain` for what nobody holds by name. */
const HeldAddress = Type.String({ pattern: '^[^@\\s]+@[^@\\s]+$', maxLength: 320 })

export const ClientRow = Type.Object({
  clientId: Type.String(),
  name: Type.String(),
  /** The client that it is a department of. */
  parentId: orNull(Type.String()),
  state: Type.Enum([...clientStates]),
  addressCount: Type.Integer({ minimum: 0 }),
  /** The tariff that it carries itself now. */
  tariffId: orNull(Type.String()),
})
export type ClientRow = Static<typeof ClientRow>

export const ClientList = Type.Object({
  clients: Type.Array(ClientRow),
  /** Where they are kept: with `file` nothing can be changed here. */
  source: Type.Enum(['file', 'database']),
})
export type ClientList = Static<typeof ClientList>

export const ClientDetail = Type.Object({
  ...ClientRow.properties,
  /** Newest first; `from` null: from the beginning of time, `upto` null: still. */
  addresses: Type.Array(Type.Object({ address: Type.String(), from: orNull(time), upto: orNull(time) })),
})
export type ClientDetail = Static<typeof ClientDetail>

export const NewClient = Type.Object({
  clientId: ClientId,
  name: ClientName,
  parentId: Type.Optional(orNull(ClientId)),
  state: Type.Optional(Type.Enum([...clientStates])),
  addresses: Type.Optional(Type.Array(HeldAddress, { maxItems: 10_000 })),
})
export const ClientChange = Type.Object({
  name: Type.Optional(ClientName),
  parentId: Type.Optional(orNull(ClientId)),
  state: Type.Optional(Type.Enum([...clientStates])),
})
export const NewAddress = Type.Object({ address: HeldAddress })
export const ClientImport = Type.Object({
  csv: Type.String({ maxLength: 50_000_000 }),
  dryRun: Type.Optional(Type.Boolean()),
  /** Also where more than half of the addresses would go. */
  force: Type.Optional(Type.Boolean()),
})

export const ClientChanges = Type.Object({
  /** A sentence each. */
  changes: Type.Array(Type.String()),
  isDryRun: Type.Boolean(),
})
export type ClientChanges = Static<typeof ClientChanges>
