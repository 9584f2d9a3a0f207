import { ParleyError } from './error.ts'

/** What a meeting's host decides. */
export interface MeetingSettings {
  max_participants?: number
  max_cameras?: number
  waiting_room?: boolean
  guests?: boolean
}

/** A meeting as its creator gets it. The host key is told only this once. */
export interface CreatedMeeting {
  id: string
  join_url: string
  host_key: string
  title?: string
}

/** How somebody joins. */
export interface JoinRequest {
  display_name?: string
  role?: 'host' | 'attendee' | 'viewer'
  host_key?: string
  region?: string
  region_rtts?: Record<string, number>
}

/** Where a node can be reached. */
export interface Endpoint {
  sfu_endpoint: string
  signal_endpoint: string
}

/** The answer to a join: who one is, with which token, and where to go. */
export interface JoinTicket extends Endpoint {
  title: string
  participant_id: string
  join_token: string
  expires_at: string
  region: string
  alternates: Endpoint[]
  ice_servers: RTCIceServer[]
}

/** A room of two for testing a connection, which is over at `ends_at`. */
export interface ConnectionTest {
  ends_at: string
  sender: JoinTicket
  receiver: JoinTicket
}

const timeout = 15_000
/** How often each region is asked, and how long all of it may take. */
const probes = 3
const probeTimeout = 3_000

/** The REST plane: everything that happens before one is in a room. */
export class Rest {
  constructor(
    /** The server's address without a path, for example the page's own origin. */
    readonly base: string,
    /** A user token; guests have none. */
    readonly token?: string,
  ) {}

  /** Makes a meeting. `key` makes it safe to repeat: the same key makes one meeting. */
  createMeeting(title: string, settings: MeetingSettings, key: string = crypto.randomUUID()): Promise<CreatedMeeting> {
    return this.#post('/v1/meetings', { title, settings }, { 'Idempotency-Key': key })
  }

  /** Asks for a place in a meeting. */
  join(meetingId: string, request: JoinRequest): Promise<JoinTicket> {
    return this.#post(`/v1/meetings/${encodeURIComponent(meetingId)}/join`, request)
  }

  /** Asks for two places in a room of their own, to test the connection in. Needs no token. */
  startConnectionTest(): Promise<ConnectionTest> {
    return this.#post('/v1/connection-tests', {})
  }

  /**
   * Measures the round trip to each region, in milliseconds, for {@link JoinRequest.region_rtts}. Regions that do not
   * answer are left out. Where there is only one there is nothing to choose, and nothing is measured. Never throws.
   */
  async measureRegions(): Promise<Record<string, number>> {
    const signal = AbortSignal.timeout(probeTimeout)
    try {
      const response = await fetch(`${this.base}/v1/regions`, { signal })
      const { regions } = (await response.json()) as { regions: { name: string; probe_url: string }[] }
      if (regions.length < 2) return {}
      const measured = await Promise.allSettled(
        regions.map(async ({ name, probe_url }) => [name, await roundTrip(probe_url, signal)] as const),
      )
      return Object.fromEntries(measured.flatMap(one => (one.status === 'fulfilled' ? [one.value] : [])))
    } catch {
      return {}
    }
  }

  async #post<T>(path: string, body: object, extra: Record<string, string> = {}): Promise<T> {
    const headers: Record<string, string> = { 'Content-Type': 'application/json', ...extra }
    if (this.token) headers.Authorization = `Bearer ${this.token}`
    let response: Response
    try {
      response = await fetch(this.base + path, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(timeout),
      })
    } catch {
      throw new ParleyError('offline', 'The server cannot be reached.')
    }
    if (!response.ok) throw await ParleyError.of(response)
    return (await response.json()) as T
  }
}

/** The shortest of a few round trips; the first one also makes the connection. */
async function roundTrip(url: string, signal: AbortSignal): Promise<number> {
  let best = probeTimeout
  for (let i = 0; i < probes; i++) {
    const start = performance.now()
    const response = await fetch(url, { cache: 'no-store', signal })
    await response.arrayBuffer() // to the end, for only then is its timing told and the connection used again
    best = Math.min(best, onTheWire(url) ?? performance.now() - start)
  }
  return best
}

/** What the last request for a URL took on the network alone, if the browser tells: a busy page is late to hear of it. */
function onTheWire(url: string): number | undefined {
  const timing = performance.getEntriesByName(url, 'resource').at(-1) as PerformanceResourceTiming | undefined
  return timing && timing.requestStart > 0 ? timing.responseStart - timing.requestStart : undefined
}
