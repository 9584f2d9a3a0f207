package cascade

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// MaxLayers is how many simulcast layers a track can have.
const MaxLayers = 3

// Pull says which layers of a track this end wants to receive from now on. It replaces an earlier Pull of the track.
//
// An SSRC means one stream for the whole life of a link. Who pulls chooses SSRCs that it uses for nothing else; who serves
// keeps what it knows of a stream even while nothing of it is wanted, and refuses an SSRC that it knows as another's: a
// stream begun anew under the same keys would repeat nonces, and the other end could not open it.
//
// A node may be asked for a track of another origin, and may never have heard of it: the pull says what it takes to pull
// the track on. A pull of an older version names no origin and means a track of the node that it is sent to.
type Pull struct {
	Group   string            `json:"group"`   // opaque here; the node's room
	Track   string            `json:"track"`   // the track's id
	Layers  uint8             `json:"layers"`  // wanted layers as bits, the lowest layer is bit 0; 0 ends the pull
	Streams [MaxLayers]Stream `json:"streams"` // what each layer is to be sent as; 0 for layers that the track does not have

	Origin      string   `json:"origin,omitempty"`      // the node that the track is published to; empty: the one asked
	Participant string   `json:"participant,omitempty"` // who publishes it
	Source      string   `json:"source,omitempty"`      // what it shows; opaque here
	RIDs        []string `json:"rids,omitempty"`        // of the layers, lowest first; none where a layer has no name

	// Priority is the highest that a viewer behind this end has given the track; 0 where nobody has. Of what is too much for the link
	// the lowest priority goes first, behind who speaks.
	Priority uint8 `json:"priority,omitempty"`

	// Sizes are the spatial layers that are wanted of a stream which has several in itself, as bits, the highest of which stands for the largest that there is;
	// 0 for all of them. Who knows of it leaves out the others, and says so (packet.Notice).
	Sizes uint8 `json:"sizes,omitempty"`

	// Path is the ids of the nodes that the packets pass from the one asked on down, the puller first. Who finds itself in
	// it, or its end too far from the origin, refuses.
	Path []string `json:"path,omitempty"`
}

// MaxHops is how many links a packet crosses at most from its origin.
const MaxHops = 2

// Stream is the SSRCs that a puller expects one layer under, and what it has of the layer already.
type Stream struct {
	Media  uint32 `json:"media"`
	Repair uint32 `json:"repair"` // retransmissions (RFC 4588)

	// Have is 1 more than the sequence number of the newest packet that the puller has: a layer that begins goes on behind
	// it where that can be done. 0: there is none; the layer begins with a keyframe.
	Have uint32 `json:"have,omitempty"`
}

// Gone answers a Pull that is not, or no longer, served.
type Gone struct {
	Group  string `json:"group"`
	Track  string `json:"track"`
	Origin string `json:"origin,omitempty"` // as in the pull; empty: the node that says so
	Reason Reason `json:"reason,omitempty"`
}

// Reason is why a pull is not served. Those of newer versions are to be taken like Unreachable.
type Reason string

// The reasons of Gone.
const (
	Ended       Reason = ""            // the track is not, or no longer, there: what comes under its name later is another stream
	Loop        Reason = "loop"        // the packets would come back to the node that was asked
	TooFar      Reason = "too_far"     // the packets would cross more than MaxHops links
	Unreachable Reason = "unreachable" // the node that was asked does not get the track itself, or takes no more
)

// message is one control message. At most one field is set; none is in a message of a newer version.
type message struct {
	Pull *Pull `json:"pull,omitempty"`
	Gone *Gone `json:"gone,omitempty"`
}

const (
	maxMessage = 4096 // bytes of one control message, or of an introduction
	maxID      = 256  // bytes of an id, a group, or an ICE credential (RFC 8839)
	maxName    = 32   // bytes of a source, a layer's rid, or a reason
)

var (
	errTooBig   = errors.New("longer than 4096 bytes")
	errTwoKinds = errors.New("two messages in one")
	errID       = errors.New("an id is empty or longer than 256 bytes")
	errLayers   = errors.New("layers that no track has")
	errSSRC     = errors.New("an SSRC is missing or there twice")
	errHave     = errors.New("no sequence number")
	errPath     = errors.New("a path without a name, or longer than any tree")
	errNames    = errors.New("more layers than a track has, or a long name")
)

// encode refuses what the other end would.
func (m message) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err == nil {
		err = m.validate()
	}
	if err == nil && len(b) > maxMessage {
		err = errTooBig
	}
	if err != nil {
		return nil, fmt.Errorf("encode control message: %w", err)
	}
	return b, nil
}

// decode reads a control message. Fields and messages of newer versions are ignored: nodes of two versions share links
// while a cluster is upgraded.
func decode(b []byte) (m message, err error) {
	if len(b) > maxMessage {
		err = errTooBig
	} else if err = json.Unmarshal(b, &m); err == nil {
		err = m.validate()
	}
	if err != nil {
		return message{}, fmt.Errorf("decode control message: %w", err)
	}
	return m, nil
}

func (m message) validate() error {
	switch {
	case m.Pull != nil && m.Gone != nil:
		return errTwoKinds
	case m.Pull != nil:
		return m.Pull.validate()
	case m.Gone != nil && (badID(m.Gone.Group) || badID(m.Gone.Track) || len(m.Gone.Origin) > maxID || len(m.Gone.Reason) > maxName):
		return errID
	}
	return nil
}

func badID(id string) bool { return id == "" || len(id) > maxID }

// validate finds what no honest node sends. SSRCs of layers that are not wanted now must be apart from each other as
// well: the streams are made for all layers at once.
func (p *Pull) validate() error {
	switch {
	case badID(p.Group) || badID(p.Track) || len(p.Origin) > maxID || len(p.Participant) > maxID:
		return errID
	case p.Layers >= 1<<MaxLayers:
		return errLayers
	case len(p.Path) > MaxHops || slices.ContainsFunc(p.Path, badID):
		return errPath
	case len(p.RIDs) > MaxLayers || len(p.Source) > maxName || slices.ContainsFunc(p.RIDs, func(rid string) bool { return len(rid) > maxName }):
		return errNames
	}
	return p.validateStreams()
}

func (p *Pull) validateStreams() error {
	seen := make(map[uint32]bool, 2*MaxLayers)
	for rank, s := range p.Streams {
		if s.Have > 1<<16 {
			return errHave
		}
		wanted := p.Layers&(1<<rank) != 0
		for _, ssrc := range [...]uint32{s.Media, s.Repair} {
			if ssrc == 0 && wanted || ssrc != 0 && seen[ssrc] {
				return errSSRC
			}
			seen[ssrc] = true
		}
	}
	return nil
}

// introduction is what two nodes tell each other over the bus to make a link.
type introduction struct {
	From     string `json:"from"`
	Ufrag    string `json:"ufrag"`
	Password string `json:"password"`
}

func readIntroduction(b []byte) (i introduction, err error) {
	if len(b) > maxMessage {
		return i, fmt.Errorf("introduction: %w", errTooBig)
	}
	if err := json.Unmarshal(b, &i); err != nil {
		return i, fmt.Errorf("introduction: %w", err)
	}
	if badID(i.From) || badID(i.Ufrag) || badID(i.Password) {
		return i, fmt.Errorf("introduction: %w", errID)
	}
	return i, nil
}
