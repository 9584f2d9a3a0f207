// Package sfu is signalling's way to the SFU of another node. Fleet is the signalling node's end: it implements Media for
// every node that carries media. Server is the media node's end: it serves its own SFU to all signalling nodes. Between them
// is the bus.
//
// It decides nothing: which node carries whom is signalling's choice, and what becomes of media is the SFU's. It knows
// nothing of sockets, rosters or tokens.
//
// Requests of one peer go one at a time, each with a deadline. What the SFU tells comes back as events, numbered for each peer: a
// hole, or a number that a regular comparison shows to be missing, makes the signalling node pull the peer's whole state.
// Media needs none of it: while the bus is away it goes on untouched, and both ends agree again when it is back.
package sfu

import (
	"context"
	"errors"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/placement"
)

// Peer is a participant's connection to the SFU. *node.Peer is one.
type Peer interface {
	Offer(context.Context, node.Offer) (node.Answer, error)
	Subscribe(node.Subscription) error
	SetMuted(node.Source, bool)
	Close()
}

// Measured are Peers that know what the way to the participant carries; those on another node do not.
type Measured interface {
	Bandwidth() (b node.Bandwidth, ok bool)
}

var _ Measured = (*node.Peer)(nil)

// Media is what signalling needs of an SFU. Where the node is another, what returns no error returns at once and is done
// as soon as that node hears of it.
type Media interface {
	// Join gives the participant a new peer. An older one with the same id is replaced.
	Join(node.PeerConfig) (Peer, error)
	// AddRemote lets a room show a track that is published to another node, until RemoveRemote. Adding it again with another
	// node says that it has moved. MuteRemote says whether its publisher has muted it.
	AddRemote(room string, t node.Track, from string)
	RemoveRemote(track string)
	MuteRemote(track string, muted bool)
}

// Losable are PeerEvents that want to know when a peer is lost with its node. It is the last that the peer tells.
type Losable interface{ Lost(error) }

// Bus carries requests and events. *bus.Bus is one, and says what the methods promise.
type Bus interface {
	Publish(subject string, data []byte) error
	Subscribe(subject string, f func(subject string, data []byte)) (unsubscribe func(), err error)
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
	Serve(subject string, f func(ctx context.Context, data []byte) ([]byte, error)) (stop func(), err error)
	Connected() bool
}

// Cluster knows the nodes. *placement.Cluster is one, and says what the methods promise.
type Cluster interface {
	Nodes() []placement.Node
	Watch(f func(joined, left []string)) (stop func())
	Answers(id string) bool
}

// ErrUnreachable is in the chain of errors that say that a node of the media tier did not answer.
var ErrUnreachable = errors.New("the media node does not answer")

const (
	mediaSubject = "parley.media."        // + media node: requests to its SFU
	eventSubject = "parley.media_events." // + signalling node: what SFUs tell it

	offerTimeout = 3 * time.Second // of an offer
	callTimeout  = 2 * time.Second // of every other request
	syncEvery    = 2 * time.Second // between two comparisons with a media node
	settled      = time.Second     // how old an event is before its absence counts as a loss
	orphanGrace  = 30 * time.Second
	sweepEvery   = time.Second
)

// incarnationOf is the start of a node that lives: another one means that it has lost everything.
func incarnationOf(id string, nodes []placement.Node) (incarnation uint64, lives bool) {
	for _, n := range nodes {
		if n.ID == id {
			return n.Incarnation, true
		}
	}
	return 0, false
}
