/**
 * The file of `smtp.users`: who may log in to send mail, with the hash of each password.
 *
 * Owns   every fault in it, with its line.
 * Fails  throws with a sentence that names every fault, and never one that shows a hash.
 */
import { readFile, stat } from 'node:fs/promises'
import { Type } from 'typebox'
import { faultText } from '../../kit/fault.ts'
import { isPasswordHash } from '../../kit/password.ts'
import { readYaml } from '../../kit/read-yaml.ts'

export type SubmissionUser = {
  name: string
  passwordHash: string
  /** Addresses, or `*@domain`, that it may send as; `null`: any. */
  senders: readonly string[] | null
}

const strict = { additionalProperties: false }
const UsersFile = Type.Object(
  {
    users: Type.Array(
      Type.Object(
        {
          name: Type.String({ pattern: '^[^\\s\\x00-\\x1f]{1,200}$', description: 'a name without blanks, at most 200 characters' }),
          password: Type.String({ minLength: 1 }),
          senders: Type.Optional(
            Type.Array(
              Type.String({ pattern: '^[^@\\s]+@[^@\\s]+$', description: 'an address like ann@example.org, or *@example.org for a whole domain' }),
              { minItems: 1 },
            ),
          ),
        },
        strict,
      ),
    ),
  },
  strict,
)

export async function readUsersFile(file: string): Promise<SubmissionUser[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new Error(`the file of smtp.users (${file}) cannot be read: check the setting and the rights of the file`, { cause: error })
  }
  const { value, faults, placeOf } = readYaml(UsersFile, text, file)
  const found = faults.map(faultText)
  const seen = new Set<string>()
  for (const [index, { name, password }] of (value?.users ?? []).entries()) {
    const place = (field: string): string => `${file}:${placeOf(`users[${index}].${field}`).line ?? 1}: users[${index}].${field}: `
    if (password !== undefined && !isPasswordHash(password)) {
      found.push(`${place('password')}is no hash of a password. Write what "tollgate gateway hash-password" prints`)
    }
    if (name === undefined) continue
    const key = name.toLowerCase()
    if (seen.has(key)) found.push(`${place('name')}another user is called "${name}" too. Give each a name of its own`)
    seen.add(key)
  }
  if (found.length > 0) throw new Error(`the file of smtp.users has faults: ${found.join('; ')}`)
  return value.users.map(({ name, password, senders }) => ({
    name,
    passwordHash: password,
    senders: senders?.map((sender) => sender.toLowerCase()) ?? null,
  }))
}

/** Changes whenever the file does; also where it is not there. */
export async function usersFileStamp(file: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(file)
    return `${mtimeMs} ${size} ${ino}`
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  }
}
