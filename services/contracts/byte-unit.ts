/** Units of traffic: stored with every figure, never implied (BILLING, Quantities). */

export const unitBytesOf = { MB: 1_000_000, MiB: 1_048_576 } as const
export type ByteUnit = keyof typeof unitBytesOf

export function unitNameOf(unitBytes: number): ByteUnit {
  return unitBytes === unitBytesOf.MiB ? 'MiB' : 'MB'
}
