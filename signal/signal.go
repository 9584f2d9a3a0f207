// Package signal is the WebSocket edge of Parley: sessions, the roster of each room, the lobby, moderation, chat, and
// the fan-out of all that to the room's participants on this node and, over the bus, on the others.
//
// It is not the media plane: it hands offers to the SFU and passes on what the SFU tells. It owns its sockets and the
// in-memory state of the rooms of this node; nothing of it is on disk.
package signal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/sfu"
	"github.com/parley-sfu/parley/signal/wire"
)

// Peer is a participant's connection to the SFU, this node's or another's.
type Peer = sfu.Peer

// Media is what signalling needs of an SFU: this node's, see OnNode, or another's, see Deps.Fleet.
type Media = sfu.Media

// Bus carries rooms between nodes. *bus.Bus is one, and says what the methods promise.
type Bus interface {
	Publish(subject string, data []byte) error
	Subscribe(subject string, f func(subject string, data []byte)) (unsubscribe func(), err error)
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
	Serve(subject string, f func(ctx context.Context, data []byte) ([]byte, error)) (stop func(), err error)
	Connected() bool
	Relinked() <-chan struct{}
}

// Cluster knows the nodes. *placement.Cluster is one, and says what the methods promise; *placement.Single is another.
type Cluster interface {
	Nodes() []placement.Node
	Watch(f func(joined, left []string)) (stop func())
}

// Locator chooses nodes. *placement.Locator is one, and says what the method promises; *placement.Single is another.
type Locator interface {
	Candidates(ctx context.Context, hint placement.Hint) ([]placement.Node, error)
}

// Keys verifies what clients show and issues what they resume with. *grant.Keyring is one.
type Keys interface {
	VerifyJoin(token string) (grant.Claims, error)
	VerifyResume(token string) (grant.Claims, error)
	IssueJoin(grant.Claims) (token string, expires time.Time, err error)
	IssueResume(grant.Claims) (token string, expires time.Time, err error)
}

// Revocations bars people for good. *grant.Revocations is one.
type Revocations interface {
	Meeting(ctx context.Context, meetingID string) error
	Participant(ctx context.Context, meetingID, participantID string) error
	Subject(ctx context.Context, meetingID, subject string) error
	Revoked(grant.Claims) bool
}

// Deps is what a Service works with. All are needed, but of Media and Fleet one is enough, and Leases and Direct in a cluster only.
type Deps struct {
	Media    Media      // this node's own SFU; nil: it carries no media
	Fleet    *sfu.Fleet // the SFUs of other nodes; nil: there are none. Whoever made it runs it
	Speakers *Speakers  // that the SFU was given as its RoomEvents
	Bus      Bus
	Cluster  Cluster
	Leases   Leases
	Direct   Direct
	Locator  Locator
	Keys     Keys
	Revoked  Revocations
	NodeID   string
	Log      *slog.Logger

	// ICEServers makes the STUN and TURN servers of a participant whose nodes these are, best first, with credentials that are good
	// from now on. It must not block. Nil: there are none.
	ICEServers func(participantID string, nodes []grant.Candidate) []wire.ICEServer
}

func (d Deps) validate() error {
	if d.Media == nil && d.Fleet == nil || d.Speakers == nil || d.Bus == nil || d.Cluster == nil || d.Locator == nil || d.Keys == nil || d.Revoked == nil || d.Log == nil {
		return errors.New("a dependency is missing")
	}
	if !isName(d.NodeID) {
		return fmt.Errorf("node id %q: letters, digits, - and _ only", d.NodeID)
	}
	return nil
}

// isName says whether s can stand in a subject of the bus.
func isName(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return s != "" && len(s) <= 128 && strings.Trim(s, allowed) == ""
}

// Service serves GET /v1/signal and everything behind it. All methods are safe for concurrent use. Errors of its
// methods are *node.Error.
type Service struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	decoder *wire.Decoder
	routes  map[string]route
	fabric  *fabric
	owners  *owners
	keeper  *keeper
	purses  *purses
	asides  *asides

	mu       sync.Mutex
	stopping bool
	rooms    map[string]*room
	born     int64 // incarnation of the newest room
	live     map[*session]struct{}
	sessions sync.WaitGroup // of live; added to under mu while not stopping
}

// New returns a Service that Run starts. Upgrades are answered before Run too.
func New(cfg Config, d Deps) (*Service, error) {
	if err := errors.Join(cfg.Validate(), d.validate()); err != nil {
		return nil, fmt.Errorf("signal: %w", err)
	}
	s := &Service{
		cfg: cfg, deps: d, log: d.Log,
		decoder: wire.NewDecoder(wire.ClientMessages()),
		routes:  routes(),
		rooms:   map[string]*room{},
		live:    map[*session]struct{}{},
		purses:  newPurses(),
		asides:  newAsides(),
	}
	var types []string
	for typ := range s.routes {
		types = append(types, typ)
	}
	s.cfg.homeTimeout = cmp.Or(cfg.homeTimeout, homeTimeout)
	s.metrics = newMetrics(types, func() int { return len(s.Occupancy()) }, s.seated, func() int { return len(s.Homes()) }, s.queued)
	s.metrics.lent(s.lent)
	s.fabric = &fabric{
		svc: s, bus: d.Bus, node: d.NodeID, log: d.Log, inbox: make(chan delivery, fabricInbox), nodes: newCensus(),
	}
	s.keeper = &keeper{svc: s, store: d.Leases, poke: make(chan struct{}, 1)}
	s.owners = newOwners(d.NodeID, d.Cluster.Nodes, s.keeper.hurry)
	heard := func(from, room string, speakers []node.Speaker) {
		if r := s.room(room); r != nil {
			r.speakersChanged(from, speakers)
		}
	}
	d.Speakers.Listen(func(room string, speakers []node.Speaker) { heard(d.NodeID, room, speakers) })
	if d.Fleet != nil {
		d.Fleet.Listen(heard)
	}
	return s, nil
}

