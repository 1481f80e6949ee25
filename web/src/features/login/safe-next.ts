/** Where the login leads: a path of this application, never another host (`//evil.example`, `https:…`). */
export function safeNext(next: unknown): string {
  return typeof next === 'string' && /^\/(?![/\\])/.test(next) ? next : '/'
}
