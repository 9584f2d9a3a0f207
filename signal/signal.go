// Package signal is the WebSocket edge of Parley: sessions, the roster of each room, the lobby, moderation, chat, and
// the fan-out of all that to the room's participants on this node and, over the bus, on the others.
//
// It is not the media plane: it hands offers to the SFU and passes on what the SFU tells. It owns its sockets and the
// in-memory state of the rooms of this node; nothing of it is on disk.
package signal

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// Peer is a participant's connection to the SFU. *node.Peer is one.
type Peer interface {
	Offer(context.Context, node.Offer) (node.Answer, error)
	Subscribe(node.Subscription) error
	SetMuted(node.Source, bool)
	Close()
}

// Media is what signalling needs of the SFU; see OnNode.
type Media interface {
	// Join gives the participant a new peer. An older one with the same id is replaced.
	Join(PeerConfig) (Peer, error)
}

// Bus carries rooms between nodes. *bus.Bus is one.
type Bus interface {
	Publish(subject string, data []byte) error
	Subscribe(subject string, f func(subject string, data []byte)) (unsubscribe func(), err error)
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
	Serve(subject string, f func(ctx context.Context, data []byte) ([]byte, error)) (stop func(), err error)
	Connected() bool
}

// Keys verifies what clients show and issues what they resume with. *grant.Keyring is one.
type Keys interface {
	VerifyJoin(token string) (grant.Claims, error)
	VerifyResume(token string) (grant.Claims, error)
	IssueResume(grant.Claims) (token string, expires time.Time, err error)
}

// Revocations bars people for good. *grant.Revocations is one.
type Revocations interface {
	Meeting(ctx context.Context, meetingID string) error
	Participant(ctx context.Context, meetingID, participantID string) error
	Subject(ctx context.Context, meetingID, subject string) error
	Revoked(grant.Claims) bool
}

// Deps is what a Service works with. All are needed.
type Deps struct {
	Media    Media
	Speakers *Speakers // that the SFU was given as its RoomEvents
	Bus      Bus
	Keys     Keys
	Revoked  Revocations
	NodeID   string
	Log      *slog.Logger
}

// Participant is one participant as the REST plane shows it.
type Participant struct {
	wire.Participant
	State    State
	JoinedAt time.Time
}

// State says where a participant is.
type State string

// The states of a participant.
const (
	Joined       State = "joined"
	Waiting      State = "waiting"      // in the lobby
	Reconnecting State = "reconnecting" // its socket is lost, its place is kept for a while
)

// Service serves GET /v1/signal and everything behind it. All methods are safe for concurrent use. Errors of its
// methods are *node.Error.
type Service struct{}

// New returns a Service that Run starts.
func New(cfg Config, d Deps) (*Service, error) { return &Service{}, nil }

// Run serves until ctx ends; then it closes every socket and returns nil.
func (s *Service) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// ServeHTTP answers GET /v1/signal: it upgrades to a WebSocket and serves the session until it ends.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// Participants lists everybody in the meeting's room, also those who wait.
func (s *Service) Participants(meetingID string) []Participant { return nil }

// Admit lets a waiting participant in.
func (s *Service) Admit(ctx context.Context, meetingID, participantID string) error { return nil }

// Deny turns a waiting participant away for good.
func (s *Service) Deny(ctx context.Context, meetingID, participantID string) error { return nil }

// Remove throws a participant out for good.
func (s *Service) Remove(ctx context.Context, meetingID, participantID string) error { return nil }

// Mute mutes one source, microphone or camera, of a participant; only the participant can unmute it.
func (s *Service) Mute(ctx context.Context, meetingID, participantID, source string) error {
	return nil
}

// SetLocked locks or unlocks the room: a locked one holds newcomers in the lobby.
func (s *Service) SetLocked(ctx context.Context, meetingID string, locked bool) error { return nil }

// Locked says whether the room is locked.
func (s *Service) Locked(meetingID string) bool { return false }

// End ends the meeting for everybody, for good.
func (s *Service) End(ctx context.Context, meetingID string) error { return nil }

// SetSettings brings changed settings to a live room. The highest revision wins.
func (s *Service) SetSettings(ctx context.Context, meetingID string, settings grant.Settings) error {
	return nil
}
