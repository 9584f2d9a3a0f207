import type { Message } from './message.ts'
import type * as wire from './wire.ts'

/** Everyone in a room with their state. */
export type Participant = Readonly<wire.Participant>
/** One published source of media. */
export type Track = Readonly<wire.Track>
/** What one receiving m-line now carries. */
export type Slot = Readonly<wire.Slot>

/** What the server knew of the way to this page when it last told of slots. */
export type Downlink = Readonly<wire.Downlink>

/** The parts of a room's state, as the events that tell of their change are called. */
export type Part = 'participants' | 'tracks' | 'slots' | 'speakers' | 'waiting' | 'settings'

/** All parts of a room's state. */
export const everything: readonly Part[] = ['participants', 'tracks', 'slots', 'speakers', 'waiting', 'settings']
const nobody: Participant = {
  id: '',
  display_name: '',
  role: 'attendee',
  audio_muted: false,
  video_muted: false,
  hand_raised: false,
  screen_sharing: false,
}

/** The room as the server tells it: one reader of its messages, which says what each of them changed. */
export class Roster {
  #selfId = ''
  #participants = new Map<string, Participant>()
  #tracks = new Map<string, Track>()
  #slots: readonly Slot[] = []
  #downlink: Downlink | undefined
  #speakers: readonly wire.Speaker[] = []
  #waiting = new Map<string, wire.Identity>()
  #settings: Readonly<wire.Settings> | undefined

  /** This participant; without a name before the first snapshot. */
  get self(): Participant {
    return this.#participants.get(this.#selfId) ?? nobody
  }

  /** Everyone, self included, in the order in which they came. */
  get participants(): readonly Participant[] {
    return [...this.#participants.values()]
  }

  /** Every published track, one's own included. */
  get tracks(): readonly Track[] {
    return [...this.#tracks.values()]
  }

  get slots(): readonly Slot[] {
    return this.#slots
  }

  /** What the way from the server carries; undefined while the server knows nothing of it. */
  get downlink(): Downlink | undefined {
    return this.#downlink
  }

  /** Who speaks now, loudest first. */
  get speakers(): readonly wire.Speaker[] {
    return this.#speakers
  }

  /** Who knocks; known to hosts only. */
  get waiting(): readonly Readonly<wire.Identity>[] {
    return [...this.#waiting.values()]
  }

  get settings(): Readonly<wire.Settings> | undefined {
    return this.#settings
  }

  /** Takes over what another roster has. */
  become(other: Roster): void {
    this.#selfId = other.#selfId
    this.#participants = new Map(other.#participants)
    this.#tracks = new Map(other.#tracks)
    this.#slots = other.#slots
    this.#downlink = other.#downlink
    this.#speakers = other.#speakers
    this.#waiting = new Map(other.#waiting)
    this.#settings = other.#settings
  }

  participant(id: string): Participant | undefined {
    return this.#participants.get(id)
  }

  /** The track of a participant's source. */
  track(participantId: string, source: string): Track | undefined {
    for (const track of this.#tracks.values()) {
      if (track.participant_id === participantId && track.source === source) return track
    }
    return undefined
  }

  /** Takes a message in and returns what it changed; nothing for messages that are not about the room's state. */
  apply(message: Message): readonly Part[] {
    switch (message.type) {
      case 'room.snapshot':
        return this.#restart(message)
      case 'room.participant_joined':
        for (const identity of identities(message)) this.#join(identity)
        return ['participants', 'waiting']
      case 'room.participant_left':
        for (const identity of identities(message)) this.#leave(identity.id)
        return ['participants', 'tracks', 'speakers', 'waiting']
      case 'room.presence_changed':
        return this.#presence(message)
      case 'room.track_published':
        this.#tracks.set(message.track.id, message.track)
        return ['tracks']
      case 'room.track_unpublished':
        return this.#tracks.delete(message.track.id) ? ['tracks'] : []
      case 'room.settings_changed':
        this.#settings = message.settings
        return ['settings']
      case 'media.slots':
        this.#slots = message.slots
        this.#downlink = message.downlink
        return ['slots']
      case 'room.active_speakers':
        this.#speakers = message.speakers
        return ['speakers']
      case 'room.knock':
        for (const identity of identities(message)) this.#waiting.set(identity.id, identity)
        return ['waiting']
      default:
        return []
    }
  }

  /** Somebody was let in or turned away by this host: they wait no longer. */
  answered(participantId: string): void {
    this.#waiting.delete(participantId)
  }

  #restart(snapshot: wire.Snapshot): readonly Part[] {
    this.#selfId = snapshot.self.id
    this.#participants = new Map([...list(snapshot.participants), snapshot.self].map(one => [one.id, one]))
    this.#tracks = new Map(list(snapshot.tracks).map(track => [track.id, track]))
    this.#slots = list(snapshot.slots)
    this.#speakers = list(snapshot.speakers)
    this.#waiting = new Map(list(snapshot.waiting).map(one => [one.id, one]))
    this.#settings = snapshot.settings
    return everything
  }

  #join(identity: wire.Identity): void {
    this.#waiting.delete(identity.id)
    const known = this.#participants.get(identity.id)
    this.#participants.set(identity.id, { ...(known ?? nobody), ...identity })
  }

  #leave(id: string): void {
    this.#waiting.delete(id)
    if (id === this.#selfId) return
    this.#participants.delete(id)
    for (const track of this.#tracks.values()) {
      if (track.participant_id === id) this.#tracks.delete(track.id)
    }
    this.#speakers = this.#speakers.filter(speaker => speaker.participant_id !== id)
  }

  #presence(change: wire.PresenceChanged): readonly Part[] {
    const known = this.#participants.get(change.participant_id)
    if (!known) return []
    this.#participants.set(known.id, {
      ...known,
      audio_muted: change.audio_muted ?? known.audio_muted,
      video_muted: change.video_muted ?? known.video_muted,
      hand_raised: change.hand_raised ?? known.hand_raised,
      screen_sharing: change.screen_sharing ?? known.screen_sharing,
    })
    return ['participants']
  }
}

/** An absent list and a null one (which Go writes for an empty one) are both empty. */
function list<T>(values: readonly T[] | null | undefined): readonly T[] {
  return values ?? []
}

function identities(event: wire.ParticipantEvent): readonly wire.Identity[] {
  const all = list(event.participants)
  return all.length > 0 ? all : [event.participant]
}
