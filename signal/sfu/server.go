package sfu

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/node"
)

// Server serves a node's SFU to the signalling nodes. It implements Media too, for the signalling on its own node, and
// node.RoomEvents. It is safe for concurrent use.
type Server struct {
	media   Media
	bus     Bus
	cluster Cluster
	self    string
	log     *slog.Logger

	seed  maphash.Seed
	gates [64]sync.Mutex // one of them is held while a participant's peer is changed
	book  sync.Mutex     // held while the SFU is told of tracks elsewhere, so that it hears in order; before mu

	stopped atomic.Bool

	mu       sync.Mutex // before a peer's
	edges    map[string]*edge
	rooms    map[string]map[string]*carried // peers by room and participant
	register *register
}

// key says whose peer it is. There is one for each participant of a room, whoever made it.
type key struct{ room, participant string }

// edge is a signalling node as the media node knows it.
type edge struct {
	session uint64
	rooms   map[string]uint64 // versions of the lists of tracks
	heard   time.Time         // its last request
	silent  time.Time         // since when it has not been there; zero while it is
}

// NewServer returns a Server of media. What it does for its own node it does at once, the rest while Run runs.
func NewServer(media Media, bus Bus, cluster Cluster, self string, log *slog.Logger) *Server {
	s := &Server{
		media: media, bus: bus, cluster: cluster, self: self, log: log, seed: maphash.MakeSeed(),
		edges: map[string]*edge{}, rooms: map[string]map[string]*carried{}, register: newRegister(),
	}
	telemetry.Gauge("parley_carried_peers", func() float64 {
		peers := 0
		for _, n := range s.Occupancy() {
			peers += n
		}
		return float64(peers)
	})
	return s
}

// Run serves until ctx ends. Peers are left alone then: the SFU closes them, and their participants go elsewhere.
func (s *Server) Run(ctx context.Context) error {
	stop, err := s.bus.Serve(mediaSubject+s.self, s.serve)
	if err != nil {
		return fmt.Errorf("sfu: serve: %w", err)
	}
	defer stop()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.sweep(now)
		case <-ctx.Done():
			s.stopped.Store(true)
			return nil
		}
	}
}

// Occupancy counts the peers that are carried for other nodes, by room.
func (s *Server) Occupancy() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	rooms := map[string]int{}
	for room, peers := range s.rooms {
		rooms[room] = len(peers)
	}
	return rooms
}

// Join implements Media.
func (s *Server) Join(cfg node.PeerConfig) (Peer, error) { return s.media.Join(cfg) }

// AddRemote implements Media.
func (s *Server) AddRemote(room string, t node.Track, from string) {
	s.tell(func() []order { return s.register.set(claim{by: s.self, room: room, track: t, from: from}) })
}

// RemoveRemote implements Media.
func (s *Server) RemoveRemote(track string) {
	s.tell(func() []order { return s.register.drop(s.self, track) })
}

// MuteRemote implements Media.
func (s *Server) MuteRemote(track string, muted bool) {
	s.tell(func() []order { return s.register.mute(s.self, track, muted) })
}

// tell changes the register and tells the SFU, in one order.
func (s *Server) tell(change func() []order) {
	s.book.Lock()
	defer s.book.Unlock()
	s.mu.Lock()
	orders := change()
	s.mu.Unlock()
	for _, o := range orders {
		o(s.media)
	}
}

// SpeakersChanged implements node.RoomEvents: every signalling node that has peers in the room is told.
func (s *Server) SpeakersChanged(room string, speakers []node.Speaker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := map[string]bool{}
	for _, c := range s.rooms[room] {
		if owner := c.owner(); !told[owner.node] {
			told[owner.node] = true
			s.publish(owner, event{
				Kind: eventSpeakers, Room: room, Who: each(speakers, func(o node.Speaker) speaker { return speaker(o) }),
			})
		}
	}
}

// publish sends an event to a signalling node. The bus takes it without waiting.
func (s *Server) publish(to owner, e event) {
	e.Node, e.Session = s.self, to.session
	data, err := json.Marshal(e)
	if err == nil {
		err = s.bus.Publish(eventSubject+to.node, data)
	}
	if err != nil {
		s.log.Warn("an event did not go out; it will be missed and pulled", "peer_node", to.node, "error", err)
	}
}

// serve answers one request.
func (s *Server) serve(ctx context.Context, data []byte) ([]byte, error) {
	var answer reply
	q, err := decodeRequest(data)
	if err == nil {
		err = s.meet(q)
	}
	if err == nil {
		err = s.obey(ctx, q, &answer)
	}
	if err != nil {
		answer.Error = faultOf(err)
	}
	return json.Marshal(answer)
}

// meet notes that a signalling node lives. One that has started anew has nothing here any more but peers that it may adopt.
func (s *Server) meet(q request) error {
	s.mu.Lock()
	e := s.edges[q.From]
	if e != nil && q.Session < e.session {
		s.mu.Unlock()
		return &node.Error{Kind: node.Invalid, Code: "invalid_message", Say: "That is of an earlier life of the node."}
	}
	anew := e != nil && q.Session > e.session
	if e == nil || anew {
		e = &edge{session: q.Session, rooms: map[string]uint64{}}
		s.edges[q.From] = e
	}
	e.heard = time.Now()
	s.mu.Unlock()
	if anew {
		s.dropTracks(q.From, "")
	}
	return nil
}

