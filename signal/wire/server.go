package wire

// The types of messages a server sends.
const (
	TypeAnswer            = "sfu.answer"
	TypeSnapshot          = "room.snapshot"
	TypeParticipantJoined = "room.participant_joined"
	TypeParticipantLeft   = "room.participant_left"
	TypePresenceChanged   = "room.presence_changed"
	TypeSettingsChanged   = "room.settings_changed"
	TypeTrackPublished    = "room.track_published"
	TypeTrackUnpublished  = "room.track_unpublished"
	TypeSlots             = "media.slots"
	TypeLayers            = "media.layers"
	TypeActiveSpeakers    = "room.active_speakers"
	TypeWaiting           = "room.waiting"
	TypeKnock             = "room.knock"
	TypeAdmitted          = "room.admitted"
	TypeEnded             = "room.ended"
	TypeMigrate           = "session.migrate"
	TypeICEServers        = "session.ice_servers"
	TypeError             = "error"
	TypeOK                = "ok"
)

// Answer answers hello and offer. Refused lists the mids of sending m-lines that were turned down.
type Answer struct {
	SDPAnswer string   `json:"sdp_answer"`
	Refused   []string `json:"refused,omitempty"`
}

// Settings are what a meeting's host has decided.
type Settings struct {
	MaxParticipants int  `json:"max_participants"`
	MaxCameras      int  `json:"max_cameras"`
	WaitingRoom     bool `json:"waiting_room"`
	Guests          bool `json:"guests"`
	Locked          bool `json:"locked"`
}

// Participant is one participant's public state.
type Participant struct {
	ID            string `json:"id"`
	DisplayName   string `json:"display_name"`
	Role          string `json:"role" jsonschema:"enum=host,enum=attendee,enum=viewer"`
	AudioMuted    bool   `json:"audio_muted"`
	VideoMuted    bool   `json:"video_muted"`
	HandRaised    bool   `json:"hand_raised"`
	ScreenSharing bool   `json:"screen_sharing"`
}

// Identity is the part of a participant that never changes.
type Identity struct {
	ID          string `json:"id"`
	DisplayName string `json:"display_name"`
	Role        string `json:"role" jsonschema:"enum=host,enum=attendee,enum=viewer"`
}

// Track is one published source of media.
type Track struct {
	ID            string   `json:"id"`
	ParticipantID string   `json:"participant_id"`
	Kind          string   `json:"kind" jsonschema:"enum=audio,enum=video"`
	Source        string   `json:"source" jsonschema:"enum=camera,enum=microphone,enum=screen,enum=screen_audio"`
	Layers        []string `json:"layers"` // rids, lowest first; empty for audio
}

// Slot is what one receiving m-line now carries.
type Slot struct {
	MID           string `json:"mid"`
	TrackID       string `json:"track_id,omitempty"`
	ParticipantID string `json:"participant_id,omitempty"`
	Kind          string `json:"kind" jsonschema:"enum=audio,enum=video"`
	Source        string `json:"source,omitempty" jsonschema:"enum=camera,enum=microphone,enum=screen,enum=screen_audio"`
	Layer         string `json:"layer,omitempty"`
	State         string `json:"state" jsonschema:"enum=active,enum=paused,enum=empty"`
	Reason        string `json:"reason,omitempty"` // why it is paused: muted, requested, bandwidth, unsupported_codec; why an active one is smaller than it could be: bandwidth; or not heard: no_packets
}

// Snapshot is the whole state of the room, on hello and after a gap. Events after it carry a Seq above its own.
type Snapshot struct {
	Self         Participant   `json:"self"`
	Settings     Settings      `json:"settings"`
	Participants []Participant `json:"participants"` // everyone, self included
	Tracks       []Track       `json:"tracks"`
	Slots        []Slot        `json:"slots"`
	Speakers     []Speaker     `json:"speakers"`
	Waiting      []Identity    `json:"waiting,omitempty"` // hosts only
	ResumeToken  string        `json:"resume_token"`
}

// ParticipantEvent is the body of participant_joined, participant_left and knock. Bursts share a message: then
// Participants has them all, Participant the first. Hosts are also told by participant_left of somebody who knocked and
// went away or was denied.
type ParticipantEvent struct {
	Participant  Identity   `json:"participant"`
	Participants []Identity `json:"participants,omitempty"`
}

