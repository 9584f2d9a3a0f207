// Package wire has the messages of Parley's signalling protocol as Go structs: the one definition that the server, both
// client libraries and the JSON Schema follow. It moves no bytes and knows no rooms.
//
// A message is one JSON object in one WebSocket text message: the fields of Envelope and the fields of the type's own
// struct side by side. The schema is schema.json beside this file, made from the structs by a test.
package wire

// Subprotocol is the WebSocket subprotocol that both ends speak. A browser sends its token as a second subprotocol with
// the prefix BearerProtocol; only Subprotocol is ever echoed.
const (
	Subprotocol    = "parley.v1"
	BearerProtocol = "bearer."
)

// Envelope is what every message has beside its own fields.
type Envelope struct {
	Type    string `json:"type"`
	ID      string `json:"id,omitempty"`       // chosen by a client that wants an answer
	ReplyTo string `json:"reply_to,omitempty"` // the ID of the request that this answers
	Seq     uint64 `json:"seq,omitempty"`      // of events, counted from 1 in each session without gaps
}

// The close codes of a session (RFC 6455, the private range). A client may resume after those below 4100 and may not
// after the others.
const (
	CloseSlow       = 4000 // the client read too slowly and was dropped
	CloseReplaced   = 4001 // a newer socket resumed this session
	CloseGoingAway  = 4002 // the node stops, or has drained for too long: resume elsewhere
	CloseBadRequest = 4100 // the message before made no sense
	CloseDenied     = 4101 // the token was refused
	CloseFull       = 4102 // the room is full
	CloseEnded      = 4103 // the meeting has ended
	CloseRemoved    = 4104 // the participant was removed or denied
	CloseRate       = 4105 // too many messages
	CloseTooBig     = 4106 // a message over the limit
)

// The codes of Error.
const (
	CodeInvalidMessage = "invalid_message" // not JSON, or a field that is missing, unknown or out of range
	CodeUnknownType    = "unknown_type"    // no such message type
	CodeMessageTooBig  = "message_too_big" // fatal
	CodeRateLimited    = "rate_limited"    // fatal unless it has a reply_to
	CodeNotHost        = "not_host"        // only hosts may
	CodeNotFound       = "not_found"       // no such participant in this room
	CodeDenied         = "denied"          // not allowed now, or not to this participant
	CodeRoomFull       = "room_full"       // max_participants, or the lobby
	CodeCamerasFull    = "cameras_full"    // max_cameras
	CodePublishDenied  = "publish_denied"  // a viewer wanted to publish
	CodeMeetingEnded   = "meeting_ended"
	CodeRemoved        = "removed"
	CodeLocked         = "locked"
	CodeTokenInvalid   = "token_invalid"
	CodeTokenExpired   = "token_expired"
	CodeTokenRevoked   = "token_revoked"
	CodeSessionUnknown = "session_unknown" // nothing to resume: say hello
	CodeBadSDP         = "bad_sdp"
	CodeInternal       = "internal"
)
