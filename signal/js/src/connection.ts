import { askAgain } from './again.ts'
import {
  cameraLayers,
  forSlot,
  prefer,
  preferSimulcast,
  scalableBitrate,
  screenLayers,
  type VideoOptions,
} from './codec.ts'
import { Emitter } from './emitter.ts'
import { askWhenCaptured } from './lips.ts'
import { Outlet, type Source } from './outlet.ts'
import type { Arrivals } from './pulse.ts'
import { rankCandidates } from './rank.ts'
import { type Losses, none } from './repair.ts'
import { wildcardPeer } from './wildcard.ts'
import type { TrackHint } from './wire.ts'

/** The state of a connection's media path. */
export type PathState = 'new' | 'connecting' | 'connected' | 'interrupted' | 'failed' | 'closed'

/** The events of a connection. */
export interface ConnectionEvents {
  state: PathState
}

/** One receiving m-line. Its stream is always the same one, whatever track the server sends into it. */
export interface Inlet {
  readonly kind: 'audio' | 'video'
  readonly transceiver: RTCRtpTransceiver
  /** Its m-line's identification; null before the first offer. */
  mid: string | null
  stream: MediaStream
}

/** How a connection finds its path. */
export type IceOptions = Required<Pick<RTCConfiguration, 'iceServers' | 'iceTransportPolicy'>>

/** What a connection is made with. */
export interface ConnectionOptions {
  /** Whether to have m-lines for a camera and a microphone. */
  publish: boolean
  audioSlots: number
  videoSlots: number
  /** The tracks to send from the start. */
  tracks: Partial<Record<Source, MediaStreamTrack | null>>
  video?: VideoOptions
}

/**
 * The one peer connection of a session: m-lines for what it sends, slots for what it receives. It makes offers and
 * takes answers and knows nothing of sockets.
 */
export class Connection extends Emitter<ConnectionEvents> {
  readonly #pc: RTCPeerConnection
  readonly #outlets = new Map<Source, Outlet>()
  readonly #inlets: Inlet[] = []
  readonly #video: VideoOptions
  /** All m-lines, in the order in which they were made, which is that of offers (RFC 9429 section 5.2.1). */
  readonly #lines: { mid: string | null }[] = []
  /** How often ICE was restarted. */
  #generation = 0
  /** The next offer, made ahead of time: gone once there is something else to offer. */
  #draft: Promise<RTCSessionDescriptionInit> | undefined
  /** Resolves once the last offer is the connection's own. */
  #described: Promise<void> = Promise.resolve()

  constructor(options: ConnectionOptions) {
    super()
    this.#video = options.video ?? {}
    // One transport's candidates are gathered as soon as the servers for it are known, not only once there is an offer.
    this.#pc = wildcardPeer({ bundlePolicy: 'max-bundle', iceCandidatePoolSize: 1 })
    this.#pc.onconnectionstatechange = () => this.emit('state', this.state)
    if (options.publish) {
      this.addOutlet('microphone', options.tracks.microphone ?? null)
      this.addOutlet('camera', options.tracks.camera ?? null)
    }
    this.addSlots('audio', options.audioSlots)
    this.addSlots('video', options.videoSlots)
  }

  get state(): PathState {
    const state = this.#pc.connectionState
    return state === 'disconnected' ? 'interrupted' : state
  }

  /** The m-line of a source, where there is one. */
  outlet(source: Source): Outlet | undefined {
    return this.#outlets.get(source)
  }

