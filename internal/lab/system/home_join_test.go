package system_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// nearby is the way from a home to a node of its own city: 4 ms there and back.
func nearby() lab.Path { return lab.Path{Delay: 2 * time.Millisecond} }

// way is a network that people join from, and the path that their media must have there.
type way struct {
	access    lab.Access
	transport client.Transport // that they ask for
	by        string           // udp or tcp to the node, or relay and what leads to it
}

func ways() []way {
	return []way{
		{lab.FullCone(), client.TransportAny, "udp"},
		{lab.PortRestricted(), client.TransportAny, "udp"},
		{lab.Symmetric(), client.TransportAny, "udp"},
		{lab.UDPBlocked(), client.TransportAny, "tcp"},
		{lab.OnlyTCP443(), client.TransportAny, "relay tls"},
	}
}

// moreWays are for who need not start a browser for each.
func moreWays() []way {
	return append(ways(),
		way{lab.UDPBlocked().Rejecting(), client.TransportAny, "tcp"},
		way{lab.OnlyTCP443().Rejecting(), client.TransportAny, "relay tls"},
		way{lab.Symmetric(), client.TransportTCP, "tcp"},
		way{lab.Symmetric(), client.TransportRelay, "relay udp"},
		way{lab.UDPBlocked(), client.TransportRelay, "relay tcp"},
	)
}

// by is how a path leads to the node.
func by(p client.Path) string {
	if p.Local.Type == "relay" {
		return "relay " + p.Local.RelayProtocol
	}
	return p.Local.Protocol
}

// startSecure is a node in the first region that serves TLS on port 443, and whom its clients trust.
func startSecure(tb testing.TB, regions ...string) (*lab.World, *lab.Node, *lab.Authority) {
	tb.Helper()
	w, authority := lab.NewWorld(tb, lab.Path{}, regions...), lab.NewAuthority(tb)
	n := w.AddSecureNode(tb, w.Regions[0], authority)
	w.AwaitNodes(tb)
	return w, n, authority
}

// A Go client joins from behind every NAT and firewall, has its media by the best way that there is, both ways, and every step of
// it within its budget.
func TestHomeJoins(t *testing.T) {
	const leaveBound = 2 * time.Second // what was begun in vain is given up
	joins, percent := 3, 0
	if os.Getenv("LAB_FULL") != "" {
		joins, percent = 20, 95
	}
	w, n, _ := startSecure(t, "eu")
	meeting := n.NewMeeting(t, "From everywhere", nil)
	near := attend(t, n, meeting.ID, "Near", true)
	figures := newTable(t, "from, step", "p50", "p95", "budget", "")
	for _, way := range moreWays() {
		name := strings.TrimSpace(way.access.Name + " " + string(way.transport))
		h := lab.NewHome(t, w, way.access.Over(nearby()))
		var measured []client.Timings
		for range joins {
			p := attendFrom(t, h, n, meeting.ID, "Far", way.transport)
			lab.Until(t, 10*time.Second, name+": sound and picture", func() bool {
				return p.Timings().FirstAudio > 0 && p.Timings().FirstVideo > 0
			})
			measured = append(measured, p.Timings())
			awaitMedia(t, 10*time.Second, p, near)
			if path, ok := p.Path(); !ok || by(path) != way.by {
				t.Errorf("%s: media goes over %+v, want %s", name, path, way.by)
			}
			start := time.Now()
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took > leaveBound {
				t.Errorf("%s: leaving took %s, want at most %s", name, took, leaveBound)
			}
		}
		figures.add(name+": by "+way.by, "", "", "", "")
		holdSteps(t, figures, "  ", measured, percent)
	}
}

