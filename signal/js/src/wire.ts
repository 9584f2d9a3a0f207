// Made from signal/wire/schema.json by "npm run generate". Do not edit.

/**
 * ActiveSpeakers has who speaks now, loudest first.
 */
export interface ActiveSpeakers {
  speakers: Speaker[]
}

/**
 * Speaker is one place in the speaker order.
 */
export interface Speaker {
  participant_id: string
  /**
   * -dBov: 0 loudest, 127 silence
   */
  level: number
}

/**
 * Answer answers hello and offer. Refused lists the mids of sending m-lines that were turned down.
 */
export interface Answer {
  sdp_answer: string
  refused?: string[]
}

/**
 * Candidate is a trickled ICE candidate; a null one ends them.
 */
export interface Candidate {
  candidate: string | null
  sdp_mid?: string
  username_fragment?: string
}

/**
 * Chat is a chat message as delivered, to its sender too. A private one has To and reaches nobody else.
 */
export interface Chat {
  from: string
  text: string
  to?: string
  private?: boolean
  /**
   * RFC 3339 with milliseconds, the server's clock
   */
  sent_at: string
}

/**
 * ChatSend is a chat message to everyone, or to one participant.
 */
export interface ChatSend {
  text: string
  to?: string
}

/**
 * Downlink is what the server knew of the way to the receiver when it told of slots. Rates are bits a second with the headers of
 * IP and UDP.
 */
export interface Downlink {
  /**
   * what it carries
   */
  estimate: number
  /**
   * what all slots could use
   */
  wanted: number
  /**
   * what they are given
   */
  allocated: number
  /**
   * what keeps the estimate from being higher: delay, loss, remb, reports, silence
   */
  limit?: string
  /**
   * that packets wait on it
   */
  queue_ms: number
  /**
   * part of the packets, lately
   */
  lost: number
}

/**
 * Empty is the body of messages that say everything by their type: room.lock, room.unlock and room.end (host only), and of
 * the server room.admitted and ok.
 */
export interface Empty {}
/**
 * Ended tells everyone that the meeting is over for them.
 */
export interface Ended {
  reason: 'ended' | 'removed' | 'denied'
}

/**
 * Envelope is what every message has beside its own fields.
 */
export interface Envelope {
  type: string
  /**
   * chosen by a client that wants an answer
   */
  id?: string
  /**
   * the ID of the request that this answers
   */
  reply_to?: string
  /**
   * of events, counted from 1 in each session without gaps
   */
  seq?: number
}

/**
 * Error answers a bad request, or comes before a close.
 */
export interface Error {
  /**
   * one of ErrorCodes; stable
   */
  code: string
  /**
   * a sentence for people
   */
  message: string
}

/**
 * Hello is the first message on a new socket. SDPOffer may be empty: then the participant is in the room without media.
 */
export interface Hello {
  participant_id: string
  display_name: string
  sdp_offer: string
  tracks?: TrackHint[]
}

/**
 * TrackHint names the source behind one sending m-line of an offer.
 */
export interface TrackHint {
  mid: string
  source: 'camera' | 'microphone' | 'screen' | 'screen_audio'
}

/**
 * ICEServer is a STUN or TURN server for the receiver (RTCIceServer in browsers).
 */
export interface ICEServer {
  urls: string[]
  username?: string
  /**
   * a secret
   */
  credential?: string
}

/**
 * ICEServers takes the place of the join call's ice_servers, whose credentials end at some time: a client uses them for
 * every connection and ICE restart from now on. It has no Seq, and comes now and then, and first of all after a resume.
 */
export interface ICEServers {
  ice_servers: ICEServer[]
}

/**
 * Identity is the part of a participant that never changes.
 */
export interface Identity {
  id: string
  display_name: string
  role: 'host' | 'attendee' | 'viewer'
}

/**
 * Layers tells a publisher which layers of a track to send; it pauses the others.
 */
