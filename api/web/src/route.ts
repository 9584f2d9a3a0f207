/** Where the address leads. */
export type Route =
  | { page: 'home' }
  | { page: 'cluster' }
  | { page: 'test' }
  | { page: 'meeting'; id: string }
  | { page: 'missing' }

/** Reads a path of the app. */
export function routeOf(path: string): Route {
  if (path === '/') return { page: 'home' }
  if (/^\/cluster\/?$/.test(path)) return { page: 'cluster' }
  if (/^\/test\/?$/.test(path)) return { page: 'test' }
  const id = /^\/m\/([\w-]+)\/?$/.exec(path)?.[1]
  return id ? { page: 'meeting', id } : { page: 'missing' }
}

/** Finds the meeting in what people paste: a whole link, with or without its scheme, or the bare code. */
export function meetingIn(text: string): string | undefined {
  const clean = text.trim()
  const linked = /\/m\/([\w-]+)/.exec(clean)?.[1]
  if (linked) return linked
  return /^[\w-]{3,64}$/.test(clean) ? clean : undefined
}
