package wire

// The types of messages a client sends.
const (
	TypeHello              = "participant.hello"
	TypeOffer              = "participant.offer"
	TypeResume             = "participant.resume"
	TypeCandidate          = "ice.candidate"
	TypePresenceUpdate     = "presence.update"
	TypeSubscriptionUpdate = "subscription.update"
	TypeChat               = "chat.message" // both ways
	TypeAdmit              = "participant.admit"
	TypeDeny               = "participant.deny"
	TypeMute               = "participant.mute"
	TypeRemove             = "participant.remove"
	TypeLock               = "room.lock"
	TypeUnlock             = "room.unlock"
	TypeEnd                = "room.end"
)

// Empty is the body of messages that say everything by their type: room.lock, room.unlock and room.end (host only), and of
// the server room.admitted and ok.
type Empty struct{}

// TrackHint names the source behind one sending m-line of an offer.
type TrackHint struct {
	MID    string `json:"mid"`
	Source string `json:"source" jsonschema:"enum=camera,enum=microphone,enum=screen,enum=screen_audio"`
}

// Hello is the first message on a new socket. SDPOffer may be empty: then the participant is in the room without media.
type Hello struct {
	ParticipantID string      `json:"participant_id"`
	DisplayName   string      `json:"display_name"`
	SDPOffer      string      `json:"sdp_offer"`
	Tracks        []TrackHint `json:"tracks,omitempty"`
}

// Offer renegotiates: more tracks, more slots, or an ICE restart.
type Offer struct {
	SDPOffer string      `json:"sdp_offer"`
	Tracks   []TrackHint `json:"tracks,omitempty"`
}

// Resume comes first on a new socket that was opened with the resume token, or on a live socket after a gap. It is
// answered by the events after LastSeq, or by a room.snapshot where those are no longer kept.
type Resume struct {
	LastSeq uint64 `json:"last_seq"`
}

// Candidate is a trickled ICE candidate; a null one ends them.
type Candidate struct {
	Candidate        *string `json:"candidate" jsonschema:"nullable"`
	SDPMid           *string `json:"sdp_mid,omitempty"`
	UsernameFragment *string `json:"username_fragment,omitempty"`
}

// PresenceUpdate changes any of the sender's own presence; absent fields stay as they are.
type PresenceUpdate struct {
	AudioMuted    *bool `json:"audio_muted,omitempty"`
	VideoMuted    *bool `json:"video_muted,omitempty"`
	HandRaised    *bool `json:"hand_raised,omitempty"`
	ScreenSharing *bool `json:"screen_sharing,omitempty"`
}

// SubscriptionUpdate is the sender's whole wish for its slots: Mode "auto", or Slots by hand. In a slot by hand an empty
// TrackID lets the server choose the track and keeps the size.
type SubscriptionUpdate struct {
	Mode  string        `json:"mode,omitempty" jsonschema:"enum=auto,enum=manual"` // absent means manual
	Slots []SlotRequest `json:"slots,omitempty"`
}

// SlotRequest asks for one track in one slot.
type SlotRequest struct {
	MID       string `json:"mid"`
	TrackID   string `json:"track_id,omitempty"`
	MaxWidth  int    `json:"max_width,omitempty"`  // device pixels; 0 is no limit
	MaxHeight int    `json:"max_height,omitempty"` // device pixels; 0 is no limit
	Priority  int    `json:"priority,omitempty"`   // higher first
	Paused    bool   `json:"paused,omitempty"`
}

// ChatSend is a chat message to everyone, or to one participant.
type ChatSend struct {
	Text string `json:"text"`
	To   string `json:"to,omitempty"`
}

// Target is the body of participant.admit, deny and remove: host only.
type Target struct {
	ParticipantID string `json:"participant_id"`
}

// Mute is the body of participant.mute: host only. It mutes; only the participant can unmute.
type Mute struct {
	ParticipantID string `json:"participant_id"`
	Source        string `json:"source,omitempty" jsonschema:"enum=microphone,enum=camera"` // absent means microphone
}
