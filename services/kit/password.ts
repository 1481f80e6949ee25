/**
 * Passwords as scrypt hashes in the form `scrypt$N$r$p$salt$hash` (base64url).
 *
 * Why  the parameters stand in each hash, so that they can be raised without locking anybody out. An unknown user
 *      costs the same time as a wrong password: `verifyPassword(null, …)` hashes against nothing.
 */
import { randomBytes, scrypt, timingSafeEqual, type ScryptOptions } from 'node:crypto'

/** 32 MiB and some 60 ms a try. */
const cost = { N: 32_768, r: 8, p: 1 }
const hashBytes = 32
const saltBytes = 16

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(saltBytes)
  const hash = await derive(password, salt, cost)
  return `scrypt$${cost.N}$${cost.r}$${cost.p}$${salt.toString('base64url')}$${hash.toString('base64url')}`
}

/** `stored` is null for an unknown user: never true, after the same work. */
export async function verifyPassword(stored: string | null, password: string): Promise<boolean> {
  const known = stored === null ? null : parsedHash(stored)
  const hash = await derive(password, known?.salt ?? Buffer.alloc(saltBytes), known?.cost ?? cost)
  return timingSafeEqual(hash, known?.hash ?? randomBytes(hashBytes)) && known !== null
}

type Cost = typeof cost

/** Whether `verifyPassword` can work with it; beyond the bounds one try would take the machine. */
export function isPasswordHash(text: string): boolean {
  const match = hashPattern.exec(text)
  if (match === null || Buffer.from(match[5]!, 'base64url').length !== hashBytes) return false
  const [N, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])]
  return N >= 2 && N <= 2 ** 20 && (N & (N - 1)) === 0 && r >= 1 && r <= 32 && p >= 1 && p <= 16
}

const hashPattern = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([\w-]+)\$([\w-]+)$/

function parsedHash(stored: string): { cost: Cost; salt: Buffer; hash: Buffer } {
  const match = hashPattern.exec(stored)
  const hash = Buffer.from(match?.[5] ?? '', 'base64url')
  if (match === null || hash.length !== hashBytes)
    throw new Error('A stored password hash has not the form that this version writes')
  return {
    cost: { N: Number(match[1]), r: Number(match[2]), p: Number(match[3]) },
    salt: Buffer.from(match[4]!, 'base64url'),
    hash,
  }
}

/** The same text typed on another keyboard may differ in its composition: NFKC makes it one (RFC 8265 §4.2). */
function derive(password: string, salt: Buffer, { N, r, p }: Cost): Promise<Buffer> {
  const options: ScryptOptions = { N, r, p, maxmem: 256 * N * r }
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, hashBytes, options, (error, hash) =>
      error === null ? resolve(hash) : reject(error),
    )
  })
}
