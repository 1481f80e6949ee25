/**
 * The policy snapshot: what the api publishes and every gateway of the tenant takes over as a whole (DESIGN §1).
 *
 * Owns    its form. Each part has its own content, which the folder that publishes it and the gateway agree on: a
 *         gateway passes by a part that it does not know, so that a newer api does not stop an older gateway.
 * Leaves  its identity to the SHA-256 of its text: that names the file, is the ETag, and tells a text that was cut off.
 */
import { Type, type Static } from 'typebox'

/** `hash` and `version` are those of the part alone: it is the same part as long as its hash is. */
export const PolicySnapshotPart = Type.Object({
  hash: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  version: Type.Integer({ minimum: 1 }),
  content: Type.Unknown(),
})
export type PolicySnapshotPart = Static<typeof PolicySnapshotPart>

/** A part that is not there was never published; it does not mean that it is empty. */
export const PolicySnapshot = Type.Object({
  version: Type.Literal(1),
  tenantId: Type.String({ minLength: 1 }),
  parts: Type.Record(Type.String({ pattern: '^[a-z][a-z-]*$' }), PolicySnapshotPart),
})
export type PolicySnapshot = Static<typeof PolicySnapshot>

/** Far above every part together: a rule set with lists of 100,000 entries is some megabytes. */
export const policySnapshotBytes = 64 * 1024 * 1024
