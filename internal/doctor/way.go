package doctor

import (
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/signal/client"
)

// way is how a client's media may go.
type way string

// The ways of media.
const (
	wayUDP   way = "UDP"
	wayTCP   way = "TCP"
	wayRelay way = "relay"
)

// restrict makes the options of a client whose media go that way alone.
func (w way) restrict(o client.Options) client.Options {
	switch w {
	case wayUDP:
		o.NetworkTypes = []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	case wayTCP:
		o.NetworkTypes = []webrtc.NetworkType{webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6}
	}
	return o
}
