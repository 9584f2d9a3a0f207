import { Backoff } from './backoff.ts'
import { Buffers, type Pair } from './buffer.ts'
import type { VideoOptions } from './codec.ts'
import { Connection, type IceOptions, type Inlet, type PathState } from './connection.ts'
import { Emitter } from './emitter.ts'
import { ParleyError } from './error.ts'
import { Lips } from './lips.ts'
import type { LocalMedia } from './local.ts'
import type { Message, Requests } from './message.ts'
import type { Outlet, Source, Wanted } from './outlet.ts'
import { Pulse } from './pulse.ts'
import { none, Repair } from './repair.ts'
import type { Roster } from './roster.ts'
import { Serial } from './serial.ts'
import { type StatsDigest, StatsDigester } from './stats.ts'
import { assign, carriedBy, expectsMedia, Subscriber, type View } from './subscription.ts'
import type { TrackHint } from './wire.ts'

/** The events of the media plane. */
export interface MediaEvents {
  state: PathState
  /** A source was turned down by the server. */
  refused: Source
  /** Nothing may come over the path any more. */
  doubtful: undefined
  /** What should come over it does not; told again while that stays so. */
  silent: undefined
}

/** How many slots a connection has. */
export interface SlotCounts {
  audio: number
  video: number
  /** How far the video slots may grow. */
  maxVideo: number
}

/** Sends requests of the session. */
export type Request = <Type extends keyof Requests>(type: Type, body: Requests[Type], wait?: number) => Promise<Message>

/** How long a broken path may mend itself before ICE is restarted, in milliseconds. */
const mendTime = 500
const sources: readonly Source[] = ['camera', 'microphone', 'screen', 'screen_audio']

/**
 * The media plane of one participant: one connection, its negotiation, what it sends, and which track each slot shows.
 * After the first exchange it negotiates only to add m-lines and to restart ICE.
 */
export class Media extends Emitter<MediaEvents> {
  #connection: Connection | undefined
  #exchanges = 0
  #views: readonly View[] = []
  #growing = false
  #pulse: Pulse | undefined
  readonly #buffers = new Buffers()
  readonly #lips = new Lips(() => this.#pairs(), this.#buffers)
  readonly #repair: Repair
  #mending: ReturnType<typeof setTimeout> | undefined
  readonly #layers = new Map<string, Wanted>()
  readonly #negotiation = new Serial()
  readonly #restarts = new Backoff(1_000, 15_000)
  readonly #digester = new StatsDigester()
  readonly #subscriber: Subscriber
  readonly #stop: () => void
  #roster: Roster

