package client

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal"
)

// town is real nodes in this process, linked over loopback, that share NATS, keys and revocations. It is the gossip, the
// directory and the introducer of them all.
type town struct {
	*placement.Locator
	t    *testing.T
	keys *grant.Keyring

	mu       sync.Mutex
	nodes    []placement.Node
	sfus     map[string]*node.Node
	watchers []func(joined, left []string)
}

func newTown(t *testing.T, ids ...string) *town {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	w := &town{t: t, sfus: map[string]*node.Node{}}
	busConfig := bus.Defaults()
	busConfig.DataDir = t.TempDir()
	nats, err := bus.New(busConfig, log)
	w.must(err)
	w.keys, err = grant.New(grant.Defaults(), nil, log)
	w.must(err)
	w.Locator, err = placement.NewLocator(placement.LocatorConfig{Region: "here"}, w.Nodes)
	w.must(err)
	run(t, nats.Run)
	select {
	case <-nats.Ready():
	case <-time.After(patience):
		t.Fatal("NATS is not ready")
	}
	for _, id := range ids {
		w.build(id, nats, grant.NewRevocations(nil, log), log)
	}
	return w
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) build(id string, nats *bus.Bus, revoked *grant.Revocations, log *slog.Logger) {
	w.t.Helper()
	cfg := node.Defaults()
	cfg.Media.Listen = "127.0.0.1:0"
	speakers := signal.NewSpeakers()
	sfu, err := node.New(cfg, speakers, &node.Cluster{NodeID: id, Links: cascade.Defaults(), Directory: w, Introducer: w}, log)
	w.must(err)
	svc, err := signal.New(signal.Defaults(), signal.Deps{
		Media: signal.OnNode(sfu), Speakers: speakers, Bus: nats, Cluster: w, Locator: w, Keys: w.keys, Revoked: revoked, NodeID: id, Log: log,
	})
	w.must(err)
	run(w.t, sfu.Run)
	server := httptest.NewServer(svc)
	w.mu.Lock()
	w.sfus[id] = sfu
	w.nodes = append(w.nodes, placement.Node{
		ID: id, Region: "here", SFUEndpoint: sfu.Endpoint(), SignalEndpoint: "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/signal",
		Media: netip.MustParseAddrPort(sfu.Endpoint()), Protocol: placement.CurrentProtocol,
	})
	w.mu.Unlock()
	run(w.t, svc.Run)
	w.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
}

// Nodes implements signal.Cluster.
func (w *town) Nodes() []placement.Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.nodes)
}

// Watch implements signal.Cluster.
func (w *town) Watch(f func(joined, left []string)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchers = append(w.watchers, f)
	return func() {}
}

// Lookup implements cascade.Directory.
func (w *town) Lookup(id string) (cascade.Address, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.nodes, func(n placement.Node) bool { return n.ID == id })
	if i < 0 {
		return cascade.Address{}, false
	}
	return cascade.Address{Media: w.nodes[i].Media, Fingerprint: w.sfus[id].Fingerprint()}, true
}

// Introduce implements cascade.Introducer.
func (w *town) Introduce(_ context.Context, id string, introduction []byte) ([]byte, error) {
	w.mu.Lock()
	sfu := w.sfus[id]
	w.mu.Unlock()
	return sfu.Introduced(introduction)
}

// change alters a node as gossip has it.
func (w *town) change(id string, alter func(*placement.Node)) {
	w.mu.Lock()
	for i := range w.nodes {
		if w.nodes[i].ID == id {
			alter(&w.nodes[i])
		}
	}
	watchers := slices.Clone(w.watchers)
	w.mu.Unlock()
	for _, f := range watchers {
		f(nil, nil)
	}
}

func (w *town) drain(id string) { w.change(id, func(n *placement.Node) { n.Draining = true }) }

// ticket lets somebody into the one meeting, through a node.
func (w *town) ticket(who, id string, settings grant.Settings) Ticket {
	w.t.Helper()
	token, expires, err := w.keys.IssueJoin(grant.Claims{
		MeetingID: "mtg_1", ParticipantID: who, DisplayName: who, Role: grant.Attendee, Settings: settings,
	})
	w.must(err)
	ticket := Ticket{ParticipantID: who, JoinToken: token, ExpiresAt: expires}
	for _, n := range w.Nodes() {
		if n.ID == id {
			ticket.SignalEndpoint = n.SignalEndpoint
		} else {
			ticket.Alternates = append(ticket.Alternates, Endpoints{SignalEndpoint: n.SignalEndpoint})
		}
	}
	return ticket
}

// spoken shows what a client logs if the test fails.
func spoken(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// gaps finds the longest time without a packet of each participant's kind of media.
type gaps struct {
	mu      sync.Mutex
	last    map[string]time.Time
	longest map[string]time.Duration
	sent    map[string][]time.Time // when what came was sent, by the stamps of its frames
}

func (g *gaps) packet(p Packet) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := p.Slot.ParticipantID + " " + p.Slot.Source
	if at, seen := g.last[key]; seen {
		g.longest[key] = max(g.longest[key], p.Arrived.Sub(at))
	}
	g.last[key] = p.Arrived
	if !p.SentAt.IsZero() {
		g.sent[key] = append(g.sent[key], p.SentAt)
	}
}

// missing estimates how many frames never came, over whichever connection: by the holes between the times of sending.
func (g *gaps) missing(participantID, source string) (frames int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	sent := slices.SortedFunc(slices.Values(g.sent[participantID+" "+source]), time.Time.Compare)
	var steps []time.Duration
	for i := 1; i < len(sent); i++ {
		if step := sent[i].Sub(sent[i-1]); step > frameTime/2 { // not the same frame again, nor its other layers
			steps = append(steps, step)
		}
	}
	for _, step := range steps {
		frames += max(0, int((step+frameTime/2)/frameTime)-1)
	}
	return frames
}

// frameTime is between two frames of the camera clips.
const frameTime = time.Second / 15

// reset begins to count, and take ends.
func (g *gaps) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last, g.longest, g.sent = map[string]time.Time{}, map[string]time.Duration{}, map[string][]time.Time{}
}

func (g *gaps) take(participantID, source string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := participantID + " " + source
	at, seen := g.last[key]
	if !seen {
		return time.Hour
	}
	return max(g.longest[key], time.Since(at))
}

// events collects what a client is told until it is asked.
func collect(c *Client) (take func() []Event) {
	var got []Event
	return func() []Event {
		for {
			select {
			case e, more := <-c.Events():
				if !more {
					return got
				}
				got = append(got, e)
			default:
				return got
			}
		}
	}
}
