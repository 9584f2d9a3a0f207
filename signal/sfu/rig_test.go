package sfu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/placement"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("nobody answers")

// medium is a bus between several nodes, in memory. Each node has its end of it.
type medium struct {
	mu   sync.Mutex
	subs map[string]func(string, []byte)
	serv map[string]func(context.Context, []byte) ([]byte, error)
	lose func(subject string, data []byte) bool // nil: nothing is lost
}

func newMedium() *medium {
	return &medium{subs: map[string]func(string, []byte){}, serv: map[string]func(context.Context, []byte) ([]byte, error){}}
}

// losing has messages lost for which f is true.
func (m *medium) losing(f func(subject string, data []byte) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lose = f
}

func (m *medium) lost(subject string, data []byte) bool {
	return m.lose != nil && m.lose(subject, data)
}

// end is one node's end of the medium. It implements Bus.
type end struct {
	*medium
	mu   sync.Mutex
	away bool
}

func (e *end) cut(away bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away = away
}

func (e *end) Connected() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.away
}

func (e *end) Publish(subject string, data []byte) error {
	e.medium.mu.Lock()
	defer e.medium.mu.Unlock()
	if f := e.subs[subject]; f != nil && e.Connected() && !e.lost(subject, data) {
		f(subject, data) // fakes do not block
	}
	return nil
}

func (e *end) Subscribe(subject string, f func(string, []byte)) (func(), error) {
	e.medium.mu.Lock()
	defer e.medium.mu.Unlock()
	e.subs[subject] = func(subject string, data []byte) {
		if e.Connected() {
			f(subject, data)
		}
	}
	return func() {
		e.medium.mu.Lock()
		defer e.medium.mu.Unlock()
		delete(e.subs, subject)
	}, nil
}

func (e *end) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	e.medium.mu.Lock()
	f, lost := e.serv[subject], e.lost(subject, data)
	e.medium.mu.Unlock()
	if f == nil || lost || !e.Connected() {
		return nil, errAway
	}
	answer, err := f(ctx, data)
	e.medium.mu.Lock()
	defer e.medium.mu.Unlock()
	if e.lost(subject, answer) {
		return nil, errAway // it was obeyed, but nobody hears of it
	}
	return answer, err
}

func (e *end) Serve(subject string, f func(context.Context, []byte) ([]byte, error)) (func(), error) {
	e.medium.mu.Lock()
	defer e.medium.mu.Unlock()
	e.serv[subject] = func(ctx context.Context, data []byte) ([]byte, error) {
		if !e.Connected() {
			return nil, errAway
		}
		return f(ctx, data)
	}
	return func() {
		e.medium.mu.Lock()
		defer e.medium.mu.Unlock()
		delete(e.serv, subject)
	}, nil
}

// gossip is the nodes that live. It implements Cluster.
type gossip struct {
	mu       sync.Mutex
	nodes    map[string]uint64 // incarnations
	silent   map[string]bool   // do not answer
	watchers []func(joined, left []string)
}

func (g *gossip) Nodes() []placement.Node {
	g.mu.Lock()
	defer g.mu.Unlock()
	var nodes []placement.Node
	for id, incarnation := range g.nodes {
		nodes = append(nodes, placement.Node{ID: id, Incarnation: incarnation})
	}
	return nodes
}

func (g *gossip) Answers(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nodes[id] != 0 && !g.silent[id]
}

func (g *gossip) silence(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.silent = map[string]bool{id: true}
}

func (g *gossip) Watch(f func(joined, left []string)) func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watchers = append(g.watchers, f)
	return func() {}
}

// set lets a node live in an incarnation, or die with 0.
func (g *gossip) set(id string, incarnation uint64) {
	g.mu.Lock()
	if g.nodes[id] = incarnation; incarnation == 0 {
		delete(g.nodes, id)
	}
	watchers := slices.Clone(g.watchers)
	g.mu.Unlock()
	for _, f := range watchers {
		f(nil, nil)
	}
}

// fakeSFU keeps what it is told. It implements Media.
type fakeSFU struct {
	mu     sync.Mutex
	peers  []*fakePeer // all that ever were
	remote map[string]string
	muted  map[string]bool // remote tracks
}

type fakePeer struct {
	cfg node.PeerConfig

	mu     sync.Mutex
	offers []string
	tracks []node.Track
	muted  map[node.Source]bool
	wish   node.Subscription
	closed bool
}

func newFakeSFU() *fakeSFU { return &fakeSFU{remote: map[string]string{}, muted: map[string]bool{}} }

func (f *fakeSFU) Join(cfg node.PeerConfig) (Peer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &fakePeer{cfg: cfg, muted: map[node.Source]bool{}}
	f.peers = append(f.peers, p)
	return p, nil
}

func (f *fakeSFU) AddRemote(room string, t node.Track, from string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remote[t.ID] = room + " from " + from
}

func (f *fakeSFU) RemoveRemote(track string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.remote, track)
	delete(f.muted, track)
}

func (f *fakeSFU) MuteRemote(track string, muted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.muted[track] = muted; !muted {
		delete(f.muted, track)
	}
}

// living returns the peers that are not closed, of a participant.
func (f *fakeSFU) living(participant string) (living []*fakePeer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.peers {
		p.mu.Lock()
		if !p.closed && p.cfg.Participant == participant {
			living = append(living, p)
		}
		p.mu.Unlock()
	}
	return living
}

