import { type CloseReason, reasonOf } from './closing.ts'
import type { VideoOptions } from './codec.ts'
import type { IceOptions, PathState } from './connection.ts'
import { Emitter } from './emitter.ts'
import { ParleyError } from './error.ts'
import { type JoinOptions, joinRequest } from './join.ts'
import { LocalMedia } from './local.ts'
import { Media, type SlotCounts } from './media.ts'
import type { Message } from './message.ts'
import { Move } from './move.ts'
import { Network } from './network.ts'
import type { Source } from './outlet.ts'
import { Presence } from './presence.ts'
import { type JoinTicket, Rest } from './rest.ts'
import { everything, type Part, type Participant, Roster } from './roster.ts'
import { Search } from './search.ts'
import { Session } from './session.ts'
import type { StatsDigest } from './stats.ts'
import type { View } from './subscription.ts'
import type { Chat, Migrate } from './wire.ts'

/** Where a client stands. */
export type ClientState = 'idle' | 'joining' | 'waiting' | 'joined' | 'reconnecting' | 'closed'

/** The events of a client: each part of the room's state has its own; read the new state from the client. */
export type ClientEvents = { [P in Part]: undefined } & {
  state: ClientState
  /** The media path's state. */
  path: PathState
  chat: Chat
  /** The client has moved to another node, because the one that it was on drains. Nobody else noticed. */
  migrated: undefined
  /** The client was away for so long that the others had seen it leave: it has joined anew. */
  rejoined: undefined
  /** The host muted this source of ours. */
  muted: Source
  /** Something that the person should know but that ends nothing. */
  problem: ParleyError
}

/** How a client is made. */
export interface ClientOptions {
  /** The server's address without a path. */
  base: string
  /** A user token; guests have none. */
  userToken?: string
  /** The devices to publish from; one of its own otherwise. */
  local?: LocalMedia
  /** How many slots to start with, and how many to have at most. */
  slots?: Partial<SlotCounts>
  /** Whether media may go through relays alone; over anything otherwise. */
  iceTransportPolicy?: RTCIceTransportPolicy
  /** What video is sent and received in; three layers in VP8, and VP8 or H.264, otherwise. */
  video?: VideoOptions
}

const keptMessages = 500
const keptProblems = 20
const helloTimeout = 15_000
/** How long the old node's connection stays after a move, for the others to find what is published on the new one. */
const farewell = 1_000

/**
 * One participant in one meeting. It joins, stays through lost sockets and broken paths, tells by events what changed
 * and carries out what the person wants. It draws nothing and plays nothing. A closed client can join again.
 */
export class Client extends Emitter<ClientEvents> {
  /** Who and what is in the room. */
  readonly roster = new Roster()
  /** The camera, microphone and screen of this machine. */
  readonly local: LocalMedia
  #state: ClientState = 'idle'
  #reason: CloseReason | undefined
  #error: ParleyError | undefined
  #waitingFor: 'waiting_room' | 'locked' = 'waiting_room'
  #session: Session | undefined
  #ticket: JoinTicket | undefined
  #move: Move | undefined
  /** Resolves when the move is decided. */
  #moving: Promise<void> | undefined
  readonly #whileAway = { online: () => this.#network.online, hold: () => this.#moving }
  /** The last one that was made. */
  #moved: Move | undefined
  #publishes = true
  /** There is a connection for the next join, which publishes or does not. */
  #prepared: boolean | undefined
  #departing: (() => void) | undefined
  #name = ''
  #greeting = false
  #messages: Chat[] = []
  #problems: ParleyError[] = []
  readonly #rest: Rest
  readonly #network = new Network()
  readonly #search = new Search()
  readonly #slots: SlotCounts
  readonly #icePolicy: RTCIceTransportPolicy
  #media: Media
  readonly #presence: Presence

