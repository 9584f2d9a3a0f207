// Package api is the HTTP edge of a node: the REST control plane of SPEC.md section 2, the health and metrics pages, and
// the door through which the signalling socket and the meeting page are reached. It holds the durable record of
// meetings, decides who may do what, and hands out join tokens. It knows nothing of media, and what happens inside a
// room it asks of the signalling plane.
//
// The contract is openapi.yaml beside this file; the tests check every answer against it.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal"
)

// Deps are what the API needs of the rest of the node. All but Cluster, Relays, Web, Metrics and Ready are required; Signal is not
// where both NoREST and NoSocket are set and there is a Cluster.
type Deps struct {
	Signal  Signal
	Keys    Keys
	Revoked Revocations
	Bus     Bus
	Locator Locator
	Log     *slog.Logger

	// Cluster is all nodes. Without it this node is the only one: the first candidate of its Locator.
	Cluster Cluster
	// Relays are what the join call tells clients of relays. Without it they are told of none.
	Relays Relays
	// Bandwidth is what this node's SFU knows of the way to a participant in a meeting; false when that is nothing. It may be nil.
	Bandwidth func(meetingID, participantID string) (node.Bandwidth, bool)
	// Web serves the meeting page: every GET that is not part of the API. Without it there is no page.
	Web http.Handler
	// Metrics serves /metrics. Without it there is no such page.
	Metrics http.Handler
	// NoREST leaves out the meetings, the regions and the page; NoSocket leaves out GET /v1/signal: other nodes have them.
	// Health, metrics, keys and what concerns the cluster stay.
	NoREST, NoSocket bool
	// Ready says what the node is still waiting for, for /readyz. It is called often and does not block.
	Ready func() []Missing
}

// Signal is the signalling plane: GET /v1/signal, and what a moderator can ask of a room. End and SetSettings are no
// mistake when nobody is in the room. Errors are *node.Error.
type Signal interface {
	http.Handler
	Presence(ctx context.Context, meetingID string) (all []signal.Participant, locked bool, err error)
	Locked(meetingID string) bool // as far as this node knows
	Occupancy() map[string]int    // who is seated through this node, by meeting
	People() int                  // everybody who is on this node
	Admit(ctx context.Context, meetingID, participantID string) error
	Deny(ctx context.Context, meetingID, participantID string) error
	Remove(ctx context.Context, meetingID, participantID string) error
	Mute(ctx context.Context, meetingID, participantID, source string) error
	SetLocked(ctx context.Context, meetingID string, locked bool) error
	SetSettings(ctx context.Context, meetingID string, settings grant.Settings) error
	End(ctx context.Context, meetingID string) error
	// Expect says that somebody was sent to a node's socket for the meeting. It is a hint, and never blocks.
	Expect(meetingID string, settings grant.Settings, signalEndpoint string)
}

// Keys sign join tokens and publish what verifies them.
type Keys interface {
	IssueJoin(grant.Claims) (token string, expires time.Time, err error)
	JWKS() []byte
}

// Revocations remember which tokens are no longer good. Removing a participant is revoked by Signal.
type Revocations interface {
	Meeting(ctx context.Context, meetingID string) error
	Revoked(grant.Claims) bool
}

// Bus opens the buckets that meetings and idempotency keys live in.
type Bus interface {
	Bucket(ctx context.Context, cfg bus.BucketConfig) (*bus.Bucket, error)
}

// Locator knows which nodes can take a participant. Both calls answer from memory.
type Locator interface {
	// Candidates returns one to three nodes, best first.
	Candidates(ctx context.Context, req JoinRequest) ([]grant.Candidate, error)
	// Regions returns every region of the cluster.
	Regions() []Region
}

// Relays know which relays clients can use.
type Relays interface {
	// ICEServers returns those for a participant who is sent to the nodes, of which the first is the best, with a credential that
	// was made for it. It answers from memory.
	ICEServers(participantID string, nodes []grant.Candidate) []ICEServer
}

// ICEServer is an RTCIceServer as browsers take it.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"` // a secret
}

// JoinRequest is what is known of where a participant is and wants to be. All of it may be empty.
type JoinRequest struct {
	Room       string             // the meeting's id: who joins one room is best kept together
	Region     string             // the one the client asked for
	RegionRTTs map[string]float64 // milliseconds, measured by the client
	RemoteIP   netip.Addr
}

// Region is a place that has nodes.
type Region struct {
	Name     string `json:"name"`
	ProbeURL string `json:"probe_url"` // answers a small GET, for clients that measure round-trip times
}

// Missing is one thing that keeps a node from being ready.
type Missing struct {
	Component string `json:"component"`
	Detail    string `json:"detail"` // a sentence that is safe to show
}
