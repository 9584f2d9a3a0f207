package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/bandwidth"
	"github.com/parley-sfu/parley/internal/rtc"
)

// Node is one SFU process: its media sockets and the rooms on it. It is safe for concurrent use.
type Node struct {
	id       string // in the cluster; empty for a node on its own
	cfg      Config
	endpoint *rtc.Endpoint
	events   RoomEvents
	log      *slog.Logger
	count    counters

	links     *cascade.Manager // nil for a node on its own
	directory cascade.Directory
	tree      Tree
	batches   sync.Pool     // for packets that no reader brought
	held      sync.Pool     // packets that wait in pacers
	remotes   atomic.Uint64 // peers and relays there have been
	bandwidth bandwidth.Config
	probes    *probing
	resting   atomic.Bool   // the ticker turns rarely
	hurried   chan struct{} // has room for one: what it should not rest for

	mu      sync.Mutex
	rooms   map[string]*room
	relays  map[string]*relay  // by node
	remote  map[string]*feed   // tracks of other nodes that rooms may show, by id
	feeds   map[feedKey]*feed  // those and all others that are pulled
	feeding map[*feed]struct{} // those and all that have not quite ended
	closed  bool
}

// New opens the media sockets. The node serves from when Run is called until it returns, which closes them. Without a
// cluster it is on its own.
func New(cfg Config, events RoomEvents, cluster *Cluster, log *slog.Logger) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	endpoint, err := rtc.New(cfg.Media, log)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, endpoint: endpoint, events: events, log: log, rooms: map[string]*room{}, hurried: make(chan struct{}, 1)}
	n.bandwidth, n.probes = bandwidth.Defaults(), newProbing(n)
	n.relays, n.remote = map[string]*relay{}, map[string]*feed{}
	n.feeds, n.feeding = map[feedKey]*feed{}, map[*feed]struct{}{}
	if cluster != nil {
		if err := n.joinCluster(*cluster, log); err != nil {
			return nil, errors.Join(err, endpoint.Close())
		}
	}
	n.register()
	return n, nil
}

// Run serves until ctx ends, then closes every peer and link. It returns an error only when a media socket breaks.
func (n *Node) Run(ctx context.Context) error {
	own, stop := context.WithCancelCause(ctx)
	sockets, closeSockets := context.WithCancel(context.WithoutCancel(ctx)) // last: the others say goodbye over them
	defer closeSockets()
	var talkers, socket sync.WaitGroup
	socket.Go(func() { stop(n.endpoint.Run(sockets)) })
	talkers.Go(func() { n.tick(own) })
	talkers.Go(func() { n.probes.run(own) })
	talkers.Go(func() { stop(n.runLinks(own)) })
	<-own.Done()
	for _, p := range n.shut() {
		p.Close()
	}
	talkers.Wait()
	closeSockets()
	socket.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("node: %w", context.Cause(own))
}

// shut refuses further joins and returns who is still here.
func (n *Node) shut() []*Peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	var all []*Peer
	for _, r := range n.rooms {
		all = append(all, r.everyone()...)
	}
	return all
}

// Endpoint is where clients reach this node's media, as host:port.
func (n *Node) Endpoint() string { return n.endpoint.Advertised() }

// Addresses returns every address and port that this node's media can be reached at: first those that were configured, then
// the machine's own as they are now.
func (n *Node) Addresses() []netip.AddrPort { return n.endpoint.Addresses() }

// SetRelays names the test that tells a relay's end from other addresses; see rtc.Endpoint.SetRelays.
func (n *Node) SetRelays(relays func(from netip.AddrPort) bool) { n.endpoint.SetRelays(relays) }

// PeerConfig describes who joins.
type PeerConfig struct {
	Room        string // meeting id
	Participant string // participant id; one that is here already is replaced
	CanPublish  bool
	Events      PeerEvents
	Log         *slog.Logger // with the ids that follow the participant through all planes
}

// Join makes a peer in a room, which comes to be with its first peer and ends with its last. The caller closes the peer.
func (n *Node) Join(cfg PeerConfig) (*Peer, error) {
	p, err := newPeer(n, cfg)
	if err != nil {
		return nil, &Error{Kind: Internal, Code: "internal", Say: "This node cannot take another connection.", Err: err}
	}
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil, errors.Join(&Error{Kind: Moved, Code: "going_away", Say: "This node is stopping."}, p.transport.Close())
	}
	r := n.rooms[cfg.Room]
	if r == nil {
		r = newRoom(n, cfg.Room)
		n.rooms[cfg.Room] = r
	}
	p.room = r
	old := r.add(p)
	n.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return p, nil
}

// leave takes a peer out of its room and ends the room after its last.
func (n *Node) leave(p *Peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p.room.remove(p)
	n.endRoomLocked(p.room)
}

// endRoomLocked ends a room that has neither peers nor remote tracks left.
func (n *Node) endRoomLocked(r *room) {
	if n.rooms[r.id] == r && r.remotes == 0 && r.size() == 0 {
		delete(n.rooms, r.id)
	}
}

// snapshot returns the rooms of this moment.
func (n *Node) snapshot() []*room {
	n.mu.Lock()
	defer n.mu.Unlock()
	rooms := make([]*room, 0, len(n.rooms))
	for _, r := range n.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}
