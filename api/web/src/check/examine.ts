import { type ConnectionTest, ParleyError, Rest, Socket } from '@parley-sfu/client'
import { broken, type Check, type Finding, fine, type Plane, skipped } from './checks.ts'
import { gather, leave, listenTime, meet, type Outcome } from './leg.ts'
import { type Way, ways } from './ways.ts'

/** Where the test takes place and who asks. */
export interface Place {
  base: string
  userToken?: string
  /** A meeting to test in, where the server has no rooms for tests. */
  meetingId?: string
}

const bigMessage = 110 << 10
const tooBig = 140 << 10
const closedTooBig = 4106
const badLoss = 0.02

/** Asks everything, one after the other, and tells all checks at each change. */
export class Examination {
  #checks: Check[] = []
  #tickets: ConnectionTest | undefined
  #leave: (() => void) | undefined

  constructor(
    private readonly place: Place,
    private readonly tell: (checks: readonly Check[]) => void,
  ) {}

  async run(): Promise<readonly Check[]> {
    await this.#ask('rest.livez', 'rest', 'REST', [], () => this.#alive())
    await this.#ask('rest.readyz', 'rest', 'Readiness', ['rest.livez'], () => this.#ready())
    await this.#ask('token.join', 'token', 'Way in', ['rest.livez'], () => this.#enter())
    await this.#ask('websocket.upgrade', 'websocket', 'WebSocket', ['token.join'], () => this.#upgrade())
    await this.#ask('websocket.big', 'websocket', 'Big messages', ['websocket.upgrade'], () => this.#bigMessages())
    await this.#ask('ice.stun', 'ice', 'STUN', ['token.join'], () => this.#stun())
    for (const way of ways) await this.#leg(way)
    this.#leave?.()
    return this.#checks
  }