  constructor(options: ClientOptions) {
    super()
    this.local = options.local ?? new LocalMedia()
    this.#rest = new Rest(options.base, options.userToken)
    this.#icePolicy = options.iceTransportPolicy ?? 'all'
    this.#slots = { audio: 3, video: 6, maxVideo: 25, ...options.slots }
    const media: Media = new Media(
      (...request) => this.#requestOf(media)(...request),
      this.roster,
      this.local,
      this.#slots,
      options.video,
    )
    this.#media = media
    this.#hear(media)
    this.#presence = new Presence(wish => this.#request('presence.update', wish), this.roster, this.local)
    this.#presence.on('muted', source => this.emit('muted', source))
    this.local.on('problem', problem => this.#problem(problem))
    this.local.on('change', () => this.#localChanged())
    this.#network.on('changed', () => this.#rerouted())
  }

  get state(): ClientState {
    return this.#state
  }

  /** Why the client is closed. */
  get reason(): CloseReason | undefined {
    return this.#reason
  }

  /** What went wrong, where something did. */
  get error(): ParleyError | undefined {
    return this.#error
  }

  /** Why one is in the lobby. */
  get waitingFor(): 'waiting_room' | 'locked' {
    return this.#waitingFor
  }

  get path(): PathState {
    return this.#media.state
  }

  /** The meeting's title; empty before the join call has answered, and for a meeting without one. */
  get title(): string {
    return this.#ticket?.title ?? ''
  }

  /** How many SDP offers were made: one to join, then only for more m-lines and ICE restarts. */
  get sdpExchanges(): number {
    return this.#media.exchanges
  }

  /** How many pictures can be shown without another offer. */
  get videoSlots(): number {
    return this.#media.videoSlots
  }

  /** This participant as others see it. */
  get self(): Participant {
    return this.roster.self
  }

  get handRaised(): boolean {
    return this.#presence.handRaised
  }

  /** The latest chat messages, oldest first. */
  get messages(): readonly Chat[] {
    return this.#messages
  }

  /** The latest problems since joining, oldest first: also those from before anybody listened. */
  get problems(): readonly ParleyError[] {
    return this.#problems
  }

  /** Streams that carry the loudest participants: play them all. */
  get audioStreams(): readonly MediaStream[] {
    return this.#media.audioStreams
  }

  /** The stream that shows a track now, if a slot carries it. It may show another one after the next `slots` event. */
  streamOf(trackId: string): MediaStream | undefined {
    return this.#media.streamOf(trackId)
  }

  /** Measures the way to each region, for {@link JoinOptions.regionRtts}: best while the person is still getting ready. */
  measureRegions(): Promise<Record<string, number>> {
    return this.#rest.measureRegions()
  }

  /**
   * Makes ready what {@link join} needs of the browser and of no server: best while the person is still getting ready, for it
   * takes some ten milliseconds. Of no use with another role than the one to join in.
   */
  prepare(role?: JoinOptions['role']): void {
    if (this.#state !== 'idle' && this.#state !== 'closed') return
    const publishes = role !== 'viewer'
    if (this.#prepared !== publishes) this.#media.start(publishes)
    this.#prepared = publishes
  }

  /** Joins a meeting. Resolves once in the room or in its lobby; then `state` tells the rest. */
  async join(options: JoinOptions): Promise<void> {
    if (this.#state !== 'idle' && this.#state !== 'closed') throw new ParleyError('busy', 'Already in a meeting.')
    this.#reason = undefined
    this.#error = undefined
    this.#messages = []
    this.#problems = []
    this.#name = options.displayName
    this.prepare(options.role)
    this.#publishes = options.role !== 'viewer'
    this.#prepared = undefined
    this.#become('joining')
    try {
      const ticket = await this.#rest.join(options.meetingId, joinRequest(options))
      if ((this.#state as ClientState) === 'closed') return
      this.#ticket = ticket
      await this.#enter(ticket)
    } catch (error) {
      this.#close('failed', ParleyError.from(error))
      throw error
    }
  }

  /** Leaves the meeting; devices stay open. */
  leave(): void {
    if (this.#state !== 'idle') this.#close('left')
    this.#prepared = undefined
    this.#media.close()
  }

  /** Shows these tracks and no others, each at its size. Cheap: call it at every change of the layout. */
  show(views: readonly View[]): void {
    this.#media.show(views)
  }

  /** Raises or lowers the hand. */
  raiseHand(raised: boolean): void {
    this.#presence.raiseHand(raised)
    this.emit('participants', undefined)
  }

  /** Asks which screen to share and shares it; answers whether it is shared. */
  async shareScreen(): Promise<boolean> {
    if (!(await this.local.openScreen())) return false
    await this.#media.publishScreen()
    return this.local.screenOn
  }

  /** Sends a chat message to everyone, or to one participant. */
  async chat(text: string, to?: string): Promise<void> {
    await this.#request('chat.message', to ? { text, to } : { text })
  }

  /** Lets somebody in from the lobby. Host only, as are the methods that follow. */
  admit(participantId: string): Promise<void> {
    return this.#answer('participant.admit', participantId)
  }

  deny(participantId: string): Promise<void> {
    return this.#answer('participant.deny', participantId)
  }

  /** Mutes somebody; only they can unmute. */
  async mute(participantId: string, source: 'microphone' | 'camera' = 'microphone'): Promise<void> {
    await this.#request('participant.mute', { participant_id: participantId, source })
  }

  async remove(participantId: string): Promise<void> {
    await this.#request('participant.remove', { participant_id: participantId })
  }

  /** Locks or unlocks the room: into a locked one nobody gets without the host. */
  async lock(locked: boolean): Promise<void> {
    await this.#request(locked ? 'room.lock' : 'room.unlock', {})
  }

  /** Ends the meeting for everyone, oneself included. */
  async end(): Promise<void> {
    try {
      await this.#request('room.end', {})
    } catch (error) {
      // The end that was asked for can overtake its own answer.
      if (this.#reason !== 'ended') throw error
    }
  }

  /** The connection in numbers, with rates since the call before. */
  stats(): Promise<StatsDigest | undefined> {
    return this.#media.stats()
  }

  async #enter(ticket: JoinTicket): Promise<void> {
    const session = new Session({
      urls: [ticket.signal_endpoint, ...(ticket.alternates ?? []).map(node => node.signal_endpoint)],
      token: ticket.join_token,
      ...this.#whileAway,
    })
    this.#follow(session)
    // The browser is slow to take the servers and to make the offer: the socket opens meanwhile.
    const opened = session.open()
    this.#media.setIce(this.#ice(ticket))
    this.#hello(opened).catch(error => this.#helloFailed(error))
    await opened
    await this.#settled()
  }

  /** Makes a session the client's: from now on it hears this one alone. */
  #follow(session: Session): void {
    this.#session = session
    const mine = <T>(hear: (event: T) => void) => {
      return (event: T): void => {
        if (this.#session === session) hear(event)
      }
    }
    session.on(
      'message',
      mine(message => this.#receive(message)),
    )
    session.on(
      'lost',
      mine(() => this.#lost()),
    )
    session.on(
      'restored',
      mine(({ known }) => this.#restored(known)),
    )
    session.on(
      'closed',
      mine(({ code }) => this.#close(reasonOf(code))),
    )
  }

  #hear(media: Media): void {
    media.on('state', state => {
      if (this.#media === media) this.emit('path', state)
    })
    media.on('refused', source => {
      if (this.#media === media) this.#refused(source)
    })
    media.on('doubtful', () => {
      if (this.#media === media) void this.#doubt()
    })
    media.on('silent', () => {
      if (this.#media === media) this.#silent(media)
    })
  }

  /** Goes to another node, as the server asks; where that does not work, everything stays as it is. */
  #migrate(to: Migrate): void {
    if (this.#move || this.#departing || !this.#ticket) return
    const move = new Move({
      to,
      participantId: this.#ticket.participant_id,
      displayName: this.#name,
      publish: this.#publishes,
      ice: this.#ice({ ...this.#ticket, ice_servers: to.ice_servers ?? this.#ticket.ice_servers }),
      session: this.#whileAway,
      local: this.local,
      slots: this.#slots,
      media: this.#media,
      roster: this.roster,
    })
    this.#move = move
    this.#moving = move
      .arrive()
      .then(
        () => this.#switch(move),
        () => undefined,
      )
      .finally(() => {
        if (this.#move === move) this.#move = undefined
        this.#moving = undefined
      })
  }

  /** Goes on through the new node, in the middle of the call. */
  #switch(move: Move): void {
    const [session, media] = [this.#session, this.#media]
    if (!session || this.#move !== move) {
      move.abandon()
      return
    }
    this.#move = undefined
    if (!session.connected) session.close()
    move.session.also(session.others)
    this.#moved = move
    this.#follow(move.session)
    move.media.replace(media, this.roster, this.#requestOf(move.media))
    this.roster.become(move.roster)
    if (this.#ticket) this.#ticket = { ...this.#ticket, ice_servers: move.iceServers }
    this.#media = move.media
    this.#hear(move.media)
    if (move.waiting) this.#waitingFor = move.waiting
    this.#become(move.waiting ? 'waiting' : 'joined')
    move.greeted.catch(error => this.#helloFailed(error))
    for (const chat of move.chats) this.#chat(chat)
    this.#depart(session, media)
    move.media.changed()
    if (!move.waiting) this.#presence.repeat()
    if (this.local.screenOn) move.media.publishScreen().catch(() => undefined)
    this.emit('path', move.media.state)
    for (const part of everything) this.emit(part, undefined)
    this.emit('migrated', undefined)
  }

  /** Leaves the old node once the others have had time to take up the new one. */
  #depart(session: Session, media: Media): void {
    const depart = (): void => {
      clearTimeout(timer)
      this.#departing = undefined
      session.close()
      media.end()
    }
    const timer = setTimeout(depart, farewell)
    this.#departing = depart
  }

  /** The machine may have another address: what was connected from the old one is lost. */
  #rerouted(): void {
    if (this.#state === 'idle' || this.#state === 'closed') return
    this.#search.lose()
    this.#session?.renew()
  }

  /** Nothing may come over the path of media. Where the socket is dead too, the network is another one. */
  async #doubt(): Promise<void> {
    if (this.#session?.connected && !(await this.#session.probe())) this.#search.lose()
  }

  /** Nothing comes over the path of media. Over a living socket another one is looked for, else once there is a new socket. */
  #silent(media: Media): void {
    this.#search.lose()
    if (this.#session?.connected) this.#search.look(media)
  }

  #lost(): void {
    if (this.#move) this.#move.hurry()
    this.#become('reconnecting')
  }

  /** Waits until the client is in the room, in its lobby, or out. */
  #settled(): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: ParleyError): void => {
        clearTimeout(timer)
        stop()
        error ? reject(error) : resolve()
      }
      const timer = setTimeout(() => done(new ParleyError('timeout', 'The room did not answer in time.')), helloTimeout)
      const stop = this.on('state', state => {
        if (state === 'joined' || state === 'waiting') done()
        if (state === 'closed') done(this.#error ?? new ParleyError('closed', 'The meeting is closed.'))
      })
    })
  }

  /** Says hello with the first offer, once the socket is `opened`. The answer comes when one is let in, however long that takes. */
  async #hello(opened?: Promise<void>): Promise<void> {
    const participant_id = this.#ticket?.participant_id ?? ''
    this.#greeting = true
    try {
      await this.#media.exchange(async (sdp_offer, tracks) => {
        await opened
        return this.#request('participant.hello', { participant_id, display_name: this.#name, sdp_offer, tracks }, 0)
      })
    } finally {
      this.#greeting = false
    }
  }

  #helloFailed(error: unknown): void {
    // A lost socket is the session's matter, and the end of the meeting is told by a message of its own.
    const { code } = ParleyError.from(error)
    if (code !== 'closed' && this.#state !== 'closed') this.#close('failed', ParleyError.from(error))
  }

  #receive(message: Message): void {
    if (message.type === 'room.snapshot') this.#snapshot(message.slots ?? [])
    if (message.type === 'session.ice_servers') {
      this.#renewServers(message.ice_servers)
      return
    }
    if (message.type === 'session.migrate') {
      this.#migrate(message)
      return
    }
    // During a move the old node says of this client what the new one makes of it, which may be behind.
    if (this.#move && message.type === 'room.presence_changed' && message.participant_id === this.self.id) {
      if (!message.audio_muted && !message.video_muted) return
    }
    const parts = this.roster.apply(message)
    switch (message.type) {
      case 'room.snapshot':
        this.#become('joined')
        break
      case 'room.waiting':
        this.#waitingFor = message.reason
        this.#become('waiting')
        break
      case 'room.ended':
        this.#close(message.reason)
        return
      case 'media.layers':
        this.#media.setLayers(message.track_id, { layers: message.wanted ?? [], sizes: message.spatial_layers })
        break
      case 'chat.message':
        this.#move?.heard(message)
        if (!this.#moved?.repeats(message)) this.#chat(message)
        break
      case 'error':
        this.#problem(new ParleyError(message.code, message.message))
    }
    if (parts.includes('tracks') || parts.includes('slots')) this.#media.changed()
    if (parts.includes('participants')) this.#presence.reconcile()
    for (const part of parts) this.emit(part, undefined)
  }

  #chat(message: Chat): void {
    this.#messages = [...this.#messages, message].slice(-keptMessages)
    this.emit('chat', message)
  }

  /** A room that knows none of our slots has lost our connection: it gets a new one, with a hello of its own. */
  #snapshot(slots: readonly unknown[]): void {
    if (this.#state !== 'reconnecting' || slots.length > 0) return
    this.#anew()
  }

  #restored(known: boolean): void {
    if (this.#greeting) return
    if (!known) {
      this.#anew()
      return
    }
    if (this.#state === 'reconnecting') this.#become('joined')
    this.#presence.repeat()
    this.#search.look(this.#media)
  }

  #anew(): void {
    this.#search.forget()
    this.#publishes = this.self.role !== 'viewer'
    this.#media.start(this.#publishes)
    this.#media.setIce(this.#ice(this.#ticket))
    this.#presence.repeat()
    if (this.#state !== 'waiting' && this.self.id !== '') this.emit('rejoined', undefined)
    this.#hello().catch(error => this.#helloFailed(error))
  }

  /** The credentials of the join call end some time: from now on these are good. */
  #renewServers(iceServers: RTCIceServer[]): void {
    if (!this.#ticket) return
    this.#ticket = { ...this.#ticket, ice_servers: iceServers }
    this.#media.setIce(this.#ice(this.#ticket))
  }

  #ice(ticket: JoinTicket | undefined): IceOptions {
    return { iceServers: ticket?.ice_servers ?? [], iceTransportPolicy: this.#icePolicy }
  }

  #problem(problem: ParleyError): void {
    this.#problems = [...this.#problems, problem].slice(-keptProblems)
    this.emit('problem', problem)
  }

  #localChanged(): void {
    this.#presence.update()
    this.emit('participants', undefined)
  }

  /** The server turned a source down and has said why in a message of its own. */
  #refused(source: Source): void {
    if (source === 'camera') void this.local.closeCamera()
    if (source === 'screen' || source === 'screen_audio') this.local.closeScreen()
  }

  async #answer(type: 'participant.admit' | 'participant.deny', participantId: string): Promise<void> {
    await this.#request(type, { participant_id: participantId })
    this.roster.answered(participantId)
    this.emit('waiting', undefined)
  }

  #request: Session['request'] = (type, body, wait) => {
    if (!this.#session) return Promise.reject(new ParleyError('closed', 'Not in a meeting.'))
    return this.#session.request(type, body, wait)
  }

  /** The requests of media: none any more once others have taken their place. */
  #requestOf(media: Media): Session['request'] {
    return (type, body, wait) =>
      this.#media === media
        ? this.#request(type, body, wait)
        : Promise.reject(new ParleyError('closed', 'The client has moved.'))
  }

  #become(state: ClientState): void {
    if (this.#state === state) return
    this.#state = state
    if (state === 'joined') this.#presence.update()
    this.emit('state', state)
  }

  #close(reason: CloseReason, error?: ParleyError): void {
    if (this.#state === 'closed') return
    this.#reason = reason
    this.#error = error
    this.#session?.close()
    this.#session = undefined
    this.#move?.abandon()
    this.#move = undefined
    this.#moved = undefined
    this.#departing?.()
    this.#presence.reset()
    this.#media.close()
    this.#become('closed')
  }
}
