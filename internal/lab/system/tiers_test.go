package system_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// tiered runs two nodes for REST and signalling and two for media, in four regions. The first runs NATS and is never
// killed; the second is the other one for signalling.
func tiered(t *testing.T) (nodes []*lab.Node) {
	t.Helper()
	edge, media := "api,signal", "media"
	return lab.StartCluster(t, 4, edge, edge, media, media)
}

// guest is a participant with a camera and a microphone, and what it receives.
type guest struct {
	*client.Client
	ear *ear
}

// enter joins a meeting through REST of a node, wishing for a region's media.
func enter(t *testing.T, n *lab.Node, meeting, name, region string) guest {
	t.Helper()
	g := guest{ear: &ear{count: map[string]int{}}}
	g.Client = join(t, n, meeting, client.JoinOptions{DisplayName: name, Region: region}, client.Options{
		Publish:  []*client.Publication{camera(t), client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
		OnPacket: g.ear.packet,
	})
	return g
}

// meet waits until everybody receives sound and picture of each other, and checks that nobody receives themselves.
func meet(t *testing.T, what string, all ...guest) {
	t.Helper()
	type line struct {
		from, to guest
		kind     string
	}
	before := map[line]int{}
	for _, to := range all {
		for _, from := range all {
			if from != to {
				before[line{from, to, "audio"}] = to.ear.of(from.Client, "audio")
				before[line{from, to, "video"}] = to.ear.of(from.Client, "video")
			}
		}
	}
	for l, n := range before {
		lab.Until(t, 20*time.Second, what, func() bool { return l.to.ear.of(l.from.Client, l.kind) > n+10 })
	}
	for _, g := range all {
		if n := g.ear.of(g.Client, "audio") + g.ear.of(g.Client, "video"); n != 0 {
			t.Errorf("somebody received %d packets of their own", n)
		}
	}
}

// meetingOver makes meetings until one has its first signalling on a node: which of them it is follows from the meeting's id.
func meetingOver(t *testing.T, rest, wanted *lab.Node) string {
	t.Helper()
	for range 64 {
		m := rest.NewMeeting(t, "Tiers", nil)
		ticket, err := client.JoinMeeting(t.Context(), rest.URL, m.ID, client.JoinOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimPrefix(ticket.SignalEndpoint, "ws") == strings.TrimPrefix(wanted.URL, "http")+"/v1/signal" {
			return m.ID
		}
	}
	t.Fatal("no meeting has its signalling there")
	return ""
}

// REST and signalling run on other nodes than media. Two people on two media nodes see and hear each other, a third joins,
// and mute stops media. Each node serves only what it is for.
func TestTiersMeet(t *testing.T) {
	nodes := tiered(t)
	for i, n := range nodes {
		socket := n.Call(t, http.MethodGet, "/v1/signal", nil, nil)
		meetings := n.Call(t, http.MethodGet, "/v1/meetings", nil, nil)
		if want := [2]int{http.StatusUpgradeRequired, http.StatusOK}; i < 2 && want != [2]int{socket, meetings} {
			t.Errorf("node %d answers %d and %d", i+1, socket, meetings)
		}
		if want := [2]int{http.StatusNotFound, http.StatusNotFound}; i >= 2 && want != [2]int{socket, meetings} {
			t.Errorf("node %d answers %d and %d", i+1, socket, meetings)
		}
	}
	figures := newTable(t, "what", "measured")
	meeting := nodes[0].NewMeeting(t, "Tiers", nil).ID
	start := time.Now()
	a, b := enter(t, nodes[0], meeting, "A", "region-3"), enter(t, nodes[0], meeting, "B", "region-4")
	meet(t, "two people on two media nodes", a, b)
	figures.add("two join, and each has sound and picture of the other", time.Since(start))
	figures.add("offer → answer over the bus", a.Timings().OfferAnswer)
	start = time.Now()
	c := enter(t, nodes[1], meeting, "C", "region-3")
	meet(t, "a third", a, b, c)
	figures.add("a third joins, and all have each other", time.Since(start))

	muted := true
	if err := a.Presence(t.Context(), wire.PresenceUpdate{AudioMuted: &muted}); err != nil {
		t.Fatal(err)
	}
	for _, g := range []guest{b, c} {
		still := 0
		lab.Until(t, 5*time.Second, "mute stops the sound", func() bool {
			before := still
			still = g.ear.of(a.Client, "audio")
			video := g.ear.of(a.Client, "video")
			lab.Until(t, 5*time.Second, "the picture goes on", func() bool { return g.ear.of(a.Client, "video") > video+5 })
			return still == before && g.ear.of(a.Client, "audio") == still
		})
	}
}

// The signalling node is killed: its participants resume through the other one, and their media never stops. It is stopped:
// they are moved to the other one before, and never lose their socket.
func TestTiersOutliveASignallingNode(t *testing.T) {
	t.Run("killed", func(t *testing.T) { outlive(t, (*lab.Process).Kill, back) })
	t.Run("stopped", func(t *testing.T) { outlive(t, (*lab.Process).Stop, stays) })
}

func outlive(t *testing.T, end func(*lab.Process, testing.TB), goesOn func(*testing.T, guest, time.Time) time.Duration) {
	t.Helper()
	nodes := tiered(t)
	meeting := meetingOver(t, nodes[0], nodes[1])
	a, b := enter(t, nodes[0], meeting, "A", "region-3"), enter(t, nodes[0], meeting, "B", "region-4")
	meet(t, "they see and hear each other", a, b)
	gaps := []*gap{watchGap(t, a, b), watchGap(t, b, a)}
	ids := []string{a.Self().ID, b.Self().ID}
	start := time.Now()
	noticed := make(chan time.Duration, 2)
	for _, g := range []guest{a, b} {
		go func() { noticed <- goesOn(t, g, start) }()
	}
	end(nodes[1].Process, t)
	figures := newTable(t, "what", "measured", "bound", "")
	figures.add("from the end until both were seen to be there", max(<-noticed, <-noticed), "", "")
	meet(t, "they still see and hear each other", a, b)
	up := true
	if err := a.Presence(t.Context(), wire.PresenceUpdate{HandRaised: &up}); err != nil {
		t.Fatal(err)
	}
	lab.Until(t, 5*time.Second, "signalling works", func() bool {
		for _, p := range b.Participants() {
			if p.ID == ids[0] && p.HandRaised {
				return true
			}
		}
		return false
	})
	for i, g := range gaps {
		longest := g.stop()
		const bound = 400 * time.Millisecond
		figures.add(fmt.Sprintf("longest silence of media, person %d", i+1), longest, bound, verdict(longest < bound))
		if longest >= bound {
			t.Errorf("media stopped for %s", longest)
		}
	}
	if a.Self().ID != ids[0] || b.Self().ID != ids[1] {
		t.Error("a participant came back as another")
	}
	if n := len(a.Participants()); n != 2 {
		t.Errorf("%d participants, want 2", n)
	}
}

// stays watches for a while that a client does not lose the room.
func stays(t *testing.T, g guest, start time.Time) time.Duration {
	for end := time.After(3 * time.Second); ; {
		select {
		case <-time.After(time.Millisecond):
		case <-end:
			return time.Since(start)
		}
		if g.State() != client.StateJoined {
			t.Errorf("the client is %v", g.State())
			return 0
		}
	}
}

// back waits until a client has lost its socket and is in the room again.
func back(t *testing.T, g guest, start time.Time) time.Duration {
	for _, joined := range []bool{false, true} {
		for limit := time.Now().Add(10 * time.Second); (g.State() == client.StateJoined) != joined; {
			if time.Now().After(limit) {
				t.Errorf("the client did not come back: it is %v", g.State())
				return 0
			}
			<-time.After(time.Millisecond)
		}
	}
	return time.Since(start)
}

// A media node is killed: who was on it comes back on the other one, as the same participant.
func TestTiersOutliveAMediaNode(t *testing.T) {
	nodes := tiered(t)
	meeting := nodes[0].NewMeeting(t, "Tiers", nil).ID
	a, b := enter(t, nodes[0], meeting, "A", "region-3"), enter(t, nodes[0], meeting, "B", "region-4")
	meet(t, "they see and hear each other", a, b)
	id := a.Self().ID
	start := time.Now()
	nodes[2].Kill(t)
	lab.Until(t, 20*time.Second, "the client notices", func() bool { return a.MediaState() != client.MediaConnected })
	meet(t, "they see and hear each other again", a, b)
	took := time.Since(start)
	const bound = 5 * time.Second // one death, on a busy machine
	figures := newTable(t, "what", "measured", "bound", "")
	figures.add("from the kill to sound and picture both ways", took, bound, verdict(took < bound))
	if took >= bound {
		t.Errorf("it took %s", took)
	}
	if a.Self().ID != id {
		t.Error("the participant came back as another")
	}
	if n := len(b.Participants()); n != 2 {
		t.Errorf("%d participants, want 2", n)
	}
}

// The node that runs NATS is killed: signalling cannot reach the media nodes any more, and media goes on.
func TestTiersMediaNeedsNoBus(t *testing.T) {
	nodes := tiered(t)
	meeting := meetingOver(t, nodes[0], nodes[1])
	a, b := enter(t, nodes[0], meeting, "A", "region-3"), enter(t, nodes[0], meeting, "B", "region-4")
	meet(t, "they see and hear each other", a, b)
	gaps := []*gap{watchGap(t, a, b), watchGap(t, b, a)}
	nodes[0].Kill(t)
	const outage = 10 * time.Second // gossip loses the node meanwhile, and comparisons fail
	start := time.Now()
	lab.Until(t, 2*outage, "time passes", func() bool { return time.Since(start) > outage })
	figures := newTable(t, "what", "measured", "bound", "")
	for i, g := range gaps {
		longest := g.stop()
		const bound = 400 * time.Millisecond
		figures.add(fmt.Sprintf("longest silence of media in 10 s without NATS, person %d", i+1), longest, bound, verdict(longest < bound))
		if longest >= bound {
			t.Errorf("media stopped for %s", longest)
		}
	}
	for _, g := range []guest{a, b} {
		if g.State() != client.StateJoined || g.MediaState() != client.MediaConnected {
			t.Errorf("a client is %v, its media %v", g.State(), g.MediaState())
		}
	}
}

// gap measures the longest time in which one participant receives nothing of another.
type gap struct {
	done    chan struct{}
	longest chan time.Duration
}

func watchGap(t *testing.T, g, other guest) *gap {
	t.Helper()
	w := &gap{done: make(chan struct{}), longest: make(chan time.Duration, 1)}
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var longest time.Duration
		seen, at := 0, time.Now()
		for {
			select {
			case now := <-tick.C:
				if n := g.ear.of(other.Client, "audio"); n != seen {
					seen, at = n, now
				}
				longest = max(longest, now.Sub(at))
			case <-w.done:
				w.longest <- longest
				return
			}
		}
	}()
	return w
}

func (w *gap) stop() time.Duration {
	close(w.done)
	return <-w.longest
}