  get outlets(): readonly Outlet[] {
    return [...this.#outlets.values()]
  }

  /** Slots in the order in which they were made. */
  inlets(kind: 'audio' | 'video'): readonly Inlet[] {
    return this.#inlets.filter(inlet => inlet.kind === kind)
  }

  /** Adds a sending m-line; the next offer tells of it. */
  addOutlet(source: Source, track: MediaStreamTrack | null): Outlet {
    this.#draft = undefined
    const video = source === 'camera' || source === 'screen'
    const init: RTCRtpTransceiverInit = { direction: 'sendonly' }
    const codecs = video ? (RTCRtpSender.getCapabilities('video')?.codecs ?? []) : []
    const wish = source === 'camera' ? this.#video.camera : undefined
    const scalable = wish && prefer(codecs, wish.codec)
    if (wish && scalable) {
      init.sendEncodings = [{ scalabilityMode: wish.mode, maxBitrate: scalableBitrate } as RTCRtpEncodingParameters]
    } else if (video) {
      init.sendEncodings = structuredClone(
        source === 'camera' ? cameraLayers : screenLayers,
      ) as RTCRtpEncodingParameters[]
    }
    const transceiver = this.#pc.addTransceiver(track ?? (video ? 'video' : 'audio'), init)
    if (video) order(transceiver, scalable ?? preferSimulcast(codecs))
    const outlet = new Outlet(source, transceiver, scalable && wish?.mode)
    this.#outlets.set(source, outlet)
    this.#lines.push(outlet)
    return outlet
  }

  /** Adds receiving m-lines; the next offer tells of them. */
  addSlots(kind: 'audio' | 'video', count: number): void {
    this.#draft = undefined
    for (let i = 0; i < count; i++) {
      const transceiver = this.#pc.addTransceiver(kind, { direction: 'recvonly' })
      if (kind === 'video')
        order(transceiver, forSlot(RTCRtpReceiver.getCapabilities('video')?.codecs ?? [], this.#video.receive))
      askWhenCaptured(transceiver)
      const inlet = { kind, transceiver, mid: null, stream: new MediaStream([transceiver.receiver.track]) }
      this.#inlets.push(inlet)
      this.#lines.push(inlet)
    }
  }

  /**
   * Goes on in the stream of a slot of another connection: whoever plays it plays this slot from now on, and the other
   * one is no longer heard or seen.
   */
  continue(inlet: Inlet, former: Inlet): void {
    const stream = former.stream
    const tracks = stream.getTracks()
    stream.addTrack(inlet.transceiver.receiver.track)
    for (const track of tracks) stream.removeTrack(track)
    former.stream = inlet.stream
    inlet.stream = stream
  }

  /**
   * Makes the first offer ahead of time: a browser needs some ten milliseconds for it. Which servers to use may be said afterwards, for an
   * offer has no candidates.
   */
  async draft(): Promise<void> {
    this.#draft = this.#pc.createOffer()
    await this.#draft
  }

  /** Says which STUN and TURN servers to use, and whether to use nothing else; before the first offer. */
  setIce(ice: IceOptions): void {
    this.#pc.setConfiguration({ ...this.#pc.getConfiguration(), ...ice })
  }

  /**
   * Makes an offer. It is complete without candidates: the server pairs with the addresses that it hears from and
   * ignores those that a client names. So it can be sent at once, while the browser still makes it the connection's own.
   */
  async offer(iceRestart = false): Promise<{ sdp: string; tracks: TrackHint[] }> {
    if (iceRestart) this.#generation++
    const draft = iceRestart ? undefined : this.#draft
    this.#draft = undefined
    const { sdp: plain = '' } = await (draft ?? this.#pc.createOffer({ iceRestart }))
    const sdp = askAgain(plain)
    this.#described = this.#describe(sdp, plain)
    this.#described.catch(() => undefined) // told by accept
    const mids = midsOf(sdp)
    for (const [i, line] of this.#lines.entries()) line.mid = mids[i] ?? null
    const tracks = this.outlets.flatMap(({ mid, source, refused }) =>
      mid === null || refused ? [] : [{ mid, source }],
    )
    return { sdp, tracks }
  }

  /** Makes the offer the connection's own, as the browser made it where it takes no other. */
  async #describe(sdp: string, plain: string): Promise<void> {
    try {
      await this.#pc.setLocalDescription({ type: 'offer', sdp })
    } catch {
      await this.#pc.setLocalDescription({ type: 'offer', sdp: plain })
    }
  }

  /** Takes the answer to the last offer, with the mids of the m-lines that it turns down. */
  async accept(sdp: string, refused: readonly string[]): Promise<void> {
    await this.#described // given an answer before, Chromium 156 stays at iceConnectionState 'new'
    await this.#pc.setRemoteDescription({ type: 'answer', sdp: rankCandidates(sdp, this.#generation) })
    for (const outlet of this.outlets) if (outlet.mid !== null && refused.includes(outlet.mid)) outlet.rest()
    await Promise.all(this.outlets.map(outlet => outlet.refresh()))
  }

  /** Whether an offer is without its answer. */
  get unanswered(): boolean {
    return this.#pc.signalingState === 'have-local-offer'
  }

  /** When media was last heard or seen, by the page's clock in milliseconds; 0 is never. */
  heardAt(): number {
    const heard = this.#inlets.flatMap(inlet => inlet.transceiver.receiver.getSynchronizationSources?.() ?? [])
    return Math.max(0, ...heard.map(one => one.timestamp))
  }

  /** What has come over the path. */
  async arrivals(): Promise<Arrivals> {
    const count: Arrivals = { media: 0, all: 0 }
    for (const [, report] of await this.#pc.getStats()) {
      if (report.type === 'inbound-rtp') count.media += report.packetsReceived ?? 0
      if (report.type === 'candidate-pair')
        count.all += (report.packetsReceived ?? 0) + (report.responsesReceived ?? 0) + (report.requestsReceived ?? 0)
    }
    return count
  }

  /** What has become of packets. */
  async losses(): Promise<Losses> {
    const losses: Losses = { ...none }
    const reports = await this.#pc.getStats()
    for (const [, report] of reports) {
      if (report.type === 'inbound-rtp' && report.kind === 'audio') {
        losses.asked += report.nackCount ?? 0
        losses.missing += report.packetsLost ?? 0
      }
      if (report.type === 'inbound-rtp' && report.kind === 'video') {
        losses.pictures += report.packetsReceived ?? 0
        losses.repaired += report.retransmittedPacketsReceived ?? 0
      }
      if (report.type === 'transport') {
        const trip = reports.get(report.selectedCandidatePairId)?.currentRoundTripTime
        if (trip !== undefined) losses.roundTrip = 1000 * trip
      }
    }
    return losses
  }

  getStats(): Promise<RTCStatsReport> {
    return this.#pc.getStats()
  }

  close(): void {
    this.#pc.close()
    this.emit('state', 'closed')
  }
}

/** The m-lines' identifications, in their order (RFC 9143). */
function midsOf(sdp: string): string[] {
  return [...sdp.matchAll(/^a=mid:(\S+)/gm)].flatMap(([, mid]) => mid ?? [])
}

function order(transceiver: RTCRtpTransceiver, codecs: RTCRtpCodec[]): void {
  if (codecs.length > 0) transceiver.setCodecPreferences?.(codecs)
}
