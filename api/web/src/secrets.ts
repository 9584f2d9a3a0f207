/**
 * The secrets that links carry in their fragment, which browsers send to no server: a user token (`#token=`) and a
 * meeting's host key (`#host_key=`). They move into this tab's storage and out of the address bar.
 */
const names = ['token', 'host_key'] as const

/** Takes the secrets out of the address; to be called once, before anything is drawn. */
export function adoptSecrets(location: Location, history: History, storage: Storage): void {
  const fragment = new URLSearchParams(location.hash.slice(1))
  for (const name of names) {
    const value = fragment.get(name)
    if (value) storage.setItem(keyOf(name, location.pathname), value)
    fragment.delete(name)
  }
  const rest = fragment.toString()
  if (location.hash)
    history.replaceState(history.state, '', location.pathname + location.search + (rest ? `#${rest}` : ''))
}

/** The user token of this tab, if it has one. */
export function userToken(storage: Storage): string | undefined {
  return storage.getItem('parley.token') ?? undefined
}

/** The host key of a meeting, if this tab was given one. */
export function hostKey(storage: Storage, meetingId: string): string | undefined {
  return storage.getItem(`parley.host_key./m/${meetingId}`) ?? undefined
}

/** Host keys belong to their meeting, the user token to the tab. */
function keyOf(name: (typeof names)[number], path: string): string {
  return name === 'token' ? 'parley.token' : `parley.host_key.${path.replace(/\/$/, '')}`
}
