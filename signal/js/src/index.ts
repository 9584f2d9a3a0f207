/**
 * The client library of Parley for browsers: join a meeting, publish a camera, a microphone and a screen, show others,
 * and see what happens in the room. Begin with {@link Client}.
 */
export { Backoff } from './backoff.ts'
export {
  Client,
  type ClientEvents,
  type ClientOptions,
  type ClientState,
} from './client.ts'
export type { CloseReason } from './closing.ts'
export type { Scalable, ScalableCodec, VideoOptions } from './codec.ts'
export type { PathState } from './connection.ts'
export { Emitter, type Listener } from './emitter.ts'
export { ParleyError } from './error.ts'
export type { JoinOptions } from './join.ts'
export { type Devices, type LocalEvents, LocalMedia } from './local.ts'
export type { SlotCounts } from './media.ts'
export type { Source } from './outlet.ts'
export {
  type ConnectionTest,
  type CreatedMeeting,
  type Endpoint,
  type JoinRequest,
  type JoinTicket,
  type MeetingSettings,
  Rest,
} from './rest.ts'
export { type Downlink, type Part, type Participant, Roster, type Slot, type Track } from './roster.ts'
export { Socket, type SocketEvents } from './socket.ts'
export type { CandidatePair, CandidateStats, InboundStats, OutboundStats, StatsDigest } from './stats.ts'
export type { View } from './subscription.ts'
export type { Chat, ErrorCode, Identity, Settings, Speaker } from './wire.ts'
