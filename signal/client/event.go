package client

import (
	"encoding/json"
	"sync"

	"github.com/parley-sfu/parley/signal/wire"
)

// Event is something that happened in the meeting or to the client: one of the types of this file. Switch on it.
type Event interface{ event() }

// Joined comes with the whole state of the room: after the first hello, and again whenever the server sent a snapshot
// because events were missed. What it has replaces what was known.
type Joined struct{ Snapshot wire.Snapshot }

// Waiting says that the client is in the lobby.
type Waiting struct{ Reason string }

// Admitted says that the host let the client in; Joined follows.
type Admitted struct{}

// Knocked has those who came to the lobby. Hosts only.
type Knocked struct{ Participants []wire.Identity }

// ParticipantsJoined has those who came.
type ParticipantsJoined struct{ Participants []wire.Identity }

// ParticipantsLeft has those who went.
type ParticipantsLeft struct{ Participants []wire.Identity }

// PresenceChanged has what changed of one participant, the client itself included.
type PresenceChanged struct{ wire.PresenceChanged }

// TrackPublished has a track that can now be received.
type TrackPublished struct{ Track wire.Track }

// TrackUnpublished has a track that is gone.
type TrackUnpublished struct{ Track wire.Track }

// SlotsChanged has what every slot carries now, and what the server knew of the way to the client then, if anything.
type SlotsChanged struct {
	Slots    []wire.Slot
	Downlink *wire.Downlink
}

// LayersWanted has the layers of one of the client's own tracks that anybody wants. The client pauses the others by
// itself.
type LayersWanted struct{ wire.Layers }

// ActiveSpeakers has who speaks now, loudest first.
type ActiveSpeakers struct{ Speakers []wire.Speaker }

// ChatReceived is a chat message.
type ChatReceived struct{ wire.Chat }

// Ended says that the meeting is over for this client: ended, removed or denied.
type Ended struct{ Reason string }

// Refused is an error of the server that answers no call of the client's user.
type Refused struct{ Err *Error }

// Unrecognized is a message of a type that this version of the client does not know.
type Unrecognized struct {
	Type string
	Raw  json.RawMessage
}

// Migrated says that the client has moved to another node, because the one that it was on drains. Nothing else has happened:
// nobody saw it leave or come, and the state of the room, which Snapshot has, goes on. The slots are new ones, with other
// mids; what was subscribed to by hand is in those that have taken their place.
type Migrated struct {
	SignalEndpoint string
	Snapshot       wire.Snapshot // without a resume token
}

// StateChanged says how the client stands with its server.
type StateChanged struct {
	State State
	Err   error // why the socket was lost, for StateReconnecting
}

// MediaStateChanged says whether media can flow.
type MediaStateChanged struct{ State MediaState }

// PublishEnded says that a layer stops sending for good because its source failed.
type PublishEnded struct {
	Source string
	RID    string
	Err    error
}

// Overflow stands in the place of events that were dropped because nobody read them.
type Overflow struct{ Lost int }

func (Joined) event()             {}
func (Waiting) event()            {}
func (Admitted) event()           {}
func (Knocked) event()            {}
func (ParticipantsJoined) event() {}
func (ParticipantsLeft) event()   {}
func (PresenceChanged) event()    {}
func (TrackPublished) event()     {}
func (TrackUnpublished) event()   {}
func (SlotsChanged) event()       {}
func (LayersWanted) event()       {}
func (ActiveSpeakers) event()     {}
func (ChatReceived) event()       {}
func (Ended) event()              {}
func (Refused) event()            {}
func (Unrecognized) event()       {}
func (Migrated) event()           {}
func (StateChanged) event()       {}
func (MediaStateChanged) event()  {}
func (PublishEnded) event()       {}
func (Overflow) event()           {}

// State is how the client stands with its server.
type State string

// The states of a client.
const (
	StateConnecting   State = "connecting"   // the first socket is being opened
	StateWaiting      State = "waiting"      // in the lobby
	StateJoined       State = "joined"       // in the room
	StateReconnecting State = "reconnecting" // the socket was lost; media may go on meanwhile
	StateClosed       State = "closed"       // left, ended or given up
)

// MediaState is how the media connection stands.
type MediaState string

// The states of the media connection.
const (
	MediaConnecting   MediaState = "connecting"
	MediaConnected    MediaState = "connected"
	MediaDisconnected MediaState = "disconnected" // an ICE restart is under way
	MediaClosed       MediaState = "closed"
)

// eventQueue is the bounded way of events to their one reader. Pushing never blocks: what does not fit is counted and
// told by an Overflow in its place.
type eventQueue struct {
	mu     sync.Mutex
	ch     chan Event
	lost   int
	closed bool
}

func newEventQueue(size int) *eventQueue {
	return &eventQueue{ch: make(chan Event, size)}
}

func (q *eventQueue) push(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	if q.lost > 0 {
		select {
		case q.ch <- Overflow{Lost: q.lost}:
			q.lost = 0
		default:
			q.lost++
			return
		}
	}
	select {
	case q.ch <- e:
	default:
		q.lost++
	}
}

func (q *eventQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.ch)
	}
}