export interface Layers {
  track_id: string
  wanted: string[]
  /**
   * SpatialLayers is how many sizes to send of a stream that has several in itself, the smallest first; 0 for all.
   */
  spatial_layers?: number
}

/**
 * Migrate asks the receiver to move to another node, because this one drains. The client opens a second socket there with
 * the join token and says hello; the session here goes on until the client closes its socket, normally and without a
 * word, or until the server does. It has no Seq, and comes again to who has not moved after a while. A client that does
 * not know it is cut off with CloseGoingAway in the end, and resumes.
 */
export interface Migrate {
  /**
   * the whole WebSocket URL
   */
  signal_endpoint: string
  sfu_endpoint: string
  join_token: string
  /**
   * for the new connection, in the place of those of the join call; without it those stay
   */
  ice_servers?: ICEServer[]
}

/**
 * Mute is the body of participant.mute: host only. It mutes; only the participant can unmute.
 */
export interface Mute {
  participant_id: string
  /**
   * absent means microphone
   */
  source?: 'microphone' | 'camera'
}

/**
 * Offer renegotiates: more tracks, more slots, or an ICE restart.
 */
export interface Offer {
  sdp_offer: string
  tracks?: TrackHint[]
}

/**
 * Participant is one participant's public state.
 */
export interface Participant {
  id: string
  display_name: string
  role: 'host' | 'attendee' | 'viewer'
  audio_muted: boolean
  video_muted: boolean
  hand_raised: boolean
  screen_sharing: boolean
}

/**
 * ParticipantEvent is the body of participant_joined, participant_left and knock. Bursts share a message: then
 * Participants has them all, Participant the first. Hosts are also told by participant_left of somebody who knocked and
 * went away or was denied.
 */
export interface ParticipantEvent {
  participant: Identity
  participants?: Identity[]
}

/**
 * PresenceChanged has what changed of one participant; absent fields stayed as they are.
 */
export interface PresenceChanged {
  participant_id: string
  audio_muted?: boolean
  video_muted?: boolean
  hand_raised?: boolean
  screen_sharing?: boolean
}

/**
 * PresenceUpdate changes any of the sender's own presence; absent fields stay as they are.
 */
export interface PresenceUpdate {
  audio_muted?: boolean
  video_muted?: boolean
  hand_raised?: boolean
  screen_sharing?: boolean
}

/**
 * Resume comes first on a new socket that was opened with the resume token, or on a live socket after a gap. It is
 * answered by the events after LastSeq, or by a room.snapshot where those are no longer kept.
 */
export interface Resume {
  last_seq: number
}

/**
 * Settings are what a meeting's host has decided.
 */
export interface Settings {
  max_participants: number
  max_cameras: number
  waiting_room: boolean
  guests: boolean
  locked: boolean
}

/**
 * SettingsChanged has the room's settings after a lock, an unlock or a change of the meeting.
 */
export interface SettingsChanged {
  settings: Settings
}

/**
 * Slot is what one receiving m-line now carries.
 */
export interface Slot {
  mid: string
  track_id?: string
  participant_id?: string
  kind: 'audio' | 'video'
  source?: 'camera' | 'microphone' | 'screen' | 'screen_audio'
  layer?: string
  state: 'active' | 'paused' | 'empty'
  /**
   * why it is paused: muted, requested, bandwidth, unsupported_codec; why an active one is smaller than it could be: bandwidth; or not heard: no_packets
   */
  reason?: string
}

/**
 * SlotRequest asks for one track in one slot.
 */
export interface SlotRequest {
  mid: string
  track_id?: string
  /**
   * device pixels; 0 is no limit
   */
  max_width?: number
  /**
   * device pixels; 0 is no limit
   */
  max_height?: number
  /**
   * higher first
   */
  priority?: number
  paused?: boolean
}

/**
 * Slots has every slot of the receiver.
 */
export interface Slots {
  slots: Slot[]
  downlink?: Downlink1
}

/**
 * absent while nothing is known of it
 */