  async #ask(id: string, plane: Plane, name: string, needs: string[], how: () => Promise<Finding>): Promise<void> {
    const check: Check = { id, plane, name, state: 'running' }
    this.#set(check)
    const begun = performance.now()
    const finding = this.#missing(needs) ?? (await how().catch(error => broken(ParleyError.from(error).message)))
    const tookMs = finding.state === 'skipped' ? {} : { tookMs: finding.tookMs ?? performance.now() - begun }
    this.#set({ ...check, ...finding, ...tookMs })
  }

  #missing(needs: readonly string[]): Finding | undefined {
    for (const id of needs) {
      const need = this.#checks.find(one => one.id === id)
      if (need?.state === 'fail') return skipped(`because of ${need.name}`)
      if (need?.state === 'skipped') return skipped(need.cause ?? '')
    }
    return undefined
  }

  #set(check: Check): void {
    const others = this.#checks.filter(one => one.id !== check.id)
    this.#checks = [...others, check]
    this.tell(this.#checks)
  }

  async #alive(): Promise<Finding> {
    const answer = await get(`${this.place.base}/livez`)
    if (!answer)
      return broken('REST down: the server cannot be reached', 'Is the server running, and is this machine online?')
    if (answer.status !== 200)
      return broken(`REST down: HTTP ${answer.status}`, 'A proxy answers in the server’s place.')
    return fine('The server answers.')
  }

  async #ready(): Promise<Finding> {
    const answer = await get(`${this.place.base}/readyz`)
    if (!answer) return broken('REST down: the server cannot be reached')
    if (answer.ok) return fine('The node is ready.')
    const body = (await answer.json().catch(() => ({}))) as { missing?: { component: string; detail: string }[] }
    const missing = body.missing?.map(one => `${one.component}: ${one.detail}`).join(' ')
    return { state: 'warn', cause: `the node is not ready: ${missing ?? `HTTP ${answer.status}`}` }
  }

  /** Gets two tickets: to a room for tests, or to a meeting. */
  async #enter(): Promise<Finding> {
    const { base, userToken, meetingId } = this.place
    const rest = new Rest(base, userToken)
    try {
      this.#tickets = await rest.startConnectionTest()
      return fine('A room of its own.')
    } catch (error) {
      const refused = ParleyError.from(error)
      const off = refused.status === 403 || refused.status === 404
      if (!off || !(userToken ?? meetingId)) return notLetIn(refused, off)
    }
    try {
      const id = meetingId ?? (await this.#ownMeeting(rest))
      const [sender, receiver] = await Promise.all(
        ['Sender', 'Receiver'].map(name => rest.join(id, { display_name: `Connection test: ${name}` })),
      )
      if (sender && receiver) this.#tickets = { ends_at: '', sender, receiver }
      return fine(meetingId ? 'The meeting you came from.' : 'A meeting of its own.')
    } catch (error) {
      return notLetIn(ParleyError.from(error), false)
    }
  }

  async #ownMeeting(rest: Rest): Promise<string> {
    const { id, host_key } = await rest.createMeeting('Connection test', { max_participants: 2, guests: true })
    this.#leave = () => {
      const headers = { 'X-Host-Key': host_key }
      fetch(`${this.place.base}/v1/meetings/${id}/end`, { method: 'POST', headers }).catch(() => undefined)
    }
    return id
  }

  get #test(): ConnectionTest {
    if (!this.#tickets) throw new Error('there is no ticket')
    return this.#tickets
  }

  #open(): Promise<Socket> {
    const { signal_endpoint, join_token } = this.#test.sender
    return Socket.open(signal_endpoint, join_token)
  }

  async #upgrade(): Promise<Finding> {
    try {
      await leave(await this.#open())
      return fine('The socket opens.')
    } catch {
      const url = this.#test.sender.signal_endpoint.replace(/^ws/, 'http')
      const answer = await get(url)
      if (answer?.status === 426)
        return broken('WebSocket: a proxy strips Upgrade', 'Let the proxy pass on Upgrade and Connection.')
      const status = answer ? `HTTP ${answer.status}` : 'nobody answers'
      return broken(
        `WebSocket: the upgrade fails, ${status} at ${new URL(url).host}`,
        'A proxy or firewall does not let WebSockets through.',
      )
    }
  }

  async #bigMessages(): Promise<Finding> {
    const named = 'oversized SDP (> 100 KB) on the socket'
    const hint = 'Let what stands in between pass messages of 128 KB.'
    const { sender } = this.#test
    const socket = await this.#open()
    const closed = new Promise<number>(resolve => socket.on('close', ({ code }) => resolve(code)))
    const hello = { participant_id: sender.participant_id, display_name: '', sdp_offer: '' }
    await socket.request('participant.hello', hello)
    // Nobody sees it: a chat message of that length is refused.
    const say = (size: number) => socket.request('chat.message', { text: 'x'.repeat(size), to: sender.participant_id })
    const refusal = ParleyError.from(await say(bigMessage).catch(error => error))
    if (['closed', 'timeout', 'message_too_big'].includes(refusal.code)) {
      await leave(socket)
      return broken(`${named}: one of ${bigMessage >> 10} KB is not answered`, hint)
    }
    say(tooBig).catch(() => undefined)
    const code = await Promise.race([closed, new Promise<number>(resolve => setTimeout(() => resolve(0), 5_000))])
    socket.close()
    if (code !== closedTooBig)
      return broken(`${named}: one of ${tooBig >> 10} KB is not refused as the server does`, hint)
    return fine(`${bigMessage >> 10} KB are answered, ${tooBig >> 10} KB are refused by name.`)
  }

  async #stun(): Promise<Finding> {
    const { offered, relay, reflexive, error, complete } = await gather(this.#test.sender, 'UDP')
    if (!offered) return skipped('because the server names no STUN server')
    if (reflexive) return fine(`This machine is seen as ${reflexive}.`)
    if (relay) return fine('The server answers.')
    if (complete && !error) return fine('No address but its own: there is no NAT.')
    return broken('STUN unreachable', 'Let UDP to that port out of this network and into the server’s.')
  }

  async #leg(way: Way): Promise<void> {
    const needs = ['websocket.upgrade']
    if (way.relay) {
      const relay = way.relay
      const id = `ice.${way.id}_candidate`
      await this.#ask(id, 'ice', `Relay candidate over ${relay}`, ['token.join'], () => this.#relay(relay))
      needs.push(id)
    }
    let outcome: Outcome | undefined
    const [ice, dtls, rtp] = ['ice', 'dtls', 'rtp'].map(plane => `${plane}.${way.id}`) as [string, string, string]
    await this.#ask(ice, 'ice', `ICE by ${way.name}`, needs, async () => {
      outcome = await meet(way, this.#test)
      if (!outcome.ice) return this.#noPath(way)
      return { ...fine(outcome.pair), tookMs: outcome.iceMs }
    })
    await this.#ask(dtls, 'dtls', `DTLS by ${way.name}`, [ice], async () => {
      if (!outcome?.dtls) return broken('DTLS: the handshake comes to no end', 'Look for a low MTU on the way.')
      return fine('Keys are agreed.')
    })
    await this.#ask(rtp, 'rtp', `RTP by ${way.name}`, [dtls], async () => heard(outcome))
  }

  async #relay(relay: 'UDP' | 'TCP' | 'TLS'): Promise<Finding> {
    const result = await gather(this.#test.sender, relay)
    if (!result.offered) return skipped('because the server offers no such relay')
    if (result.relay) return fine(`Relays at ${result.relay}.`)
    const said =
      result.error && result.error.code < 700
        ? `the relay answers ${result.error.code} ${result.error.text}`
        : `it is not reached over ${relay}`
    return broken(`no relay candidate: ${said}`, 'Let the relay’s port out of this network.')
  }

  #noPath(way: Way): Finding {
    const { sfu_endpoint } = this.#test.sender
    if (way.relay)
      return broken(
        'ICE: the relay gives an address, and no packet comes back through it',
        'The relay cannot reach the server’s media port.',
      )
    if (way.id === 'tcp') return broken(`ICE: TCP to the media port is blocked: no answer from ${sfu_endpoint}`)
    return broken(
      `ICE: UDP blocked: no answer from ${sfu_endpoint}`,
      'A firewall lets no UDP through; calls need a relay then.',
    )
  }
}