// shows describes the tracks of other nodes.
func (f *fakeSFU) shows() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for id, from := range f.remote {
		line := id + " of " + from
		if f.muted[id] {
			line += " muted"
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// Offer publishes a microphone for the letter m in the SDP and a camera for c, each named by a hint or not.
func (p *fakePeer) Offer(_ context.Context, o node.Offer) (node.Answer, error) {
	if o.SDP == "bad" {
		return node.Answer{}, &node.Error{Kind: node.Invalid, Code: "bad_sdp", Say: "It is bad."}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offers = append(p.offers, o.SDP)
	a := node.Answer{SDP: "answer to " + o.SDP}
	for i, letter := range o.SDP {
		source, is := map[rune]node.Source{'m': node.Microphone, 'c': node.Camera}[letter]
		if !is {
			continue
		}
		id := fmt.Sprintf("tr_%s_%d", p.cfg.Participant, i)
		if !slices.ContainsFunc(p.tracks, func(t node.Track) bool { return t.ID == id }) {
			if !o.Allow(source) {
				a.Refused = append(a.Refused, fmt.Sprint(i))
				continue
			}
			p.tracks = append(p.tracks, node.Track{ID: id, ParticipantID: p.cfg.Participant, Kind: source.Kind(), Source: source})
		}
	}
	a.Tracks = slices.Clone(p.tracks)
	return a, nil
}

func (p *fakePeer) Subscribe(s node.Subscription) error {
	if len(s.Slots) > 0 && s.Slots[0].MID == "none" {
		return &node.Error{Kind: node.Invalid, Code: "invalid_message", Say: "There is no such slot."}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wish = s
	return nil
}

func (p *fakePeer) SetMuted(source node.Source, muted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted[source] = muted
}

func (p *fakePeer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

func (p *fakePeer) isMuted(source node.Source) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.muted[source]
}

// diary writes down what a peer tells. It implements node.PeerEvents and Losable.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// read returns what was written since it was read last.
func (d *diary) read() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return strings.Join(lines, "; ")
}

func (d *diary) TrackUnpublished(t node.Track) { d.write("unpublished %s", t.ID) }
func (d *diary) LayersWanted(id string, layers []string, spatial int) {
	d.write("layers %s %v %d", id, layers, spatial)
}
func (d *diary) Connected()             { d.write("connected") }
func (d *diary) Disconnected(err error) { d.write("disconnected: %v", err) }
func (d *diary) Lost(error)             { d.write("lost") }
func (d *diary) SlotsChanged(slots []node.Slot) {
	var shown []string
	for _, s := range slots {
		shown = append(shown, s.MID+"="+s.TrackID)
	}
	d.write("slots %v", shown)
}

// tiers is one media node, m1, and signalling nodes, all in one bubble of synctest.
type tiers struct {
	t      *testing.T
	medium *medium
	gossip *gossip
	sfu    *fakeSFU
	server *Server
	ends   map[string]*end
	fleets map[string]*Fleet
	stops  map[string]context.CancelFunc
}

// inTiers runs a test in a bubble with signalling nodes s1 and s2.
func inTiers(t *testing.T, test func(*testing.T, *tiers)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &tiers{
			t: t, medium: newMedium(), gossip: &gossip{nodes: map[string]uint64{"m1": 1}}, sfu: newFakeSFU(),
			ends: map[string]*end{}, fleets: map[string]*Fleet{}, stops: map[string]context.CancelFunc{},
		}
		r.server = NewServer(r.sfu, r.end("m1"), r.gossip, "m1", slog.New(slog.DiscardHandler))
		go func() { _ = r.server.Run(t.Context()) }()
		r.start("s1", 1)
		r.start("s2", 1)
		synctest.Wait()
		test(t, r)
	})
}

func (r *tiers) end(id string) *end {
	r.ends[id] = &end{medium: r.medium}
	return r.ends[id]
}

// start starts a signalling node in an incarnation.
func (r *tiers) start(id string, incarnation uint64) {
	r.gossip.set(id, incarnation)
	f := NewFleet(r.end(id), r.gossip, id, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(r.t.Context())
	r.fleets[id], r.stops[id] = f, stop
	go func() { _ = f.Run(ctx) }()
}

// kill ends a signalling node without a word.
func (r *tiers) kill(id string) {
	r.ends[id].cut(true)
	r.stops[id]()
	synctest.Wait()
	r.gossip.set(id, 0)
}

// join has a participant's peer answer an offer, through a signalling node.
func (r *tiers) join(signal, participant, sdp string) (Peer, *diary) {
	r.t.Helper()
	d := &diary{}
	p, err := r.fleets[signal].On("m1").Join(config(participant, d))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := p.Offer(r.t.Context(), node.Offer{SDP: sdp}); err != nil {
		r.t.Fatal(err)
	}
	return p, d
}

func config(participant string, events node.PeerEvents) node.PeerConfig {
	return node.PeerConfig{Room: "mtg_1", Participant: participant, CanPublish: true, Events: events, Log: slog.New(slog.DiscardHandler)}
}

func track1(id string) node.Track {
	return node.Track{ID: id, ParticipantID: "pt_x", Kind: node.Video, Source: node.Camera, Layers: []string{"q", "h", "f"}}
}
