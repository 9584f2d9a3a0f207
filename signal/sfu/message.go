package sfu

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/parley-sfu/parley/node"
)

// The operations of a request.
const (
	opOffer     = "offer"     // the first of a peer makes it
	opSubscribe = "subscribe" // replaces the peer's wish
	opMute      = "mute"      // says which sources are muted
	opClose     = "close"     // ends the peer
	opState     = "state"     // asks for the peer's whole state
	opAdopt     = "adopt"     // takes over a peer that another signalling node made
	opTracks    = "tracks"    // says which tracks of a room are on other media nodes
	opSync      = "sync"      // compares
	opPing      = "ping"      // asks for an answer
)

// request is what a signalling node asks of a media node. Unknown fields are skipped, and missing ones have their zero
// meaning, so that two releases can talk.
type request struct {
	Op          string `json:"op"`
	From        string `json:"from"`    // the signalling node
	Session     uint64 `json:"session"` // its incarnation
	Room        string `json:"room,omitempty"`
	Participant string `json:"participant,omitempty"`
	Peer        uint64 `json:"peer,omitempty"`   // grows with each peer of the session
	Number      uint64 `json:"number,omitempty"` // of the peer's requests: a late one is not obeyed

	Offer  *offer        `json:"offer,omitempty"`
	Wish   *wish         `json:"wish,omitempty"`
	Muted  []node.Source `json:"muted,omitempty"` // all that are; goes with every request of a peer
	Tracks *step         `json:"tracks,omitempty"`
	Sync   *comparison   `json:"sync,omitempty"`
}

// offer is a node.Offer without its function: what Allow would say of the sources is said before.
type offer struct {
	CanPublish bool          `json:"can_publish"`
	SDP        string        `json:"sdp"`
	Tracks     []hint        `json:"tracks,omitempty"`
	Former     []track       `json:"former,omitempty"`
	Allowed    []node.Source `json:"allowed,omitempty"` // sources that it may begin to publish
}

// step is one change of the list of a room's tracks on other media nodes, or the whole list.
type step struct {
	Version uint64     `json:"version"`         // grows with each step, over all rooms
	After   uint64     `json:"after,omitempty"` // the room's step before
	Whole   bool       `json:"whole,omitempty"`
	Set     []farTrack `json:"set,omitempty"`
	Gone    []string   `json:"gone,omitempty"` // ids
}

// farTrack is a track on another media node.
type farTrack struct {
	Track track  `json:"track"`
	From  string `json:"from"`
	Muted bool   `json:"muted,omitempty"`
}

// comparison is what a signalling node believes it has on a media node: the peers with an id after After and up to UpTo,
// and, in the first of several messages, all its rooms.
type comparison struct {
	After uint64            `json:"after,omitempty"`
	UpTo  uint64            `json:"up_to"`
	Peers []mark            `json:"peers,omitempty"`
	Rooms map[string]uint64 `json:"rooms"`           // versions of their lists of tracks; null: not all are here
	Steps uint64            `json:"steps,omitempty"` // the last version of any room
}

// mark says where one peer stands.
type mark struct {
	Peer   uint64        `json:"peer"`
	New    bool          `json:"new,omitempty"`    // its first offer is not answered yet
	Event  uint64        `json:"event,omitempty"`  // the last one heard
	Number uint64        `json:"number,omitempty"` // of its last request
	Muted  []node.Source `json:"muted,omitempty"`
}

// reply answers a request.
type reply struct {
	Error  *fault   `json:"error,omitempty"`
	Answer *answer  `json:"answer,omitempty"` // to an offer
	State  *state   `json:"state,omitempty"`
	Behind bool     `json:"behind,omitempty"` // a step does not follow on what is known: the whole list, please
	Sync   *verdict `json:"sync,omitempty"`
}

// answer is a node.Answer, and the sources that were not allowed because nobody had been asked.
type answer struct {
	SDP     string        `json:"sdp"`
	Tracks  []track       `json:"tracks,omitempty"`
	Refused []string      `json:"refused,omitempty"`
	Asked   []node.Source `json:"asked,omitempty"`
}

// verdict is how a comparison ended.
type verdict struct {
	Behind []uint64 `json:"behind,omitempty"` // peers that have told more
	Gone   []uint64 `json:"gone,omitempty"`   // peers that are not there, or are another's
	Rooms  []string `json:"rooms,omitempty"`  // whose list of tracks is another
}

// state is all that a peer has told so far.
type state struct {
	Event   uint64              `json:"event"` // number of the last event in it
	Tracks  []track             `json:"tracks,omitempty"`
	Slots   []slot              `json:"slots,omitempty"`
	Wanted  map[string][]string `json:"wanted,omitempty"`
	Spatial map[string]int      `json:"spatial,omitempty"` // as in an event, by track
	Muted   []node.Source       `json:"muted,omitempty"`
}

// fault is a node.Error on its way between nodes.
type fault struct {
	Kind node.ErrorKind `json:"kind"`
	Code string         `json:"code"`
	Say  string         `json:"say"`
}

