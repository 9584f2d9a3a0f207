package node

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/rtc"
)

// Cluster is what a node needs to exchange tracks with other nodes.
type Cluster struct {
	NodeID     string
	Links      cascade.Config
	Directory  cascade.Directory
	Introducer cascade.Introducer
	Tree       Tree // nil: everything is pulled from its origin
}

// Tree knows which way tracks take between nodes. It must answer from memory.
type Tree interface {
	// Parents returns the ids of the nodes that a room's tracks of an origin are to be pulled from by this node, best first.
	// The answers of different nodes may contradict each other for a while.
	Parents(room, origin string) []string
}

// maxParents bounds the nodes that one track may be pulled from, and so the links that are kept ready for it.
const maxParents = 4

// Fingerprint is that of the certificate which other nodes see on links.
func (n *Node) Fingerprint() rtc.Fingerprint { return n.endpoint.Fingerprint() }

func (n *Node) joinCluster(c Cluster, log *slog.Logger) (err error) {
	n.id, n.tree, n.directory = c.NodeID, c.Tree, c.Directory
	n.links, err = cascade.New(c.NodeID, c.Links, n.endpoint, c.Directory, c.Introducer,
		func(peer string) cascade.Handler { return n.relay(peer) }, log)
	return err
}

// Introduced answers another node that wants to make a link; see cascade.Introducer.
func (n *Node) Introduced(introduction []byte) ([]byte, error) {
	return n.links.Introduced(introduction)
}

// Found says that gossip knows another node again; see cascade.Manager.Found.
func (n *Node) Found(node string) {
	if n.links != nil {
		n.links.Found(node)
	}
}

// AddRemote lets a room show a track that is published to another node. Nothing is pulled before a slot wants it. Adding a
// track again does nothing. Adding it with another node, or while a participant of this one publishes it, means that its
// participant has moved there: the old stream is shown until the new one comes.
func (n *Node) AddRemote(roomID string, t Track, from string) {
	n.mu.Lock()
	if n.closed || n.links == nil || from == n.id {
		n.mu.Unlock()
		return
	}
	f := n.feedLocked(roomID, t, from)
	n.remote[t.ID] = f
	n.mu.Unlock()
	f.track.room.publish(f.track)
}

// RemoveRemote ends what AddRemote began. A track that a participant of this node publishes by now stays, and what came of
// it from elsewhere goes on until that participant's packets have come.
func (n *Node) RemoveRemote(track string) {
	n.mu.Lock()
	f := n.remote[track]
	delete(n.remote, track)
	n.mu.Unlock()
	if f == nil {
		return
	}
	r := f.track.room
	if before := r.predecessor(f.track); before != nil && before.remote() {
		r.unpublish(before)
	}
	r.unpublish(f.track)
}

// MuteRemote says that a remote track is muted, or no longer: its node forwards nothing of it meanwhile.
func (n *Node) MuteRemote(track string, muted bool) {
	n.mu.Lock()
	f := n.remote[track]
	n.mu.Unlock()
	if f != nil && f.track.muted.Swap(muted) != muted {
		f.track.room.wakeAll()
	}
}

// feedLocked returns the feed of a track from an origin, which it makes when there is none.
func (n *Node) feedLocked(roomID string, t Track, origin string) *feed {
	if f := n.feeds[feedKey{t.ID, origin}]; f != nil && f.track.room.id == roomID && f.track.is(t) {
		return f
	}
	r := n.rooms[roomID]
	if r == nil {
		r = newRoom(n, roomID)
		n.rooms[roomID] = r
	}
	f := newFeed(n, r, t, origin)
	n.feeds[f.key()] = f
	n.feeding[f] = struct{}{}
	r.remotes++
	return f
}

// is reports whether the stream carries a track as it is described.
func (t *published) is(o Track) bool {
	return t.ID == o.ID && t.ParticipantID == o.ParticipantID && t.Source == o.Source && slices.Equal(t.Layers, o.Layers)
}

// reviewFeeds looks at all feeds again, at those only that have something to change unless all is set, and closes those
// that nobody needs.
func (n *Node) reviewFeeds(all bool, now int64) {
	n.mu.Lock()
	feeds := slices.Collect(maps.Keys(n.feeding))
	n.mu.Unlock()
	for _, f := range feeds {
		switch {
		case f.restarts(now) && n.renew(f):
		case n.expire(f):
			f.review(now)
			f.track.room.forget(f.track)
			f.track.close()
			f.track.room.wakeAll()
			n.turnAway(f.track, cascade.Ended)
		case all || f.waits():
			f.review(now)
		}
	}
}

// expire takes a feed out that nobody needs any more, and reports whether it did.
func (n *Node) expire(f *feed) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.remote[f.track.ID] == f || f.track.room.keeps(f.track) || !f.idle() {
		return false
	}
	if n.feeds[f.key()] == f {
		delete(n.feeds, f.key())
	}
	delete(n.feeding, f)
	f.track.room.remotes--
	n.endRoomLocked(f.track.room)
	return true
}

// renew lets a new stream succeed one that its origin said was over, but that is still announced: the participant has
// connected to the same node again. It reports whether it did.
func (n *Node) renew(f *feed) bool {
	n.mu.Lock()
	if n.feeds[f.key()] != f || n.remote[f.track.ID] != f || n.closed {
		n.mu.Unlock()
		return false
	}
	delete(n.feeds, f.key())
	next := n.feedLocked(f.track.room.id, f.track.Track, f.origin)
	n.remote[f.track.ID] = next
	n.mu.Unlock()
	f.track.room.publish(next.track)
	return true
}

// parents returns the ids of the nodes that a track may be pulled from, the origin always among them, and the relays with
// them.
func (n *Node) parents(room, origin string) ([]string, map[string]*relay) {
	var named []string
	if n.tree != nil {
		named = n.tree.Parents(room, origin)
	}
	ids := make([]string, 0, maxParents)
	relays := make(map[string]*relay, maxParents)
	for _, id := range append(slices.Clone(named), origin) {
		if id == "" || id == n.id || relays[id] != nil || len(ids) == maxParents-1 && id != origin {
			continue
		}
		ids = append(ids, id)
		relays[id] = n.relay(id)
	}
	return ids, relays
}

// relay returns the node's side of the links with another node.
func (n *Node) relay(peer string) *relay {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.relays[peer]
	if r == nil {
		r = newRelay(n, peer)
		n.relays[peer] = r
		r.measure()
	}
	return r
}

func (n *Node) relayList() []*relay {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.relays))
}

// runLinks runs the links until ctx ends.
func (n *Node) runLinks(ctx context.Context) error {
	if n.links == nil {
		<-ctx.Done()
		return nil
	}
	return n.links.Run(ctx)
}