function heard(outcome: Outcome | undefined): Finding {
  if (!outcome || outcome.packets === 0) return broken('no inbound packets from that participant’s microphone')
  const share = outcome.lost / (outcome.packets + outcome.lost)
  const figures = `${outcome.packets} packets, ${(share * 100).toFixed(1)} % lost, jitter ${outcome.jitterMs.toFixed(1)} ms, round trip ${outcome.roundTripMs.toFixed(0)} ms`
  if (share > badLoss)
    return {
      state: 'warn',
      cause: `${(share * 100).toFixed(0)} % of the packets are lost`,
      hint: 'Sound and picture suffer: the network on the way is full or bad.',
    }
  return { ...fine(figures), tookMs: listenTime }
}

function notLetIn(error: ParleyError, off: boolean): Finding {
  if (off)
    return broken(
      `no way into a room: HTTP ${error.status} ${error.code}`,
      'Open this page from a meeting, or with a user token: /test#token=…',
    )
  if (error.status === 401 || error.status === 403)
    return broken(`token refused: HTTP ${error.status} ${error.code}`, error.message)
  if (error.status === 429)
    return broken(`rate limited: HTTP 429 ${error.code}`, `Try again in ${error.retryAfter ?? 10} seconds.`)
  if (error.status === undefined) return broken(`REST down: ${error.message}`)
  return broken(`REST down: HTTP ${error.status} ${error.code}`, error.message)
}

async function get(url: string): Promise<Response | undefined> {
  try {
    return await fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(5_000) })
  } catch {
    return undefined
  }
}