// The kinds of an event.
const (
	eventUnpublished  = "unpublished"
	eventSlots        = "slots"
	eventLayers       = "layers"
	eventConnected    = "connected"
	eventDisconnected = "disconnected"
	eventSpeakers     = "speakers" // of a room; has no peer and no number
)

// event is what a media node tells a signalling node.
type event struct {
	Kind    string    `json:"kind"`
	Node    string    `json:"node"`
	Session uint64    `json:"session"` // of the signalling node that it is meant for
	Room    string    `json:"room,omitempty"`
	Peer    uint64    `json:"peer,omitempty"`
	Number  uint64    `json:"number,omitempty"`
	Track   *track    `json:"track,omitempty"`
	TrackID string    `json:"track_id,omitempty"`
	Layers  []string  `json:"layers,omitempty"`
	Spatial int       `json:"spatial,omitempty"` // how many spatial layers are wanted; 0 for all
	Slots   []slot    `json:"slots,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Who     []speaker `json:"who,omitempty"`
}

// The following are the SFU's types with the names that they have between nodes.
type (
	hint struct {
		MID    string      `json:"mid"`
		Source node.Source `json:"source"`
	}
	track struct {
		ID            string      `json:"id"`
		ParticipantID string      `json:"participant_id"`
		Kind          node.Kind   `json:"kind"`
		Source        node.Source `json:"source"`
		Layers        []string    `json:"layers,omitempty"`
	}
	slot struct {
		MID           string         `json:"mid"`
		TrackID       string         `json:"track_id,omitempty"`
		ParticipantID string         `json:"participant_id,omitempty"`
		Kind          node.Kind      `json:"kind"`
		Source        node.Source    `json:"source,omitempty"`
		Layer         string         `json:"layer,omitempty"`
		State         node.SlotState `json:"state"`
		Reason        string         `json:"reason,omitempty"`
	}
	speaker struct {
		ParticipantID string `json:"participant_id"`
		Level         uint8  `json:"level"`
	}
	wish struct {
		Auto  bool       `json:"auto,omitempty"`
		Slots []slotWish `json:"slots,omitempty"`
	}
	slotWish struct {
		MID       string `json:"mid"`
		TrackID   string `json:"track_id,omitempty"`
		MaxWidth  int    `json:"max_width,omitempty"`
		MaxHeight int    `json:"max_height,omitempty"`
		Priority  int    `json:"priority,omitempty"`
		Paused    bool   `json:"paused,omitempty"`
	}
)

// each converts a list.
func each[A, B any](list []A, convert func(A) B) []B {
	out := make([]B, 0, len(list))
	for _, a := range list {
		out = append(out, convert(a))
	}
	return out
}

func tracksOut(list []node.Track) []track {
	return each(list, func(t node.Track) track { return track(t) })
}

func tracksIn(list []track) []node.Track {
	return each(list, func(t track) node.Track { return node.Track(t) })
}

func slotsOut(list []node.Slot) []slot { return each(list, func(s node.Slot) slot { return slot(s) }) }

func slotsIn(list []slot) []node.Slot {
	return each(list, func(s slot) node.Slot { return node.Slot(s) })
}

func (w *wish) in() node.Subscription {
	return node.Subscription{Auto: w.Auto, Slots: each(w.Slots, func(s slotWish) node.SlotRequest { return node.SlotRequest(s) })}
}

func wishOut(s node.Subscription) *wish {
	return &wish{Auto: s.Auto, Slots: each(s.Slots, func(s node.SlotRequest) slotWish { return slotWish(s) })}
}

// mutedList names the sources that are muted, in order.
func mutedList(muted map[node.Source]bool) []node.Source {
	var list []node.Source
	for source, is := range muted {
		if is {
			list = append(list, source)
		}
	}
	slices.Sort(list)
	return list
}

// decodeRequest reads a request and refuses what cannot be obeyed.
func decodeRequest(data []byte) (request, error) {
	var q request
	if err := json.Unmarshal(data, &q); err != nil {
		return q, fmt.Errorf("sfu: request: %w", err)
	}
	missing := false
	switch q.Op {
	case opOffer:
		missing = q.Offer == nil || q.Peer == 0 || q.Room == "" || q.Participant == ""
	case opSubscribe:
		missing = q.Wish == nil || q.Peer == 0
	case opAdopt:
		missing = q.Peer == 0 || q.Room == "" || q.Participant == ""
	case opTracks:
		missing = q.Tracks == nil || q.Room == ""
	case opSync:
		missing = q.Sync == nil
	case opMute, opClose, opState, opPing:
	default:
		return q, fmt.Errorf("sfu: request: unknown operation %q", q.Op)
	}
	if missing || q.From == "" {
		return q, fmt.Errorf("sfu: request: %s lacks what it is about", q.Op)
	}
	return q, nil
}

func faultOf(err error) *fault {
	e := node.AsError(err)
	return &fault{Kind: e.Kind, Code: e.Code, Say: e.Say}
}

func gone() error {
	return &node.Error{Kind: node.NotFound, Code: "not_found", Say: "The media node knows no such connection."}
}
