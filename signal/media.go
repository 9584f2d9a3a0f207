package signal

import (
	"slices"
	"sync"

	"github.com/parley-sfu/parley/node"
)

// Speakers passes the SFU's speaker order on to whoever listens, such as the Service. It is made before both: node.New
// wants it as RoomEvents, New as a dependency.
type Speakers struct {
	mu      sync.Mutex
	changed []func(room string, speakers []node.Speaker)
}

// NewSpeakers returns Speakers that nobody listens to yet.
func NewSpeakers() *Speakers { return &Speakers{} }

// SpeakersChanged implements node.RoomEvents.
func (s *Speakers) SpeakersChanged(room string, speakers []node.Speaker) {
	s.mu.Lock()
	all := s.changed
	s.mu.Unlock()
	for _, changed := range all {
		changed(room, speakers)
	}
}

// Listen adds a listener, which must not block.
func (s *Speakers) Listen(changed func(room string, speakers []node.Speaker)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = append(slices.Clone(s.changed), changed)
}

// OnNode makes Media of an SFU node.
func OnNode(n *node.Node) Media { return onNode{n} }

type onNode struct{ *node.Node }

// Join implements Media.
func (o onNode) Join(cfg node.PeerConfig) (Peer, error) {
	peer, err := o.Node.Join(cfg)
	if err != nil {
		return nil, err // a nil *node.Peer must not become a Peer
	}
	return peer, nil
}
