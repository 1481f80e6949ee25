/**
 * Rows in the binary format of Postgres' COPY, written straight into one growing buffer.
 *
 * Limits  a value that its column cannot hold throws RowFault; the caller takes back its rows with `rewind`.
 * Why     binary: the server parses no text, and the JSON of an event goes in as the octets of its line.
 */

/** The column cannot hold this value. */
export class RowFault extends Error {}

const signature = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
const trailer = Buffer.from([0xff, 0xff])
const postgresEpochMs = Date.UTC(2000, 0, 1)
const two32 = 2 ** 32
const shortText = 40

export class CopyBuffer {
  #bytes: Buffer
  #length = signature.length
  #rowCount = 0
  #markedLength = 0
  #markedRowCount = 0

  constructor(capacityBytes = 65_536) {
    this.#bytes = Buffer.allocUnsafe(capacityBytes)
    signature.copy(this.#bytes)
  }

  get rowCount(): number {
    return this.#rowCount
  }

  /** Where the next value is written; what `patchInt8` takes. */
  get offset(): number {
    return this.#length
  }

  /** Remembers this point for `rewind`. */
  mark(): void {
    this.#markedLength = this.#length
    this.#markedRowCount = this.#rowCount
  }

  /** Takes back the rows since `mark`. */
  rewind(): void {
    this.#length = this.#markedLength
    this.#rowCount = this.#markedRowCount
  }

  clear(): void {
    this.#length = signature.length
    this.#rowCount = 0
  }

  /** The stream for COPY … FROM STDIN; valid until the next row. */
  finished(): Buffer {
    this.#reserve(trailer.length)
    trailer.copy(this.#bytes, this.#length)
    return this.#bytes.subarray(0, this.#length + trailer.length)
  }

  row(fieldCount: number): void {
    this.#reserve(2)
    this.#rowCount += 1
    this.#int16(fieldCount)
  }

  null(): void {
    this.#reserve(4)
    this.#int32(-1)
  }

  text(value: string | null): void {
    if (value === null) return this.null()
    this.#reserve(4 + value.length * 3)
    const start = this.#length + 4
    let end = start
    if (value.length <= shortText) end = this.#writeAscii(value, start)
    if (end - start !== value.length) end = start + this.#bytes.write(value, start, 'utf8')
    this.#int32(end - start)
    this.#length = end
  }

  /** Octets as they are: bytea, or a text that is encoded already. */
  octets(value: Uint8Array): void {
    this.#reserve(4 + value.length)
    this.#int32(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
  }

  /** JSON text in UTF-8. */
  jsonb(value: Uint8Array): void {
    this.#reserve(5 + value.length)
    this.#int32(value.length + 1)
    this.#bytes[this.#length] = 1
    this.#bytes.set(value, this.#length + 1)
    this.#length += value.length + 1
  }

  int2(value: number | null): void {
    if (value === null) return this.null()
    if (!(value >= -32_768 && value <= 32_767)) throw new RowFault(`${value} does not fit into smallint`)
    this.#reserve(6)
    this.#int32(2)
    this.#int16(value)
  }

  int4(value: number | null): void {
    if (value === null) return this.null()
    if (!(value >= -2_147_483_648 && value <= 2_147_483_647)) throw new RowFault(`${value} does not fit into integer`)
    this.#reserve(8)
    this.#int32(4)
    this.#int32(value)
  }

  int8(value: number | null): void {
    if (value === null) return this.null()
    if (!Number.isSafeInteger(value)) throw new RowFault(`${value} does not fit into bigint exactly`)
    this.#reserve(12)
    this.#int32(8)
    this.#int64(value)
  }

  /** Sets an int8 that was written at `offset`. */
  patchInt8(offset: number, value: bigint): void {
    this.#bytes.writeBigInt64BE(value, offset + 4)
  }

  bool(value: boolean): void {
    this.#reserve(5)
    this.#int32(1)
    this.#bytes[this.#length++] = value ? 1 : 0
  }

  timestamptz(timeMs: number): void {
    this.#reserve(12)
    this.#int32(8)
    this.#int64((timeMs - postgresEpochMs) * 1_000)
  }

  /** A UUID in its usual form, lower case. */
  uuid(value: string | null): void {
    if (value === null) return this.null()
    this.#reserve(20)
    this.#int32(16)
    for (let index = 0; index < 36; index += 2) {
      if (value.charCodeAt(index) === 0x2d) index += 1
      this.#bytes[this.#length++] = (nibble(value.charCodeAt(index)) << 4) | nibble(value.charCodeAt(index + 1))
    }
  }

  inet(address: Uint8Array | null): void {
    if (address === null) return this.null()
    this.#reserve(8 + address.length)
    this.#int32(4 + address.length)
    const isV4 = address.length === 4
    this.#bytes[this.#length++] = isV4 ? 2 : 3
    this.#bytes[this.#length++] = isV4 ? 32 : 128
    this.#bytes[this.#length++] = 0
    this.#bytes[this.#length++] = address.length
    this.#bytes.set(address, this.#length)
    this.#length += address.length
  }

  /** End of the text if it is all ASCII, else `start`. A loop beats the call into C++ for short texts. */
  #writeAscii(value: string, start: number): number {
    for (let index = 0; index < value.length; index += 1) {
      const code = value.charCodeAt(index)
      if (code > 0x7f) return start
      this.#bytes[start + index] = code
    }
    return start + value.length
  }

  #int16(value: number): void {
    this.#bytes[this.#length++] = value >> 8
    this.#bytes[this.#length++] = value
  }

  #int32(value: number): void {
    this.#bytes[this.#length++] = value >> 24
    this.#bytes[this.#length++] = value >> 16
    this.#bytes[this.#length++] = value >> 8
    this.#bytes[this.#length++] = value
  }

  #int64(value: number): void {
    const high = Math.floor(value / two32)
    this.#int32(high)
    this.#int32(value - high * two32)
  }

  #reserve(sizeBytes: number): void {
    // Eight octets beyond: a text reserves only itself, and its length stands before it.
    const needed = this.#length + sizeBytes + 8
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

function nibble(code: number): number {
  return code <= 0x39 ? code - 0x30 : code - 0x57
}