// PresenceChanged has what changed of one participant; absent fields stayed as they are.
type PresenceChanged struct {
	ParticipantID string `json:"participant_id"`
	AudioMuted    *bool  `json:"audio_muted,omitempty"`
	VideoMuted    *bool  `json:"video_muted,omitempty"`
	HandRaised    *bool  `json:"hand_raised,omitempty"`
	ScreenSharing *bool  `json:"screen_sharing,omitempty"`
}

// SettingsChanged has the room's settings after a lock, an unlock or a change of the meeting.
type SettingsChanged struct {
	Settings Settings `json:"settings"`
}

// TrackEvent is the body of track_published and track_unpublished.
type TrackEvent struct {
	Track Track `json:"track"`
}

// Slots has every slot of the receiver.
type Slots struct {
	Slots    []Slot    `json:"slots"`
	Downlink *Downlink `json:"downlink,omitempty"` // absent while nothing is known of it
}

// Downlink is what the server knew of the way to the receiver when it told of slots. Rates are bits a second with the headers of
// IP and UDP.
type Downlink struct {
	Estimate  int64   `json:"estimate"`        // what it carries
	Wanted    int64   `json:"wanted"`          // what all slots could use
	Allocated int64   `json:"allocated"`       // what they are given
	Limit     string  `json:"limit,omitempty"` // what keeps the estimate from being higher: delay, loss, remb, reports, silence
	QueueMS   float64 `json:"queue_ms"`        // that packets wait on it
	Lost      float64 `json:"lost"`            // part of the packets, lately
}

// Layers tells a publisher which layers of a track to send; it pauses the others.
type Layers struct {
	TrackID string   `json:"track_id"`
	Wanted  []string `json:"wanted"`

	// SpatialLayers is how many sizes to send of a stream that has several in itself, the smallest first; 0 for all.
	SpatialLayers int `json:"spatial_layers,omitempty"`
}

// Speaker is one place in the speaker order.
type Speaker struct {
	ParticipantID string `json:"participant_id"`
	Level         uint8  `json:"level"` // -dBov: 0 loudest, 127 silence
}

// ActiveSpeakers has who speaks now, loudest first.
type ActiveSpeakers struct {
	Speakers []Speaker `json:"speakers"`
}

// Waiting tells a participant that it is in the lobby.
type Waiting struct {
	Reason string `json:"reason" jsonschema:"enum=waiting_room,enum=locked"`
}

// Ended tells everyone that the meeting is over for them.
type Ended struct {
	Reason string `json:"reason" jsonschema:"enum=ended,enum=removed,enum=denied"`
}

// Migrate asks the receiver to move to another node, because this one drains. The client opens a second socket there with
// the join token and says hello; the session here goes on until the client closes its socket, normally and without a
// word, or until the server does. It has no Seq, and comes again to who has not moved after a while. A client that does
// not know it is cut off with CloseGoingAway in the end, and resumes.
type Migrate struct {
	SignalEndpoint string `json:"signal_endpoint"` // the whole WebSocket URL
	SFUEndpoint    string `json:"sfu_endpoint"`
	JoinToken      string `json:"join_token"`

	// for the new connection, in the place of those of the join call; without it those stay
	ICEServers []ICEServer `json:"ice_servers,omitempty"`
}

// ICEServer is a STUN or TURN server for the receiver (RTCIceServer in browsers).
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"` // a secret
}

// ICEServers takes the place of the join call's ice_servers, whose credentials end at some time: a client uses them for
// every connection and ICE restart from now on. It has no Seq, and comes now and then, and first of all after a resume.
type ICEServers struct {
	ICEServers []ICEServer `json:"ice_servers"`
}

// Chat is a chat message as delivered, to its sender too. A private one has To and reaches nobody else.
type Chat struct {
	From    string `json:"from"`
	Text    string `json:"text"`
	To      string `json:"to,omitempty"`
	Private bool   `json:"private,omitempty"`
	SentAt  string `json:"sent_at"` // RFC 3339 with milliseconds, the server's clock
}

// Error answers a bad request, or comes before a close.
type Error struct {
	Code    string `json:"code"`    // one of ErrorCodes; stable
	Message string `json:"message"` // a sentence for people
}
