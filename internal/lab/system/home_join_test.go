package system_test

import (
	"os"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// nearby is the way from a home to a node of its own region: 10 ms there and back.
func nearby() lab.Path { return lab.Path{Delay: 5 * time.Millisecond, Jitter: time.Millisecond} }

// way is a network that people join from, and the path that their media must have there.
type way struct {
	access lab.Access
	by     string // udp or tcp: to the node; tls: through a relay that is reached over TLS
}

func ways() []way {
	return []way{
		{lab.FullCone(), "udp"},
		{lab.PortRestricted(), "udp"},
		{lab.Symmetric(), "udp"},
		{lab.UDPBlocked(), "tcp"},
		{lab.UDPBlocked().Rejecting(), "tcp"},
	}
}

// by is how a path leads to the node.
func by(p client.Path) string {
	if p.Local.Type == "relay" {
		return p.Local.RelayProtocol
	}
	return p.Local.Protocol
}

// A Go client joins from behind every NAT and firewall, has its media by the best way that there is, both ways, and every step of
// it within its budget.
func TestHomeJoins(t *testing.T) {
	joins := 3
	if os.Getenv("LAB_FULL") != "" {
		joins = 20
	}
	w := lab.StartWorld(t, lab.Path{}, 1, "eu")
	n := w.Nodes()[0]
	meeting := n.NewMeeting(t, "From everywhere", nil)
	near := attend(t, n, meeting.ID, "Near", true)
	figures := newTable(t, "from, step", "p50", "p95", "budget", "")
	for _, way := range ways() {
		name := way.access.Name
		h := lab.NewHome(t, w, way.access.Over(nearby()))
		var measured []client.Timings
		for range joins {
			p := attendFrom(t, h, n, meeting.ID, "Far")
			lab.Until(t, 10*time.Second, name+": sound and picture", func() bool {
				return p.Timings().FirstAudio > 0 && p.Timings().FirstVideo > 0
			})
			measured = append(measured, p.Timings())
			awaitMedia(t, 10*time.Second, p, near)
			if path, ok := p.Path(); !ok || by(path) != way.by {
				t.Errorf("%s: media goes over %+v, want %s", name, path, way.by)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		figures.add(name+": by "+way.by, "", "", "", "")
		holdSteps(t, figures, "  ", measured)
	}
}

// attendFrom brings somebody who is in the home into the meeting through the node, with camera and microphone.
func attendFrom(tb testing.TB, h *lab.Home, n *lab.Node, meeting, name string) *person {
	tb.Helper()
	p := &person{name: name, node: n, sends: true, watch: newMediaWatch()}
	p.Client = h.Join(tb, n, meeting, client.JoinOptions{DisplayName: name}, client.Options{
		OnPacket: p.watch.packet,
		Publish:  []*client.Publication{camera(tb), client.NewMicrophone(clip(tb, "tone.ogg").Loop(), nil)},
	})
	go drain(p.Client)
	return p
}
