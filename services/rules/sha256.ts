/**
 * SHA-256 (FIPS 180-4) of a text in UTF-8, as lower-case hex.
 *
 * Why  the rule engine runs in node and in the browser alike and is synchronous: `node:crypto` exists only in the
 *      one, and the other's `crypto.subtle` answers with a promise.
 */

export function sha256Hex(text: string): string {
  const bytes = new TextEncoder().encode(text)
  const blockCount = Math.ceil((bytes.length + 9) / 64)
  const padded = new Uint8Array(blockCount * 64)
  padded.set(bytes)
  padded[bytes.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 0x2000_0000))
  view.setUint32(padded.length - 4, (bytes.length * 8) >>> 0)

  const state = Uint32Array.from(initialState)
  const schedule = new Uint32Array(64)
  for (let block = 0; block < blockCount; block += 1) compress(state, schedule, view, block * 64)
  return Array.from(state, (word) => word.toString(16).padStart(8, '0')).join('')
}

function compress(state: Uint32Array, schedule: Uint32Array, view: DataView, offset: number): void {
  for (let index = 0; index < 16; index += 1) schedule[index] = view.getUint32(offset + index * 4)
  for (let index = 16; index < 64; index += 1) {
    const early = schedule[index - 15]!
    const late = schedule[index - 2]!
    const sigma0 = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3)
    const sigma1 = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10)
    schedule[index] = (schedule[index - 16]! + sigma0 + schedule[index - 7]! + sigma1) | 0
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number]
  for (let index = 0; index < 64; index += 1) {
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const first = (h + sum1 + ((e & f) ^ (~e & g)) + roundConstants[index]! + schedule[index]!) | 0
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const second = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + first) | 0
    d = c
    c = b
    b = a
    a = (first + second) | 0
  }
  const worked = [a, b, c, d, e, f, g, h]
  for (let index = 0; index < 8; index += 1) state[index] = (state[index]! + worked[index]!) | 0
}

function rotate(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by))
}

/** First 32 bits of the fractional parts of the square and cube roots of the first primes. */
const primes = firstPrimes(64)
const initialState = primes.slice(0, 8).map((prime) => fractionBits(Math.sqrt(prime)))
const roundConstants = Uint32Array.from(primes, (prime) => fractionBits(Math.cbrt(prime)))

function fractionBits(root: number): number {
  return Math.floor((root - Math.floor(root)) * 0x1_0000_0000)
}

function firstPrimes(count: number): number[] {
  const found: number[] = []
  for (let candidate = 2; found.length < count; candidate += 1) {
    if (found.every((prime) => candidate % prime !== 0)) found.push(candidate)
  }
  return found
}
