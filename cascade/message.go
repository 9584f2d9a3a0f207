package cascade

import (
	"encoding/json"
	"fmt"
)

// MaxLayers is how many simulcast layers a track can have.
const MaxLayers = 3

// Pull says which layers of a track this end wants to receive from now on. It replaces an earlier Pull of the track.
type Pull struct {
	Group   string            `json:"group"`   // opaque here; the node's room
	Track   string            `json:"track"`   // the track's id
	Layers  uint8             `json:"layers"`  // wanted layers as bits, the lowest layer is bit 0; 0 ends the pull
	Streams [MaxLayers]Stream `json:"streams"` // what each layer is to be sent as
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

// message is one control message; exactly one field is set.
type message struct {
	Pull *Pull `json:"pull,omitempty"`
	Gone *Gone `json:"gone,omitempty"`
}

// maxMessage bounds one control message in bytes.
const maxMessage = 4096

func (m message) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode control message: %w", err)
	}
	return b, nil
}

// decode reads a control message. Fields of newer versions are ignored: nodes of two versions share links while a
// cluster is upgraded.
func decode(b []byte) (m message, err error) {
	if err = json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("decode control message: %w", err)
	}
	return m, nil
}

// introduction is what two nodes tell each other over the bus to make a link.
type introduction struct {
	From     string `json:"from"`
	Ufrag    string `json:"ufrag"`
	Password string `json:"password"`
}
