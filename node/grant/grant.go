// Package grant issues and verifies the tokens that let a participant in: the join token, good for five minutes, and the
// resume token, with which a call outlives it.
//
// Both are JWTs (RFC 7519) that carry everything a node needs to admit their bearer, so that verifying one is local: no
// store, no call. A Keyring holds the private key that this node signs with and the public keys of all nodes; the
// public ones are replicated through a Store. Revocations are replicated the same way, and asked in memory.
//
// Whoever can write to the Store can let anybody in: it is as trusted as the cluster's own nodes.
//
// The package does not decide who may join (that is the API's), knows no HTTP, and does not import the bus:
// *bus.Bucket satisfies Store as it is. Neither bucket wants a TTL shorter than Config.ResumeTTL; the keys' bucket needs
// none, because expired keys are deleted, and the revocations' should outlast the meetings.
package grant

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The reasons to refuse a token; test for them with errors.Is.
var (
	// ErrTokenInvalid: the token was not issued by this cluster for this purpose, or was changed, or is not valid yet.
	ErrTokenInvalid = errors.New("token invalid")
	// ErrTokenExpired: the token was valid.
	ErrTokenExpired = errors.New("token expired")
	// ErrTokenUnknownKey: no live key has the token's kid. It is an ErrTokenInvalid too.
	ErrTokenUnknownKey = fmt.Errorf("%w: unknown key", ErrTokenInvalid)
)

// Store is a small replicated set of values. Its methods fail in bounded time when it cannot be reached.
type Store interface {
	// Put writes key; the revision is not used here.
	Put(ctx context.Context, key string, value []byte) (revision uint64, err error)
	// Delete removes key, which need not be there.
	Delete(ctx context.Context, key string) error
	// WatchValues calls f for every value, then caughtUp (which may be nil), then f for each change, one at a time,
	// until ctx ends, when it returns nil. It survives outages.
	WatchValues(ctx context.Context, f func(key string, value []byte, deleted bool), caughtUp func()) error
}

// Role is what a participant may do.
type Role string

// The roles.
const (
	Host     Role = "host"     // publishes and moderates
	Attendee Role = "attendee" // publishes
	Viewer   Role = "viewer"   // watches
)

// Valid says whether r is one of the roles.
func (r Role) Valid() bool { return r == Host || r == Attendee || r == Viewer }

// Candidate is a node that can carry the participant.
type Candidate struct {
	Node           string `json:"node"`
	Region         string `json:"region"`
	SFUEndpoint    string `json:"sfu_endpoint"`    // host:port of media
	SignalEndpoint string `json:"signal_endpoint"` // the whole WebSocket URL
}

// Settings are the meeting's settings when the token was issued. They travel in the token so that the first node of a
// room knows them without a store; of several, the highest Revision counts.
type Settings struct {
	Revision        uint64 `json:"revision"`
	MaxParticipants int    `json:"max_participants"`
	MaxCameras      int    `json:"max_cameras"`
	WaitingRoom     bool   `json:"waiting_room"`
	Guests          bool   `json:"guests"`
}

// Claims are what a token says.
type Claims struct {
	MeetingID     string
	ParticipantID string
	DisplayName   string
	Role          Role
	Region        string
	Nodes         []Candidate // best first, three at most
	Settings      Settings
	Subject       string  // the user token's sub; empty for guests
	RequestID     string  // of the join call, to follow a join through the logs
	Tracks        []Track // what the participant publishes already, for a node that knows nothing of it; MaxTracks at most
	Seat          *Seat   // the place it has in the room already; nil: it has none

	// Set by Issue*, whatever the caller put there, and returned by Verify*.
	ID        string // jti
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// Track is a track that a participant publishes: on another node it goes on under the same id.
type Track struct {
	ID     string `json:"id"`
	Source string `json:"source"`
}

// Seat is a participant's place in a room. The node that it moves away from writes it into the join token of the move: who
// has a seat is not held in the lobby, and looks the same to everybody on the other side.
type Seat struct {
	JoinedAt      int64 `json:"joined_at"` // milliseconds since 1970
	AudioMuted    bool  `json:"audio_muted,omitempty"`
	VideoMuted    bool  `json:"video_muted,omitempty"`
	HandRaised    bool  `json:"hand_raised,omitempty"`
	ScreenSharing bool  `json:"screen_sharing,omitempty"`
}

// Bounds of what a token carries, so that it stays below maxToken.
const (
	MaxTracks  = 8 // of Claims.Tracks
	maxTrackID = 64
)

// maxCandidates is how many nodes a token names at most.
const maxCandidates = 3

// check says what is wrong with c, whoever made it.
func (c Claims) check() error {
	switch {
	case c.MeetingID == "":
		return errors.New("meetingId is missing")
	case c.ParticipantID == "":
		return errors.New("participantId is missing")
	case !c.Role.Valid():
		return fmt.Errorf("role %q does not exist", c.Role)
	case len(c.Nodes) > maxCandidates:
		return fmt.Errorf("%d nodes are more than %d", len(c.Nodes), maxCandidates)
	case len(c.Tracks) > MaxTracks:
		return fmt.Errorf("%d tracks are more than %d", len(c.Tracks), MaxTracks)
	}
	for _, t := range c.Tracks {
		if t.ID == "" || len(t.ID) > maxTrackID || len(t.Source) > maxTrackID {
			return fmt.Errorf("track %.80q of %.80q: an id and a source have at most %d bytes", t.ID, t.Source, maxTrackID)
		}
	}
	return nil
}
