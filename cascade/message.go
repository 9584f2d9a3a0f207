package cascade

import (
	"encoding/json"
	"errors"
	"fmt"
)

// MaxLayers is how many simulcast layers a track can have.
const MaxLayers = 3

// Pull says which layers of a track this end wants to receive from now on. It replaces an earlier Pull of the track.
//
// An SSRC means one stream for the whole life of a link. Who pulls chooses SSRCs that it uses for nothing else; who serves
// keeps what it knows of a stream even while nothing of it is wanted, and refuses an SSRC that it knows as another's: a
// stream begun anew under the same keys would repeat nonces, and the other end could not open it.
type Pull struct {
	Group   string            `json:"group"`   // opaque here; the node's room
	Track   string            `json:"track"`   // the track's id
	Layers  uint8             `json:"layers"`  // wanted layers as bits, the lowest layer is bit 0; 0 ends the pull
	Streams [MaxLayers]Stream `json:"streams"` // what each layer is to be sent as; 0 for layers that the track does not have
}

// Stream is the SSRCs that a puller expects one layer under.
type Stream struct {
	Media  uint32 `json:"media"`
	Repair uint32 `json:"repair"` // retransmissions (RFC 4588)
}

// Gone answers a Pull of a track that is not, or no longer, there.
type Gone struct {
	Group string `json:"group"`
	Track string `json:"track"`
}

// message is one control message. At most one field is set; none is in a message of a newer version.
type message struct {
	Pull *Pull `json:"pull,omitempty"`
	Gone *Gone `json:"gone,omitempty"`
}

const (
	maxMessage = 4096 // bytes of one control message, or of an introduction
	maxID      = 256  // bytes of an id, a group, or an ICE credential (RFC 8839)
)

var (
	errTooBig   = errors.New("longer than 4096 bytes")
	errTwoKinds = errors.New("two messages in one")
	errID       = errors.New("an id is empty or longer than 256 bytes")
	errLayers   = errors.New("layers that no track has")
	errSSRC     = errors.New("an SSRC is missing or there twice")
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
	case m.Gone != nil && (badID(m.Gone.Group) || badID(m.Gone.Track)):
		return errID
	}
	return nil
}

func badID(id string) bool { return id == "" || len(id) > maxID }

// validate finds what no honest node sends. SSRCs of layers that are not wanted now must be apart from each other as
// well: the streams are made for all layers at once.
func (p *Pull) validate() error {
	if badID(p.Group) || badID(p.Track) {
		return errID
	}
	if p.Layers >= 1<<MaxLayers {
		return errLayers
	}
	seen := make(map[uint32]bool, 2*MaxLayers)
	for rank, s := range p.Streams {
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