// Run serves until ctx ends; then it closes every socket so that clients go elsewhere, and returns nil.
func (s *Service) Run(ctx context.Context) error {
	err := s.serve(ctx)
	s.mu.Lock()
	s.stopping = true
	for session := range s.live {
		session.socket.end(wire.CloseGoingAway, "the node stops")
	}
	s.mu.Unlock()
	s.sessions.Wait()
	s.asides.end()
	s.abandon()
	return err
}

// serve runs what ties this node to the others until ctx ends or a part of it breaks.
func (s *Service) serve(ctx context.Context) error {
	own, stop := context.WithCancel(ctx)
	defer stop()
	unwatch := s.deps.Cluster.Watch(func(joined, left []string) {
		s.fabric.nodes.hear(joined, left)
		s.keeper.hurry()
	})
	defer unwatch()
	var errs [3]error
	var wg sync.WaitGroup
	for i, run := range []func(context.Context) error{s.fabric.run, s.keeper.run, s.migrate} {
		wg.Go(func() {
			defer stop()
			errs[i] = run(own)
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// abandon lets go of those whose sockets were lost, but for those whose media is on another node: it goes on, and the
// signalling node that they resume through takes it over.
func (s *Service) abandon() {
	for _, r := range s.allRooms() {
		r.mu.Lock()
		r.keeping = keeping{}
		r.home.Expire(time.Now().Add(2 * (lotLife + promiseFor)))
		var peers []Peer
		for _, m := range r.members {
			if m.peer != nil && m.place != s.deps.NodeID {
				if m.grace != nil {
					m.grace.Stop()
				}
				continue
			}
			if peer := r.leaveLocked(m); peer != nil {
				peers = append(peers, peer)
			}
		}
		r.mu.Unlock()
		closeAll(peers)
		s.sweep(r)
	}
}

func closeAll(peers []Peer) {
	for _, p := range peers {
		p.Close()
	}
}

// room returns the meeting's room, or nil when nobody is in it on this node, which is not its home either.
func (s *Service) room(meetingID string) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[meetingID]
}

func (s *Service) allRooms() []*room {
	s.mu.Lock()
	defer s.mu.Unlock()
	rooms := make([]*room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}

// seated counts the participants of this node.
func (s *Service) seated() (n int) {
	for _, r := range s.allRooms() {
		r.mu.Lock()
		for _, m := range r.members {
			if m.stage == seated {
				n++
			}
		}
		r.mu.Unlock()
	}
	return n
}

// queued counts the messages that wait in the outbound queues: in all of them, and in the one with most.
func (s *Service) queued() (all, deepest int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for session := range s.live {
		waiting := session.socket.queue.waiting()
		all, deepest = all+waiting, max(deepest, waiting)
	}
	return all, deepest
}

// open returns the meeting's room, and makes it when there is none.
func (s *Service) open(claims grant.Claims) *room {
	s.mu.Lock()
	r, is := s.rooms[claims.MeetingID]
	if !is {
		r = newRoom(claims.MeetingID, s.deps.NodeID, claims.Settings, s.cfg, s.media, s.fabric.tell, s.log)
		r.release, r.recall = s.release, s.callIn
		s.born = max(s.born+1, r.roster.self.Incarnation) // grows, whatever the clock does
		r.roster.self.Incarnation = s.born
		s.fabric.gone.remove(r.meeting)
		s.rooms[r.meeting] = r
	}
	s.mu.Unlock()
	if !is {
		s.fabric.follow(r)
	}
	return r
}

// sweep closes the room if nobody of this node is in it any more, and this node is not its home. While promises that it
// made as the home are out, the next home may ask for them.
func (s *Service) sweep(r *room) {
	s.mu.Lock()
	r.mu.Lock()
	empty := len(r.members) == 0 && !r.kept && !r.home.promising() && !r.closed
	if empty {
		r.closed = true
		delete(s.rooms, r.meeting)
	}
	unfollow := r.follow
	if r.closed {
		r.follow = nil
		r.news.stop()
		r.forgetAwayLocked()
	}
	closed := r.closed
	r.mu.Unlock()
	s.mu.Unlock()
	if empty {
		s.fabric.closed(r)
		s.giveBack(r.meeting)
	}
	if closed && unfollow != nil {
		unfollow()
	}
}
