import { type JoinTicket, Socket } from '@parley-sfu/client'
import { only, serversOf, type Way } from './ways.ts'

/** What two connections found that met over a way. Times in milliseconds. */
export interface Outcome {
  ice: boolean
  dtls: boolean
  iceMs: number
  pair: string
  packets: number
  lost: number
  jitterMs: number
  roundTripMs: number
}

const connectTime = 6_000
/** How long packets are counted, in milliseconds. */
export const listenTime = 1_500
const poll = 20

/** Lets a sender and a receiver meet over one way and counts what the one hears of the other. */
export async function meet(way: Way, tickets: { sender: JoinTicket; receiver: JoinTicket }): Promise<Outcome> {
  const tone = new Tone()
  const ends = [new End(way, tickets.receiver), new End(way, tickets.sender, tone.track)]
  const [receiver, sender] = ends as [End, End]
  try {
    const begun = performance.now()
    for (const end of ends) await end.open()
    const iceMs = await until(() => ends.every(end => end.hasPath), connectTime, begun)
    const keys = iceMs !== undefined && (await until(() => ends.every(end => end.hasKeys), connectTime)) !== undefined
    if (keys) await pause(listenTime)
    return {
      ice: iceMs !== undefined,
      dtls: keys,
      iceMs: iceMs ?? 0,
      pair: await sender.pair(),
      ...(await receiver.heard()),
    }
  } finally {
    await Promise.all(ends.map(end => end.close()))
    tone.stop()
  }
}

/** One of the two: a socket and a peer connection. */
class End {
  readonly #pc: RTCPeerConnection
  #socket: Socket | undefined

  constructor(
    private readonly way: Way,
    private readonly ticket: JoinTicket,
    track?: MediaStreamTrack,
  ) {
    this.#pc = new RTCPeerConnection({
      bundlePolicy: 'max-bundle',
      iceTransportPolicy: way.relay ? 'relay' : 'all',
      iceServers: way.relay ? serversOf(ticket, way.relay) : [],
    })
    this.#pc.addTransceiver(track ?? 'audio', { direction: track ? 'sendonly' : 'recvonly' })
  }

  async open(): Promise<void> {
    this.#socket = await Socket.open(this.ticket.signal_endpoint, this.ticket.join_token)
    await this.#pc.setLocalDescription(await this.#pc.createOffer())
    const [line] = this.#pc.getTransceivers()
    const sends = line?.direction === 'sendonly'
    const answer = await this.#socket.request('participant.hello', {
      participant_id: this.ticket.participant_id,
      display_name: '',
      sdp_offer: this.#pc.localDescription?.sdp ?? '',
      tracks: sends ? [{ mid: line?.mid ?? '', source: 'microphone' }] : [],
    })
    if (answer.type !== 'sfu.answer') throw new Error('the offer was not answered')
    const protocol = this.way.relay ? undefined : this.way.id === 'tcp' ? 'tcp' : 'udp'
    await this.#pc.setRemoteDescription({ type: 'answer', sdp: only(answer.sdp_answer, protocol) })
  }

  get hasPath(): boolean {
    return ['connected', 'completed'].includes(this.#pc.iceConnectionState)
  }

  get hasKeys(): boolean {
    return this.#pc.connectionState === 'connected'
  }

  /** The path, for people. */
  async pair(): Promise<string> {
    const reports = await this.#pc.getStats()
    const pair = selected(reports)
    const [local, remote] = [reports.get(pair?.localCandidateId), reports.get(pair?.remoteCandidateId)]
    if (!local || !remote) return ''
    const through =
      local.candidateType === 'relay'
        ? `${local.relayProtocol ?? ''} relay`
        : `${local.protocol} ${local.candidateType}`
    return `${through} → ${remote.address ?? remote.ip}:${remote.port}`
  }

  async heard(): Promise<Pick<Outcome, 'packets' | 'lost' | 'jitterMs' | 'roundTripMs'>> {
    const reports = await this.#pc.getStats()
    const sound = [...reports.values()].find(one => one.type === 'inbound-rtp' && one.kind === 'audio')
    return {
      packets: sound?.packetsReceived ?? 0,
      lost: Math.max(0, sound?.packetsLost ?? 0),
      jitterMs: (sound?.jitter ?? 0) * 1000,
      roundTripMs: (selected(reports)?.currentRoundTripTime ?? 0) * 1000,
    }
  }

  async close(): Promise<void> {
    this.#pc.close()
    if (this.#socket) await leave(this.#socket)
  }
}

const leaveTime = 1_000

/** Closes a socket and waits until the server has: before that another one would be taken for its successor. */
export function leave(socket: Socket): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, leaveTime)
    socket.on('close', () => {
      clearTimeout(timer)
      resolve()
    })
    socket.close()
  })
}

/** A quiet tone, so that nobody is asked for a microphone. */
class Tone {
  readonly #context = new AudioContext()
  readonly #oscillator = this.#context.createOscillator()
  readonly track: MediaStreamTrack

  constructor() {
    const out = this.#context.createMediaStreamDestination()
    const gain = new GainNode(this.#context, { gain: 0.2 })
    this.#oscillator.connect(gain).connect(out)
    this.#oscillator.start()
    void this.#context.resume()
    this.track = out.stream.getAudioTracks()[0] as MediaStreamTrack
  }

  stop(): void {
    this.#oscillator.stop()
    void this.#context.close()
  }
}

/** What a relay says when it is asked for an address over a way, without any connection. */
export interface Gathering {
  offered: boolean
  /** Every server has answered or was given up; a browser gives up after ten seconds. */
  complete: boolean
  /** Its address as a candidate. */
  relay?: string
  /** This machine's address as a STUN server sees it. */
  reflexive?: string
  /** The error of the last server that failed (RFC 8489; 701 is unreachable). */
  error?: { code: number; text: string; url: string }
}

const gatherTime = 4_000

/** Gathers candidates from the relays of one way. */
export async function gather(ticket: JoinTicket, relay: 'UDP' | 'TCP' | 'TLS'): Promise<Gathering> {
  const iceServers = serversOf(ticket, relay)
  const result: Gathering = { offered: iceServers.length > 0, complete: false }
  if (!result.offered) return result
  const pc = new RTCPeerConnection({ iceServers })
  try {
    pc.onicecandidate = ({ candidate }) => {
      if (candidate?.type === 'relay') result.relay = `${candidate.address}:${candidate.port}`
      if (candidate?.type === 'srflx') result.reflexive = `${candidate.address}`
    }
    pc.onicecandidateerror = ({ errorCode, errorText, url }) => {
      result.error = { code: errorCode, text: errorText, url: url ?? '' }
    }
    pc.createDataChannel('')
    await pc.setLocalDescription()
    await until(() => pc.iceGatheringState === 'complete' || result.relay !== undefined, gatherTime)
    result.complete = pc.iceGatheringState === 'complete'
    return result
  } finally {
    pc.close()
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the fields of a report differ by its type
function selected(reports: RTCStatsReport): any {
  const transport = [...reports.values()].find(one => one.type === 'transport' && one.selectedCandidatePairId)
  if (transport) return reports.get(transport.selectedCandidatePairId)
  return [...reports.values()].find(one => one.type === 'candidate-pair' && one.nominated && one.state === 'succeeded')
}

/** Waits until something is so, and tells how long it took; nothing when it took too long. */
async function until(what: () => boolean, limit: number, since = performance.now()): Promise<number | undefined> {
  const start = performance.now()
  while (!what()) {
    if (performance.now() - start > limit) return undefined
    await pause(poll)
  }
  return performance.now() - since
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
