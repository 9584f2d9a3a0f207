package node

// Kind is what a track carries.
type Kind string

// The kinds of media a track can carry.
const (
	Audio Kind = "audio"
	Video Kind = "video"
)

// Source says what a track shows or sounds like. It decides priorities: audio first, then screen, then camera.
type Source string

// The sources a participant can publish.
const (
	Camera      Source = "camera"
	Microphone  Source = "microphone"
	Screen      Source = "screen"
	ScreenAudio Source = "screen_audio"
)

// Kind returns the kind of media that the source produces, and the empty kind for a source that does not exist.
func (s Source) Kind() Kind {
	switch s {
	case Camera, Screen:
		return Video
	case Microphone, ScreenAudio:
		return Audio
	}
	return ""
}

// Track describes one published source of media. It is a value: safe to copy and to keep.
type Track struct {
	ID            string   // "tr_…", unique in the cluster
	ParticipantID string   // who publishes it
	Kind          Kind     // audio or video
	Source        Source   // what it shows
	Layers        []string // simulcast layers by rid, lowest first; one entry "f" when the publisher sends no simulcast, none for audio
}

// SlotState says what a slot is doing.
type SlotState string

// The states of a slot.
const (
	SlotActive SlotState = "active" // media is forwarded
	SlotPaused SlotState = "paused" // bound to a track, but nothing is forwarded; Reason says why
	SlotEmpty  SlotState = "empty"  // bound to no track
)

// Slot is what one receiving m-line of a subscriber carries now. It is a value: safe to copy and to keep.
type Slot struct {
	MID           string    // the m-line's identification tag (RFC 5888)
	TrackID       string    // empty when State is SlotEmpty
	ParticipantID string    // who publishes the track
	Kind          Kind      // fixed for the life of the slot
	Source        Source    // of the track
	Layer         string    // rid of the layer forwarded; empty for audio and while nothing is forwarded
	State         SlotState // what the slot is doing
	Reason        string    // why the slot is paused: "muted", "requested", "bandwidth", "unsupported_codec"; or active and smaller than it could be: "bandwidth"; or not heard: "no_packets"
}

// SlotRequest is a subscriber's wish for one slot.
type SlotRequest struct {
	MID       string
	TrackID   string // empty: the node picks a track, but keeps to the size
	MaxWidth  int    // of the picture shown, in device pixels; 0 means no limit
	MaxHeight int    // likewise
	Priority  int    // higher is served first when bandwidth is short
	Paused    bool   // bind, but forward nothing
}

// Subscription is a subscriber's whole wish. With Auto the node fills every slot by itself: screens first, then who
// speaks, then who came first. Without, slots named in Slots carry what they name, and all other video slots are empty;
// audio slots are always filled with the loudest.
type Subscription struct {
	Auto  bool
	Slots []SlotRequest
}

// TrackHint names the source behind a sending m-line of an offer.
type TrackHint struct {
	MID    string
	Source Source
}

// Offer is a client's SDP offer with the sources of its sending m-lines. M-lines without a hint are a microphone
// (audio) or a camera (video).
type Offer struct {
	SDP    string
	Tracks []TrackHint

	// Former are tracks that the participant published over an earlier connection, here or on another node. What the offer
	// starts to publish of the same source goes on under the former id, so that nobody sees a track end and another begin.
	Former []Track

	// Allow is asked once for every source that the offer starts to publish. A refused m-line is answered inactive
	// and listed in Answer.Refused; the rest of the offer stands. Nil allows everything. It may block.
	Allow func(Source) bool
}

// Answer is the node's answer to an Offer.
type Answer struct {
	SDP     string
	Tracks  []Track  // what the peer publishes from now on, in the order of its m-lines
	Refused []string // mids of sending m-lines that Offer.Allow refused
}

// Speaker is one place in a room's speaker order.
type Speaker struct {
	ParticipantID string
	Level         uint8 // smoothed loudness in -dBov (RFC 6464): 0 is the loudest, 127 is silence
}

// PeerEvents are what a peer tells its owner. Calls come one at a time for each peer, in order, from the peer's own
// goroutine; an implementation hands over and returns without blocking, and does not call back into the peer.
type PeerEvents interface {
	// TrackUnpublished comes when a track is gone for good; what is published, the answers to offers tell.
	TrackUnpublished(Track)
	// SlotsChanged has all of the peer's slots whenever one of them has changed.
	SlotsChanged([]Slot)
	// LayersWanted tells the publisher which layers of one of its tracks anybody wants; the others can be paused. Of a stream that has several sizes in
	// itself spatial is how many of them, the smallest first; 0 means all.
	LayersWanted(trackID string, layers []string, spatial int)
	// Connected comes when media can flow: at first, and after every ICE restart.
	Connected()
	// Disconnected comes when ICE or DTLS failed or consent expired (RFC 7675). The peer stays: an offer with new ICE
	// credentials revives it.
	Disconnected(error)
}

// RoomEvents are what the rooms of a node tell its owner. Calls come one at a time for each room and must not block.
type RoomEvents interface {
	// SpeakersChanged has the room's new speaker order, loudest first: those who speak now, at most eight.
	SpeakersChanged(room string, speakers []Speaker)
}
