package sfu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/node"
)

// maxMarks is how many peers are compared in one message.
const maxMarks = 2000

// Fleet is the media of all other nodes, for one signalling node. It is safe for concurrent use.
type Fleet struct {
	bus     Bus
	cluster Cluster
	self    string
	session uint64 // this node's incarnation
	log     *slog.Logger
	pulls   *telemetry.CounterMetric // peers' states that were fetched whole
	losses  *telemetry.CounterMetric // peers lost with their node
	wake    chan struct{}            // has an element when the nodes have changed

	mu       sync.Mutex
	remotes  map[string]*Remote
	speakers func(node, room string, who []node.Speaker)
	last     uint64 // peer made
}

// NewFleet returns a Fleet whose media works at once; what media nodes tell is heard while Run runs.
func NewFleet(bus Bus, cluster Cluster, self string, log *slog.Logger) *Fleet {
	session, _ := incarnationOf(self, cluster.Nodes())
	return &Fleet{
		bus: bus, cluster: cluster, self: self, session: session, log: log,
		pulls: telemetry.Counter("parley_media_pulls_total"), losses: telemetry.Counter("parley_media_lost_peers_total"),
		wake: make(chan struct{}, 1), remotes: map[string]*Remote{},
		speakers: func(string, string, []node.Speaker) {},
	}
}

// Listen has f called with the speaker orders that media nodes tell of rooms. f must not block. Call it before Run.
func (f *Fleet) Listen(heard func(node, room string, who []node.Speaker)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.speakers = heard
}

// On returns the media of a node, whether it lives or not. When it dies, its peers are told by Losable.
func (f *Fleet) On(id string) *Remote {
	f.mu.Lock()
	r := f.remotes[id]
	f.mu.Unlock()
	if r != nil {
		return r
	}
	life, _ := incarnationOf(id, f.cluster.Nodes())
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.remotes[id] == nil {
		f.remotes[id] = newRemote(f, id, life)
	}
	return f.remotes[id]
}

// Run hears events, compares with media nodes and notices when they die, until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	stop, err := f.bus.Subscribe(eventSubject+f.self, func(_ string, data []byte) { f.hear(ctx, data) })
	if err != nil {
		return fmt.Errorf("sfu: hear events: %w", err)
	}
	defer stop()
	defer f.cluster.Watch(func(_, _ []string) {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	})()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { f.feel(ctx) })
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.compare(ctx)
		case <-f.wake:
			f.bury(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *Fleet) nextPeer() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	return f.last
}

func (f *Fleet) all() []*Remote {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.remotes))
}

// hear hands an event to its peer.
func (f *Fleet) hear(ctx context.Context, data []byte) {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		f.log.Warn("an event of a media node makes no sense", "error", err)
		return
	}
	f.mu.Lock()
	r, heard := f.remotes[e.Node], f.speakers
	f.mu.Unlock()
	if r == nil || e.Session != f.session {
		return
	}
	if e.Kind == eventSpeakers {
		heard(e.Node, e.Room, each(e.Who, func(s speaker) node.Speaker { return node.Speaker(s) }))
		return
	}
	if p := r.peer(e.Peer); p != nil {
		p.hear(ctx, e)
	}
}

// compare asks every media node in use whether it knows the same as this one.
func (f *Fleet) compare(ctx context.Context) {
	f.bury(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, r := range f.all() {
		if r.idle() {
			continue
		}
		wg.Go(func() {
			if err := r.sync(ctx); err != nil && ctx.Err() == nil {
				f.log.Debug("no comparison with a media node", "peer_node", r.node, "error", err)
			}
		})
	}
}

// bury lets go of what was on media nodes that gossip has lost, unless they still answer. Nobody is given up while the bus is
// away: media may well go on. What was said of tracks stays, should the node come back.
func (f *Fleet) bury(ctx context.Context) {
	nodes := f.cluster.Nodes()
	for _, r := range f.all() {
		incarnation, lives := incarnationOf(r.node, nodes)
		same := lives && r.is(incarnation)
		switch {
		case same || r.idle() || !f.bus.Connected():
		case !lives && r.sync(ctx) == nil:
		default:
			r.lose(fmt.Errorf("%w: %s is gone", ErrUnreachable, r.node))
		}
	}
}

// Remote is the media of one other node. It implements Media.
type Remote struct {
	fleet  *Fleet
	node   string
	misses int           // pulses without an answer; only feel has it
	steps  atomic.Uint64 // told of tracks

	mu    sync.Mutex // before a listing's
	peers map[uint64]*remotePeer
	rooms map[string]*listing // of tracks elsewhere
	where map[string]*listing // by track
	life  uint64              // the node's incarnation when it was seen last
	used  bool                // there is, or may still be, something on the node
}

func newRemote(f *Fleet, id string, life uint64) *Remote {
	return &Remote{fleet: f, node: id, life: life, peers: map[uint64]*remotePeer{}, rooms: map[string]*listing{}, where: map[string]*listing{}}
}

// Join implements Media. The node hears of it with the peer's first offer, which is where it may fail.
func (r *Remote) Join(cfg node.PeerConfig) (Peer, error) { return r.join(cfg), nil }

func (r *Remote) join(cfg node.PeerConfig) *remotePeer {
	p := &remotePeer{
		remote: r, id: r.fleet.nextPeer(), cfg: cfg, calls: make(chan struct{}, 1), muted: map[node.Source]bool{},
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers[p.id], r.used = p, true
	return p
}

// Adopted is what a peer that was taken over has told its signalling node before.
type Adopted struct {
	Tracks  []node.Track
	Slots   []node.Slot
	Wanted  map[string][]string // layers by track
	Spatial map[string]int      // spatial layers likewise, of those of which not all are wanted
	Muted   []node.Source
}

// Adopt takes over a living peer that another signalling node made, or this one in an earlier life, for the same participant.
// Media notices nothing. Without such a peer the error's kind is NotFound.
func (r *Remote) Adopt(ctx context.Context, cfg node.PeerConfig) (Peer, Adopted, error) {
	p := r.join(cfg)
	got, err := p.call(ctx, callTimeout, request{Op: opAdopt})
	if err == nil && got.State == nil {
		err = gone()
	}
	if err != nil {
		p.Close() // the answer alone may be lost
		return nil, Adopted{}, err
	}
	p.adopted(got.State)
	s := got.State
	return p, Adopted{Tracks: tracksIn(s.Tracks), Slots: slotsIn(s.Slots), Wanted: s.Wanted, Spatial: s.Spatial, Muted: s.Muted}, nil
}

func (r *Remote) peer(id uint64) *remotePeer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[id]
}

func (r *Remote) forget(p *remotePeer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, p.id)
}

