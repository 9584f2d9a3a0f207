/** How a check went; `running` while it is asked. */
export type State = 'ok' | 'warn' | 'fail' | 'skipped' | 'running'

/** One question and its answer. Ids and words are those of `parley doctor`. */
export interface Check {
  id: string
  plane: Plane
  name: string
  state: State
  tookMs?: number
  /** What is there. */
  found?: string
  /** Why it is not well. */
  cause?: string
  /** What to do about it. */
  hint?: string
}

export type Plane = 'rest' | 'token' | 'websocket' | 'ice' | 'dtls' | 'rtp'

/** The answer of a check. */
export type Finding = Pick<Check, 'found' | 'cause' | 'hint' | 'tookMs'> & { state: Exclude<State, 'running'> }

export const fine = (found: string): Finding => ({ state: 'ok', found })
export const broken = (cause: string, hint = ''): Finding => ({ state: 'fail', cause, ...(hint ? { hint } : {}) })
export const skipped = (cause: string): Finding => ({ state: 'skipped', cause })

/** What it all means, for somebody who wants to call. */
export interface Verdict {
  tone: 'good' | 'detour' | 'bad'
  text: string
}

/** Sums up checks that are all done. */
export function verdictOf(checks: readonly Check[]): Verdict {
  const well = (id: string): boolean => ['ok', 'warn'].includes(find(checks, id)?.state ?? 'skipped')
  if (well('rtp.udp')) return { tone: 'good', text: 'Calls will work' }
  if (well('rtp.tcp')) return { tone: 'detour', text: 'Calls will work, over TCP' }
  if (['rtp.relay_udp', 'rtp.relay_tcp', 'rtp.relay_tls'].some(well)) {
    return { tone: 'detour', text: 'Calls will work, through the relay' }
  }
  return { tone: 'bad', text: `Calls will not work: ${causeOf(checks)}` }
}

/** The first cause of what is broken, or all ways of media together. */
function causeOf(checks: readonly Check[]): string {
  const failed = checks.filter(one => one.state === 'fail')
  const before = failed.find(one => ['rest', 'token', 'websocket'].includes(one.plane))
  const media = failed.find(one => one.plane === 'dtls' || one.plane === 'rtp') // closer than the others
  if (before ?? media) return (before ?? media)?.cause ?? ''
  const relays = ['udp', 'tcp', 'tls'].some(way => find(checks, `ice.relay_${way}_candidate`)?.state === 'ok')
  return relays ? 'UDP blocked, and the relay does not reach the server' : 'UDP blocked and no relay'
}

function find(checks: readonly Check[], id: string): Check | undefined {
  return checks.find(one => one.id === id)
}

/** The report as text, for whoever helps. It has no tokens and no credentials: checks never carry any. */
export function reportOf(checks: readonly Check[], about: { url: string; browser: string; at: Date }): string {
  const lines = checks.map(one => {
    const took = one.tookMs === undefined ? '' : ` (${Math.round(one.tookMs)} ms)`
    return `${one.state.padEnd(8)}${one.name}: ${one.cause ?? one.found ?? ''}${took}`
  })
  const { url, browser, at } = about
  return [`Connection test of ${url}`, verdictOf(checks).text, at.toISOString(), browser, '', ...lines, ''].join('\n')
}
