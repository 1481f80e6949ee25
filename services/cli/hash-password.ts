/** `tollgate gateway hash-password`: what the file of `smtp.users` wants as a password. */
import { hashPassword } from '../kit/password.ts'
import { askForPassword, firstLineOfStdin } from './ask-for-password.ts'
import { UsageError } from './outcome.ts'

const leastLength = 10

export async function printPasswordHash({ isPasswordOnStdin }: { isPasswordOnStdin: boolean }): Promise<void> {
  const password = isPasswordOnStdin ? await firstLineOfStdin() : await askForPassword()
  if (password.length < leastLength) throw new UsageError(`The password is too short: take at least ${leastLength} characters.`)
  process.stdout.write(`${await hashPassword(password)}\n`)
}