// ask sends one request and reads the answer. An error of the other node is a *node.Error.
func (r *Remote) ask(ctx context.Context, limit time.Duration, q request) (reply, error) {
	q.From, q.Session = r.fleet.self, r.fleet.session
	data, err := json.Marshal(q)
	if err != nil {
		return reply{}, fmt.Errorf("sfu: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	data, err = r.fleet.bus.Request(ctx, mediaSubject+r.node, data)
	var got reply
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil {
		return reply{}, &node.Error{
			Kind: node.Moved, Code: "going_away", Say: "The media node does not answer.", Err: fmt.Errorf("%w: %w", ErrUnreachable, err),
		}
	}
	if e := got.Error; e != nil {
		return reply{}, &node.Error{Kind: e.Kind, Code: e.Code, Say: e.Say, Err: errors.New("said by " + r.node)}
	}
	return got, nil
}

// sync compares with the node and mends what differs.
func (r *Remote) sync(ctx context.Context) error {
	steps := r.steps.Load()
	marks, rooms := r.marks()
	after := uint64(0)
	for first := true; first || len(marks) > 0; first = false {
		some := marks[:min(maxMarks, len(marks))]
		marks = marks[len(some):]
		c := comparison{After: after, UpTo: r.fleet.upTo(), Peers: some}
		if len(marks) > 0 {
			c.UpTo = some[len(some)-1].Peer
		}
		if first {
			c.Rooms, c.Steps = rooms, steps
		}
		after = c.UpTo
		got, err := r.ask(ctx, callTimeout, request{Op: opSync, Sync: &c})
		if err != nil {
			return err
		}
		if got.Sync != nil {
			r.mend(ctx, *got.Sync)
		}
	}
	r.agreed(after)
	return nil
}

// agreed notes when nothing is left on the node, and nothing was put there since the comparison began.
func (r *Remote) agreed(upTo uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.peers) == 0 && len(r.rooms) == 0 && r.fleet.upTo() == upTo {
		r.used = false
	}
}

// upTo is the newest peer. Peers that are made later are nobody's business in a comparison that began before.
func (f *Fleet) upTo() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (r *Remote) marks() (marks []mark, rooms map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(r.peers)) {
		marks = append(marks, r.peers[id].mark())
	}
	rooms = map[string]uint64{}
	for id, l := range r.rooms {
		rooms[id] = l.standing()
	}
	return marks, rooms
}

func (r *Remote) mend(ctx context.Context, v verdict) {
	for _, id := range v.Gone {
		if p := r.peer(id); p != nil {
			p.lose(fmt.Errorf("%w: %s knows the peer no more", ErrUnreachable, r.node))
		}
	}
	for _, id := range v.Behind {
		if p := r.peer(id); p != nil {
			p.pull(ctx)
		}
	}
	for _, id := range v.Rooms {
		r.mu.Lock()
		l := r.rooms[id]
		r.mu.Unlock()
		if l != nil {
			l.again()
		}
	}
}

// idle says that nothing is to be compared.
func (r *Remote) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.used
}

// is says whether the node is the one that was seen last, and not started anew since.
func (r *Remote) is(incarnation uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	same := r.life == incarnation || r.life == 0
	r.life = incarnation
	return same
}

// lose ends all peers that were on the node.
func (r *Remote) lose(err error) {
	r.mu.Lock()
	peers := slices.Collect(maps.Values(r.peers))
	r.used = len(r.rooms) > 0
	r.mu.Unlock()
	for _, p := range peers {
		p.lose(err)
	}
}
