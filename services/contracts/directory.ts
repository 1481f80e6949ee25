/**
 * The directory: which clients there are and which addresses they hold. A file of this shape is read by the
 * gateway (who may receive) and imported by billing (who pays).
 */
import { Type, type Static } from 'typebox'

/** Why a client's mail may be refused though its addresses are known (SYSTEMS T13). */
export const clientStates = ['active', 'blocked', 'balance-exhausted', 'quota', 'expired', 'not-started'] as const
export type ClientState = (typeof clientStates)[number]

export const DirectoryClient = Type.Object(
  {
    id: Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,62}$', description: 'short name, lower case' }),
    name: Type.String({ minLength: 1, maxLength: 200 }),
    parent: Type.Optional(Type.String()),
    state: Type.Optional(Type.Enum([...clientStates])),
    /** `local@domain`, or `*@domain` for every address of a domain that no client holds by name. */
    addresses: Type.Array(Type.String({ pattern: '^[^@\\s]+@[^@\\s]+$' })),
  },
  { additionalProperties: false },
)
export type DirectoryClient = Static<typeof DirectoryClient>

export const DirectoryFile = Type.Object({ clients: Type.Array(DirectoryClient) }, { additionalProperties: false })
export type DirectoryFile = Static<typeof DirectoryFile>
