/**
 * One question to the api of another machine: is there another snapshot than the one this gateway has?
 *
 * Limits  ten seconds, and `policySnapshotBytes`.
 * Fails   with a sentence that names the setting to look at.
 */
import { policySnapshotBytes } from '../../contracts/policy-snapshot.ts'
import { snapshotTextHash, type FolderSnapshot } from '../../kit/snapshot-folder.ts'

/** `url`: of the api, without `/api/v1`. */
export type SnapshotRemote = { url: string; token: string }

const timeLimitMs = 10_000

/** `null`: it is still the one with the hash `known`. */
export async function fetchSnapshot({ url, token }: SnapshotRemote, known: string | null): Promise<FolderSnapshot | null> {
  const headers = { authorization: `Bearer ${token}`, ...(known === null ? {} : { 'if-none-match': `"${known}"` }) }
  const response = await answerOf(url, headers)
  if (response.status === 304) return null
  if (response.status === 401) throw new Error(`${url} does not know the token: policy.token must be the same here and there`)
  if (response.status === 404)
    throw new Error(`${url} hands out no policy: set policy.token there, and check policy.url here`)
  if (response.status !== 200) throw new Error(`${url} answers ${response.status}`)
  const text = await limitedText(response, url)
  const hash = snapshotTextHash(text)
  if (response.headers.get('etag') !== `"${hash}"`) throw new Error(`what ${url} sent is cut off or changed`)
  return { hash, text }
}

async function answerOf(url: string, headers: Record<string, string>): Promise<Response> {
  try {
    const address = `${url.replace(/\/+$/, '')}/api/v1/policy/snapshot`
    // A redirect would hand the token to somebody else.
    return await fetch(address, { headers, redirect: 'error', signal: AbortSignal.timeout(timeLimitMs) })
  } catch (error) {
    throw unreachable(url, error)
  }
}

async function limitedText(response: Response, url: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let octets = 0
  try {
    for await (const chunk of response.body ?? []) {
      octets += chunk.length
      if (octets > policySnapshotBytes) break
      chunks.push(chunk)
    }
  } catch (error) {
    throw unreachable(url, error)
  }
  if (octets > policySnapshotBytes) throw new Error(`what ${url} sent is larger than any policy`)
  return Buffer.concat(chunks).toString('utf8')
}

function unreachable(url: string, error: unknown): Error {
  const { message, cause } = error as Error & { cause?: { code?: unknown } }
  return new Error(`${url} cannot be reached (${typeof cause?.code === 'string' ? cause.code : message})`, { cause: error })
}