// Who can only be relayed comes to another node, and its relay, in the middle of the call when their node drains or dies.
func TestHomeMovesToAnotherRelay(t *testing.T) {
	for _, tc := range []struct {
		name    string
		end     func(*lab.Node, testing.TB)
		silence time.Duration // at most
	}{
		{"drains", func(n *lab.Node, tb testing.TB) { n.Stop(tb) }, time.Second},
		{"dies", func(n *lab.Node, tb testing.TB) { n.Kill(tb) }, 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, stays, authority := startSecure(t, "eu", "us")
			leaves := w.AddSecureNode(t, w.Regions[1], authority)
			w.AwaitNodes(t)
			meeting := w.NewMeeting(t, "A relay goes away")
			near := attend(t, stays, meeting.ID, "Near", true)
			h := lab.NewHome(t, w, lab.OnlyTCP443().Over(nearby()))
			far := attendFrom(t, h, leaves, meeting.ID, "Far", client.TransportAny)
			awaitMedia(t, 20*time.Second, far, near)
			through := func(n *lab.Node) bool {
				path, ok := far.Path()
				return ok && by(path) == "relay tls" && path.Local.Address.Addr() == n.Media.Addr() && path.Remote.Address == n.Media
			}
			if !through(leaves) {
				path, _ := far.Path()
				t.Fatalf("media goes over %+v, want the relay of %s", path, leaves.ID)
			}
			mark([]*person{far, near})
			tc.end(leaves, t)
			lab.Until(t, 2*tc.silence, "media goes through the relay of "+stays.ID, func() bool { return through(stays) })
			all := flows([]*person{far, near}, nil)
			for _, f := range all {
				lab.Until(t, 2*tc.silence, f.String()+" goes on", func() bool { return time.Since(f.now().last) < 100*time.Millisecond })
			}
			figures := newTable(t, "the node of who can only be relayed "+tc.name, "measured", "bound", "")
			gaps, _ := longest(all)
			for i, f := range all {
				figures.add("longest silence of "+f.String(), gaps[i], tc.silence, verdict(gaps[i] < tc.silence))
				if gaps[i] >= tc.silence {
					t.Errorf("%s was silent for %s", f, gaps[i])
				}
			}
			awaitMedia(t, 10*time.Second, far, near)
		})
	}
}

// attendFrom brings somebody who is in the home into the meeting through the node, with camera and microphone.
func attendFrom(tb testing.TB, h *lab.Home, n *lab.Node, meeting, name string, by client.Transport) *person {
	tb.Helper()
	p := &person{name: name, node: n, sends: true, watch: newMediaWatch()}
	p.Client = h.Join(tb, n, meeting, client.JoinOptions{DisplayName: name}, client.Options{
		OnPacket: p.watch.packet, Transport: by,
		Publish: []*client.Publication{camera(tb), client.NewMicrophone(clip(tb, "tone.ogg").Loop(), nil)},
	})
	go drain(p.Client)
	return p
}

// A browser joins from behind every NAT and firewall, has its media by the best way that there is, and they go both ways.
func TestHomeBrowsers(t *testing.T) {
	w, n, authority := startSecure(t, "eu")
	for _, way := range ways() {
		t.Run(way.access.Name, func(t *testing.T) {
			h := lab.NewHome(t, w, way.access.Over(nearby()))
			meeting := n.NewMeeting(t, "From "+way.access.Name, nil)
			near := attend(t, n, meeting.ID, "Near", true)
			known := []string{near.Self().ID}
			heard := together(30*time.Second,
				milestone{what: "Near hears the browser", is: func() bool { return near.watch.hasOther(known, "audio") }},
				milestone{what: "Near sees the browser", is: func() bool { return near.watch.hasOther(known, "video") }},
			)
			lab.Browse(t, n, "home.test.mjs", h.Namespace, 3*time.Minute, "LAB_JOIN_URL="+n.URL+"/m/"+meeting.ID, "LAB_BY="+way.by,
				"NODE_EXTRA_CA_CERTS="+authority.File, "LAB_ANY_CERTIFICATE=1")
			for m := range heard {
				if !m.reached {
					t.Errorf("not within 30 s: %s", m.what)
				}
			}
		})
	}
}
