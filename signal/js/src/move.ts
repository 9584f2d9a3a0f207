import type { IceOptions } from './connection.ts'
import { ParleyError } from './error.ts'
import type { LocalMedia } from './local.ts'
import { Media, type SlotCounts } from './media.ts'
import type { Message } from './message.ts'
import { Roster } from './roster.ts'
import { Session, type SessionOptions } from './session.ts'
import type { Chat, Migrate } from './wire.ts'

/** What a move starts from. */
export interface MoveOptions {
  /** Where to, as the server says. */
  to: Migrate
  participantId: string
  displayName: string
  publish: boolean
  ice: IceOptions
  session: Pick<SessionOptions, 'online' | 'hold'>
  local: LocalMedia
  slots: SlotCounts
  /** The media and the room as they are on the old node. */
  media: Media
  roster: Roster
}

// In milliseconds.
const moveTime = 15_000
/** For media to flow: shorter than the server keeps the old path once it has seen the new one. */
const flowTime = 6_000
const showTime = 2_000
const poll = 50

/**
 * The way of a client to another node while it is still on the old one: a session, a roster and media of their own, which
 * become the client's once they can do what the old ones do. Until then nobody hears of them.
 */
export class Move {
  readonly session: Session
  readonly roster = new Roster()
  readonly media: Media
  /** Whether the new node keeps the client in its lobby. */
  waiting: 'waiting_room' | 'locked' | undefined
  /** The answer to the hello, which in the lobby comes on admission. */
  greeted: Promise<void> = Promise.resolve()
  #entered = false
  #hurried = false
  #over = false
  #chats: Chat[] = []
  readonly #heard: string[] = []
  readonly #changed = new Set<() => void>()
  readonly #stops: (() => void)[] = []

  /** Those of the new node. */
  get iceServers(): RTCIceServer[] {
    return this.options.ice.iceServers ?? []
  }

  constructor(private readonly options: MoveOptions) {
    const { to, local, slots } = options
    this.session = new Session({ urls: [to.signal_endpoint], token: to.join_token, ...options.session })
    this.media = new Media((type, body, wait) => this.session.request(type, body, wait), this.roster, local, slots)
    this.#stops.push(
      this.session.on('message', message => this.#receive(message)),
      this.session.on('lost', () => this.abandon()),
      this.session.on('closed', () => this.abandon()),
      this.media.on('state', () => this.#wake()),
    )
  }

  /** The chat that came through the new node alone so far. */
  get chats(): readonly Chat[] {
    return this.#chats
  }

  /** Resolves when the client can go on through the new node; rejects when it has to stay where it is. */
  async arrive(): Promise<void> {
    const timer = setTimeout(() => this.abandon(), moveTime)
    try {
      await this.#arrive()
    } catch (error) {
      this.abandon()
      throw error
    } finally {
      clearTimeout(timer)
    }
    for (const stop of this.#stops) stop()
  }

  /** The old socket is lost: there is nothing to wait for any more. */
  hurry(): void {
    this.#hurried = true
    this.#wake()
  }

  /** Gives the move up. */
  abandon(): void {
    if (this.#over) return
    this.#over = true
    for (const stop of this.#stops) stop()
    this.session.close()
    this.media.end()
    this.#wake()
  }

  /** A line came through the old node. */
  heard(chat: Chat): void {
    const at = this.#chats.findIndex(one => keyOf(one) === keyOf(chat))
    if (at >= 0) this.#chats.splice(at, 1)
    else this.#heard.push(keyOf(chat))
  }

  /** Whether a line that comes through the new node after the move has come through the old one before. */
  repeats(chat: Chat): boolean {
    const at = this.#heard.indexOf(keyOf(chat))
    if (at >= 0) this.#heard.splice(at, 1)
    return at >= 0
  }

  async #arrive(): Promise<void> {
    const { media, options } = this
    media.show(options.media.views)
    media.start(options.publish)
    media.setIce(options.ice)
    media.carryOver(options.media)
    await this.session.open()
    this.#check()
    this.greeted = media.exchange(async (sdp_offer, tracks) => {
      const answer = await this.session.request(
        'participant.hello',
        { participant_id: options.participantId, display_name: options.displayName, sdp_offer, tracks },
        0,
      )
      if (answer.type === 'sfu.answer' && answer.refused?.length)
        throw new ParleyError('publish_denied', 'The new node does not take all that is published.')
      return answer
    })
    let settled = false
    this.greeted.then(() => this.#wake(() => (settled = true))).catch(() => this.abandon())
    await this.#until(() => this.waiting !== undefined || (settled && this.#entered))
    if (this.waiting !== undefined) return
    const late = setTimeout(() => this.abandon(), flowTime)
    await this.#until(() => this.#hurried || media.state === 'connected').finally(() => clearTimeout(late))
    const limit = Date.now() + showTime
    while (!this.#hurried && Date.now() < limit && !(await this.#shows())) {
      await new Promise(resolve => setTimeout(resolve, poll))
      this.#check()
    }
    this.#check()
  }

  /** Whether everyone who is known through the old node is through the new one, and all that is received there is here. */
  async #shows(): Promise<boolean> {
    const { roster, media } = this.options
    if (!roster.participants.every(one => this.roster.participant(one.id))) return false
    if (!roster.tracks.every(track => this.roster.track(track.participant_id, track.source))) return false
    const [old, fresh] = await Promise.all([media.received(), this.media.received()])
    return [...old].every(track => fresh.has(track))
  }

  #receive(message: Message): void {
    const parts = this.roster.apply(message)
    switch (message.type) {
      case 'room.snapshot':
        this.#entered = true
        break
      case 'room.waiting':
        this.waiting = message.reason
        break
      case 'media.layers':
        this.media.setLayers(message.track_id, { layers: message.wanted ?? [], sizes: message.spatial_layers })
        break
      case 'chat.message':
        if (!this.repeats(message)) this.#chats.push(message)
        break
      case 'room.ended':
      case 'error':
        this.abandon()
    }
    if (parts.includes('tracks') || parts.includes('slots')) this.media.changed()
    this.#wake()
  }

  #wake(before?: () => void): void {
    before?.()
    for (const look of [...this.#changed]) look()
  }

  /** Waits until something is so; rejects when the move is given up first. */
  #until(so: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!this.#over && !so()) return
        this.#changed.delete(look)
        if (this.#over) reject(abandoned())
        else resolve()
      }
      this.#changed.add(look)
      look()
    })
  }

  #check(): void {
    if (this.#over) throw abandoned()
  }
}

function abandoned(): ParleyError {
  return new ParleyError('closed', 'The other node could not be reached.')
}

function keyOf(chat: Chat): string {
  return JSON.stringify([chat.from, chat.sent_at, chat.to ?? '', chat.text])
}