func (s *Server) obey(ctx context.Context, q request, answer *reply) (err error) {
	switch q.Op {
	case opPing:
		return nil
	case opTracks:
		answer.Behind = !s.list(q)
		return nil
	case opSync:
		answer.Sync = s.compare(q)
		return nil
	}
	gate := &s.gates[maphash.Comparable(s.seed, key{q.Room, q.Participant})%uint64(len(s.gates))]
	gate.Lock()
	defer gate.Unlock()
	switch q.Op {
	case opOffer:
		answer.Answer, err = s.offer(ctx, q)
		return err
	case opAdopt:
		answer.State, err = s.adopt(q)
		return err
	}
	c := s.owned(q)
	if c == nil || !c.next(q.Number) {
		return gone()
	}
	c.mute(q.Muted)
	switch q.Op {
	case opSubscribe:
		return c.peer.Subscribe(q.Wish.in())
	case opClose:
		s.end(c)
	case opState:
		answer.State = c.whole()
	}
	return nil
}

// find returns a participant's peer, or nil.
func (s *Server) find(k key) *carried {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[k.room][k.participant]
}

// owned returns the peer that a request is about, if the signalling node still has it.
func (s *Server) owned(q request) *carried {
	c := s.find(key{q.Room, q.Participant})
	if c == nil || c.owner() != (owner{q.From, q.Session, q.Peer}) {
		return nil
	}
	return c
}

// offer passes an offer to the SFU. The first of a peer makes it, and replaces whichever the participant had.
func (s *Server) offer(ctx context.Context, q request) (*answer, error) {
	c := s.owned(q)
	made := c == nil
	if made {
		var err error
		if c, err = s.join(q); err != nil {
			return nil, err
		}
	}
	if !c.next(q.Number) {
		return nil, gone()
	}
	c.mute(q.Muted)
	got, err := c.offer(ctx, q.Offer)
	if err != nil && made {
		s.end(c)
	}
	return got, err
}

func (s *Server) join(q request) (*carried, error) {
	k, by := key{q.Room, q.Participant}, owner{q.From, q.Session, q.Peer}
	if old := s.find(k); old != nil {
		if old.owner().after(by) {
			return nil, gone() // a late one
		}
		s.end(old)
	}
	c := &carried{server: s, key: k, by: by, muted: map[node.Source]bool{}, wanted: map[string][]string{}, spatial: map[string]int{}}
	peer, err := s.media.Join(node.PeerConfig{
		Room: q.Room, Participant: q.Participant, CanPublish: q.Offer.CanPublish, Events: c,
		Log: s.log.With("meeting_id", q.Room, "participant_id", q.Participant, "signal_node", q.From),
	})
	if err != nil {
		return nil, err
	}
	c.peer = peer
	s.mu.Lock()
	if s.rooms[k.room] == nil {
		s.rooms[k.room] = map[string]*carried{}
	}
	s.rooms[k.room][k.participant] = c
	s.mu.Unlock()
	return c, nil
}

// adopt hands a living peer to another signalling node.
func (s *Server) adopt(q request) (*state, error) {
	c := s.find(key{q.Room, q.Participant})
	if c == nil || !c.adopt(owner{q.From, q.Session, q.Peer}, q.Number) {
		return nil, gone()
	}
	return c.whole(), nil
}

// end closes a peer.
func (s *Server) end(c *carried) {
	s.mu.Lock()
	if peers := s.rooms[c.key.room]; peers[c.key.participant] == c {
		delete(peers, c.key.participant)
		if len(peers) == 0 {
			delete(s.rooms, c.key.room)
		}
	}
	s.mu.Unlock()
	c.end()
}

// list takes one step of a room's list. It is false when the step does not follow.
func (s *Server) list(q request) (inStep bool) {
	s.tell(func() (orders []order) {
		e, t := s.edges[q.From], q.Tracks
		if e == nil || !t.Whole && e.rooms[q.Room] != t.After {
			return nil
		}
		inStep = true
		if t.Version <= e.rooms[q.Room] {
			return nil // a late one
		}
		e.rooms[q.Room] = t.Version
		gone := t.Gone
		if t.Whole {
			gone = slices.DeleteFunc(s.register.of(q.From, q.Room), func(id string) bool {
				return slices.ContainsFunc(t.Set, func(o farTrack) bool { return o.Track.ID == id })
			})
		}
		for _, id := range gone {
			orders = append(orders, s.register.drop(q.From, id)...)
		}
		for _, o := range t.Set {
			orders = append(orders, s.register.set(claim{
				by: q.From, room: q.Room, track: node.Track(o.Track), from: o.From, muted: o.Muted,
			})...)
		}
		return orders
	})
	return inStep
}

// dropTracks takes back what a signalling node has told of tracks, in one room or in all.
func (s *Server) dropTracks(by, room string) {
	s.tell(func() (orders []order) {
		for _, id := range s.register.of(by, room) {
			orders = append(orders, s.register.drop(by, id)...)
		}
		return orders
	})
}