export interface Downlink1 {
  /**
   * what it carries
   */
  estimate: number
  /**
   * what all slots could use
   */
  wanted: number
  /**
   * what they are given
   */
  allocated: number
  /**
   * what keeps the estimate from being higher: delay, loss, remb, reports, silence
   */
  limit?: string
  /**
   * that packets wait on it
   */
  queue_ms: number
  /**
   * part of the packets, lately
   */
  lost: number
}

/**
 * Snapshot is the whole state of the room, on hello and after a gap. Events after it carry a Seq above its own.
 */
export interface Snapshot {
  self: Participant
  settings: Settings
  /**
   * everyone, self included
   */
  participants: Participant[]
  tracks: Track[]
  slots: Slot[]
  speakers: Speaker[]
  /**
   * hosts only
   */
  waiting?: Identity[]
  resume_token: string
}

/**
 * Track is one published source of media.
 */
export interface Track {
  id: string
  participant_id: string
  kind: 'audio' | 'video'
  source: 'camera' | 'microphone' | 'screen' | 'screen_audio'
  /**
   * rids, lowest first; empty for audio
   */
  layers: string[]
}

/**
 * SubscriptionUpdate is the sender's whole wish for its slots: Mode "auto", or Slots by hand. In a slot by hand an empty
 * TrackID lets the server choose the track and keeps the size.
 */
export interface SubscriptionUpdate {
  /**
   * absent means manual
   */
  mode?: 'auto' | 'manual'
  slots?: SlotRequest[]
}

/**
 * Target is the body of participant.admit, deny and remove: host only.
 */
export interface Target {
  participant_id: string
}

/**
 * TrackEvent is the body of track_published and track_unpublished.
 */
export interface TrackEvent {
  track: Track
}

/**
 * Waiting tells a participant that it is in the lobby.
 */
export interface Waiting {
  reason: 'waiting_room' | 'locked'
}

/** What a client sends: the body of each message by its type. */
export interface ClientMessages {
  'chat.message': ChatSend
  'ice.candidate': Candidate
  'participant.admit': Target
  'participant.deny': Target
  'participant.hello': Hello
  'participant.mute': Mute
  'participant.offer': Offer
  'participant.remove': Target
  'participant.resume': Resume
  'presence.update': PresenceUpdate
  'room.end': Empty
  'room.lock': Empty
  'room.unlock': Empty
  'subscription.update': SubscriptionUpdate
}

/** What a server sends: the body of each message by its type. */
export interface ServerMessages {
  'chat.message': Chat
  'error': Error
  'media.layers': Layers
  'media.slots': Slots
  'ok': Empty
  'room.active_speakers': ActiveSpeakers
  'room.admitted': Empty
  'room.ended': Ended
  'room.knock': ParticipantEvent
  'room.participant_joined': ParticipantEvent
  'room.participant_left': ParticipantEvent
  'room.presence_changed': PresenceChanged
  'room.settings_changed': SettingsChanged
  'room.snapshot': Snapshot
  'room.track_published': TrackEvent
  'room.track_unpublished': TrackEvent
  'room.waiting': Waiting
  'session.ice_servers': ICEServers
  'session.migrate': Migrate
  'sfu.answer': Answer
}

/** The close codes of a session. */
export const closeCodes = {
  bad_request: 4100,
  denied: 4101,
  ended: 4103,
  full: 4102,
  going_away: 4002,
  rate: 4105,
  removed: 4104,
  replaced: 4001,
  slow: 4000,
  too_big: 4106,
} as const

/** The codes of errors that a server answers with. */
export type ErrorCode =
  | 'invalid_message'
  | 'unknown_type'
  | 'message_too_big'
  | 'rate_limited'
  | 'not_host'
  | 'not_found'
  | 'denied'
  | 'room_full'
  | 'cameras_full'
  | 'publish_denied'
  | 'meeting_ended'
  | 'removed'
  | 'locked'
  | 'token_invalid'
  | 'token_expired'
  | 'token_revoked'
  | 'session_unknown'
  | 'bad_sdp'
  | 'internal'