  constructor(
    private request: Request,
    roster: Roster,
    private readonly local: LocalMedia,
    private readonly slots: SlotCounts,
    private readonly video?: VideoOptions,
  ) {
    super()
    this.#roster = roster
    this.#subscriber = new Subscriber(requests => {
      this.request('subscription.update', { mode: 'manual', slots: requests }).catch(() => this.#subscriber.reset())
    })
    this.#repair = new Repair(
      {
        losses: async () => (await this.#connection?.losses()) ?? none,
        sounds: () => this.#connection?.inlets('audio').map(inlet => inlet.transceiver.receiver) ?? [],
        pairs: () => this.#pairs(),
      },
      this.#buffers,
    )
    this.#stop = local.on('change', () => this.#changedLocally())
  }

  /** The pictures that are shown. */
  get views(): readonly View[] {
    return this.#views
  }

  /** How many offers were made. */
  get exchanges(): number {
    return this.#exchanges
  }

  get state(): PathState {
    return this.#connection?.state ?? 'new'
  }

  get videoSlots(): number {
    return this.#connection?.inlets('video').length ?? 0
  }

  /** The streams of the audio slots: play them all. */
  get audioStreams(): readonly MediaStream[] {
    return this.#connection?.inlets('audio').map(inlet => inlet.stream) ?? []
  }

  /** Prepares a connection; a former one is closed. */
  start(publish: boolean): void {
    this.#drop()
    const tracks = Object.fromEntries(sources.map(source => [source, this.local.track(source)]))
    const video = Math.max(this.slots.video, Math.min(this.#views.length, this.slots.maxVideo))
    const coded = this.video ? { video: this.video } : {}
    const connection = new Connection({ publish, audioSlots: this.slots.audio, videoSlots: video, tracks, ...coded })
    this.#connection = connection
    if (publish) this.#addScreen()
    const pulse = new Pulse({
      heardAt: () => connection.heardAt(),
      arrivals: () => connection.arrivals(),
      expects: () => expectsMedia(this.#roster.slots),
    })
    pulse.on('doubtful', () => this.emit('doubtful', undefined))
    pulse.on('silent', () => this.emit('silent', undefined))
    this.#pulse = pulse
    connection.on('state', state => {
      if (this.#connection !== connection) return
      if (state === 'connected') {
        pulse.start()
        this.#lips.start()
        this.#repair.start()
      } else {
        pulse.stop()
        this.#lips.stop()
        this.#repair.stop()
      }
      this.emit('state', state)
      this.#watch(state)
    })
    connection.draft().catch(() => undefined)
  }

  setIce(ice: IceOptions): void {
    this.#connection?.setIce(ice)
  }

  /** Exchanges an offer that `send` takes to the server for an answer. */
  exchange(send: (sdp: string, tracks: TrackHint[]) => Promise<Message>, iceRestart = false): Promise<void> {
    return this.#negotiation.run(async () => {
      const connection = this.#connection
      if (!connection || connection.state === 'closed') return
      if (iceRestart) this.#pulse?.rest()
      const offer = await connection.offer(iceRestart)
      this.#exchanges++
      const answer = await send(offer.sdp, offer.tracks)
      if (answer.type !== 'sfu.answer') throw new ParleyError('bad_sdp', 'The server did not answer the offer.')
      await connection.accept(answer.sdp_answer, answer.refused ?? [])
      for (const outlet of connection.outlets) if (outlet.refused) this.emit('refused', outlet.source)
      this.#send()
      this.#subscribe()
    })
  }

  /** Looks for another path where the one that there is is broken or `lost`; it goes on meanwhile, as far as it does. */
  async recover(lost = false): Promise<void> {
    this.#subscriber.reset()
    if (lost || this.state !== 'connected' || this.#connection?.unanswered) await this.#renegotiate(true)
    else this.#subscribe()
  }

  /** Sends the captured screen, with m-lines of its own from the first time on. */
  async publishScreen(): Promise<void> {
    if (this.#addScreen()) await this.#renegotiate(false)
  }

  /**
   * Takes the place of the media of another node: what is played goes on in the same streams. From now on it sends its
   * requests with `request` and reads the room in `roster`. Of which nothing was said, all layers are sent.
   */
  replace(former: Media, roster: Roster, request: Request): void {
    const [now, then] = [this.#connection, former.#connection]
    const before = former.#roster.slots
    const after = this.#roster.slots
    const told = new Set([...this.#layers.keys()].map(id => this.#roster.tracks.find(one => one.id === id)?.source))
    this.#roster = roster
    this.request = request
    if (!now || !then) return
    for (const outlet of now.outlets) if (!told.has(outlet.source)) outlet.setLayers(undefined).catch(() => undefined)
    for (const slot of after) {
      const mid = before.find(one => one.track_id && one.track_id === slot.track_id)?.mid
      const [inlet, old] = [this.#inletOf(slot.mid), former.#inletOf(mid ?? '')]
      if (inlet?.kind === 'video' && old) now.continue(inlet, old)
    }
    const heard = then.inlets('audio')
    for (const [i, inlet] of now.inlets('audio').entries()) if (heard[i]) now.continue(inlet, heard[i])
  }

  /** Sends no more layers than the media of another node do, until the own node says what it wants. */
  carryOver(former: Media): void {
    for (const outlet of this.#connection?.outlets ?? []) {
      const wanted = former.#connection?.outlet(outlet.source)?.wanted
      if (wanted) outlet.setLayers(wanted).catch(() => undefined)
    }
  }

  /** Which tracks have been seen or heard through this connection. */
  async received(): Promise<Set<string>> {
    const mids = new Set<string>()
    const reports: RTCStatsReport | [] = (await this.#connection?.getStats()) ?? []
    for (const [, report] of reports) {
      if (
        report.type === 'inbound-rtp' &&
        (report.kind === 'audio' ? report.packetsReceived : report.framesDecoded) > 0
      )
        mids.add(report.mid)
    }
    const slots = this.#roster.slots.filter(slot => slot.state === 'active' && mids.has(slot.mid))
    return new Set(slots.flatMap(slot => slot.track_id ?? []))
  }

  /** Shows these tracks and no others. */
  show(views: readonly View[]): void {
    this.#views = views
    this.#subscribe()
  }

  /** Tells that tracks or slots have changed. */
  changed(): void {
    for (const [trackId, wanted] of this.#layers) this.#applyLayers(trackId, wanted)
    this.#subscribe()
  }

  /** Sends only these layers of one of the own tracks. */
  setLayers(trackId: string, wanted: Wanted): void {
    this.#layers.set(trackId, wanted)
    this.#applyLayers(trackId, wanted)
  }

  /** The stream that carries a track now, if a slot does. */
  streamOf(trackId: string): MediaStream | undefined {
    const slot = this.#roster.slots.find(one => one.track_id === trackId)
    return slot && this.#inletOf(slot.mid)?.stream
  }

  async stats(): Promise<StatsDigest | undefined> {
    const connection = this.#connection
    if (!connection) return undefined
    const mids = connection.outlets.map((outlet: Outlet): [string, Source] => [outlet.mid ?? '', outlet.source])
    return this.#digester.digest([...(await connection.getStats())], this.#roster.slots, new Map(mids))
  }

  close(): void {
    this.#drop()
    this.#views = []
  }

  /** Closes for good. */
  end(): void {
    this.#stop()
    this.close()
  }

  /** Adds m-lines for what is captured of the screen, and says whether there are any new ones. */
  #addScreen(): boolean {
    const added = (['screen', 'screen_audio'] as const).filter(source => {
      const track = this.local.track(source)
      return track && this.#connection && !this.#connection.outlet(source) && this.#connection.addOutlet(source, track)
    })
    return added.length > 0
  }

  #drop(): void {
    clearTimeout(this.#mending)
    this.#pulse?.stop()
    this.#lips.stop()
    this.#repair.reset()
    const connection = this.#connection
    this.#connection = undefined
    this.#subscriber.reset()
    this.#layers.clear()
    connection?.close()
  }

  #inletOf(mid: string): Inlet | undefined {
    const find = (kind: 'audio' | 'video') => this.#connection?.inlets(kind).find(one => one.mid === mid)
    return find('video') ?? find('audio')
  }

  /** The slots that play sound and picture of the same person or screen. */
  #pairs(): Pair[] {
    const slots = this.#roster.slots.filter(slot => slot.state === 'active')
    return slots.flatMap(heard => {
      const shown = heard.source === 'microphone' ? 'camera' : 'screen'
      const seen = slots.find(one => one.source === shown && one.participant_id === heard.participant_id)
      if (heard.kind !== 'audio' || !seen) return []
      const [sound, picture] = [this.#inletOf(heard.mid), this.#inletOf(seen.mid)]
      return sound && picture ? [{ sound: sound.transceiver.receiver, picture: picture.transceiver.receiver }] : []
    })
  }

  /** Puts what is captured now into the m-lines. */
  #send(): void {
    for (const outlet of this.#connection?.outlets ?? []) {
      outlet.setTrack(outlet.refused ? null : this.local.track(outlet.source)).catch(() => undefined)
    }
  }

  /** A source that was refused before is offered again when the person turns it on again. */
  #changedLocally(): void {
    const again = this.#connection?.outlets.filter(one => one.refused && this.local.track(one.source)) ?? []
    for (const outlet of again) outlet.ask()
    this.#send()
    if (again.length > 0) this.#renegotiate(false).catch(() => undefined)
  }

  #applyLayers(trackId: string, wanted: Wanted): void {
    const track = this.#roster.tracks.find(one => one.id === trackId)
    if (track?.participant_id !== this.#roster.self.id) return
    this.#connection
      ?.outlet(track.source)
      ?.setLayers(wanted)
      .catch(() => undefined)
  }

  #subscribe(): void {
    const mids = this.#connection?.inlets('video').flatMap(one => one.mid ?? []) ?? []
    if (mids.length === 0 || this.#roster.self.id === '') return
    const known = new Set(this.#roster.tracks.map(track => track.id))
    const views = this.#views.filter(view => known.has(view.trackId))
    const { requests, missing } = assign(mids, carriedBy(this.#roster.slots, this.#subscriber.asked), views)
    this.#subscriber.update(requests)
    if (missing > 0) this.#grow(missing)
  }

  /** Adds slots in steps of three, so that people who come one by one do not cost an offer each. */
  #grow(missing: number): void {
    const room = this.slots.maxVideo - this.videoSlots
    if (this.#growing || room <= 0) return
    this.#growing = true
    this.#connection?.addSlots('video', Math.min(room, Math.ceil(missing / 3) * 3))
    this.#renegotiate(false)
      .catch(() => undefined)
      .finally(() => {
        this.#growing = false
        this.#subscribe()
      })
  }

  #renegotiate(iceRestart: boolean): Promise<void> {
    return this.exchange((sdp_offer, tracks) => this.request('participant.offer', { sdp_offer, tracks }), iceRestart)
  }

  /** Restarts ICE when the path is broken and does not mend by itself. */
  #watch(state: PathState): void {
    clearTimeout(this.#mending)
    if (state === 'connected') this.#restarts.reset()
    else if (isBroken(state)) this.#mend(state === 'failed' ? this.#restarts.next() : mendTime)
  }

  /** Restarts ICE after a while, and ever more rarely again while the path stays broken, be it answered or not. */
  #mend(wait: number): void {
    const connection = this.#connection
    clearTimeout(this.#mending)
    this.#mending = setTimeout(async () => {
      if (!isBroken(this.state)) return
      await this.#renegotiate(true).catch(() => undefined)
      if (this.#connection === connection && isBroken(this.state)) this.#mend(mendTime + this.#restarts.next())
    }, wait)
  }
}

function isBroken(state: PathState): boolean {
  return state === 'interrupted' || state === 'failed'
}
