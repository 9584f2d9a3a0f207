package system_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// clip loads one of the client's recordings.
func clip(tb testing.TB, name string) *client.Clip {
	tb.Helper()
	c, err := client.LoadClip(filepath.Join(lab.Root(tb), "signal", "client", "testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// camera publishes the three layers of a recording.
func camera(tb testing.TB) *client.Publication {
	tb.Helper()
	return client.NewCamera(clip(tb, "vp8-q.ivf").Loop(), clip(tb, "vp8-h.ivf").Loop(), clip(tb, "vp8-f.ivf").Loop())
}

// join brings a Go client into a meeting and takes it out when the test is over.
func join(tb testing.TB, n *lab.Node, meeting string, how client.JoinOptions, opts client.Options) *client.Client {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	if n.TLS != nil {
		how.HTTPClient, opts.HTTPClient = n.TLS.HTTPClient(), n.TLS.HTTPClient()
	}
	ticket, err := client.JoinMeeting(ctx, n.URL, meeting, how)
	if err != nil {
		tb.Fatal(err)
	}
	if opts.TLS != nil && opts.Transport == client.TransportRelay {
		keepTLS(&ticket)
	}
	c, err := client.Connect(ctx, ticket, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	go drain(c)
	return c
}

// keepTLS leaves the ticket only the relays that are reached by TLS.
func keepTLS(ticket *client.Ticket) {
	for i := range ticket.ICEServers {
		urls := &ticket.ICEServers[i].URLs
		*urls = slices.DeleteFunc(slices.Clone(*urls), func(url string) bool { return !strings.HasPrefix(url, "turns:") })
	}
}

// drain reads a client's events for those who do not care.
func drain(c *client.Client) {
	for range c.Events() { //nolint:revive // nothing to do with them
	}
}

// watcher notes the packets that a client receives.
type watcher struct {
	mu      sync.Mutex
	count   int
	last    time.Time
	longest time.Duration // between two packets
}

func (w *watcher) packet(client.Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.count > 0 {
		w.longest = max(w.longest, now.Sub(w.last))
	}
	w.count++
	w.last = now
}

// reset starts a new measurement from now.
func (w *watcher) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count, w.longest = 0, 0
}

// result is how many packets came, and the longest silence, the one until now included.
func (w *watcher) result() (count int, longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count, max(w.longest, time.Since(w.last))
}

// Fifty people join one after the other; every step stays within its budget (SPEC.md section 10).
func TestTimingsOfJoins(t *testing.T) {
	const joins = 50
	n := lab.StartNode(t)
	meeting := n.NewMeeting(t, "Timings", map[string]any{"max_participants": 2 * joins})
	join(t, n, meeting.ID, client.JoinOptions{HostKey: meeting.HostKey, DisplayName: "Speaker"}, client.Options{
		Publish: []*client.Publication{camera(t), client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
	})

	measured := make([]client.Timings, 0, joins)
	for range joins {
		c := join(t, n, meeting.ID, client.JoinOptions{DisplayName: "Listener"}, client.Options{})
		lab.Until(t, 10*time.Second, "sound and picture", func() bool {
			return c.Timings().FirstAudio > 0 && c.Timings().FirstVideo > 0
		})
		measured = append(measured, c.Timings())
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}

	figures := newTable(t, "step", "p50", "p95", "budget", "")
	holdSteps(t, figures, "", measured, 95)
	n.Stop(t)
}

// A browser joins on the node's own machine, a few times; so do its steps.
func TestTimingsOfBrowserJoins(t *testing.T) {
	n := lab.StartNode(t)
	meeting := n.NewMeeting(t, "Timings", nil)
	join(t, n, meeting.ID, client.JoinOptions{HostKey: meeting.HostKey, DisplayName: "Speaker"}, client.Options{
		Publish: []*client.Publication{camera(t), client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
	})
	lab.Browse(t, n, "home.test.mjs", "", 3*time.Minute, "LAB_JOIN_URL="+n.URL+"/m/"+meeting.ID, "LAB_BY=udp")
}

// A browser hears somebody who is there already, soon; the table has when each step was done.
func TestTimingsOfFirstVoice(t *testing.T) {
	n := lab.StartNode(t)
	meeting := n.NewMeeting(t, "First voice", nil)
	join(t, n, meeting.ID, client.JoinOptions{HostKey: meeting.HostKey, DisplayName: "Speaker"}, client.Options{
		VideoSlots: client.NoSlots, AudioSlots: client.NoSlots, Publish: []*client.Publication{client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
	})
	lab.Browse(t, n, "voice.test.mjs", "", 3*time.Minute, "LAB_JOIN_URL="+n.URL+"/m/"+meeting.ID)
}

// holdSteps adds the steps of some joins to a table and holds a percentile of them to their budgets (SPEC.md section 10): of a few
// joins the quickest, for what a busy machine adds is not the network's.
func holdSteps(tb testing.TB, figures *table, prefix string, measured []client.Timings, percent int) {
	tb.Helper()
	for _, step := range []struct {
		name   string
		budget time.Duration // at most; 0: none
		of     func(client.Timings) time.Duration
	}{
		{"POST …/join", 80 * time.Millisecond, func(m client.Timings) time.Duration { return m.Join }},
		{"WebSocket upgrade", 40 * time.Millisecond, func(m client.Timings) time.Duration { return m.WebSocket }},
		{"offer → answer", 30 * time.Millisecond, func(m client.Timings) time.Duration { return m.OfferAnswer }},
		{"ICE", 200 * time.Millisecond, func(m client.Timings) time.Duration { return m.ICE }},
		{"DTLS", 60 * time.Millisecond, func(m client.Timings) time.Duration { return m.DTLS }},
		{"click → first audio", 410 * time.Millisecond, func(m client.Timings) time.Duration { return m.FirstAudio }},
		{"click → first picture", 0, func(m client.Timings) time.Duration { return m.FirstVideo }},
	} {
		durations := make([]time.Duration, 0, len(measured))
		for _, m := range measured {
			durations = append(durations, step.of(m))
		}
		p50, p95, held := percentile(durations, 50), percentile(durations, 95), percentile(durations, percent)
		if step.budget == 0 {
			figures.add(prefix+step.name, p50, p95, "", "")
			continue
		}
		figures.add(prefix+step.name, p50, p95, step.budget, verdict(held <= step.budget))
		if held > step.budget {
			tb.Errorf("%s%s: p%d = %s, budget %s", prefix, step.name, percent, held, step.budget)
		}
	}
}
