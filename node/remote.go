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
}

// Fingerprint is that of the certificate which other nodes see on links.
func (n *Node) Fingerprint() rtc.Fingerprint { return n.endpoint.Fingerprint() }

func (n *Node) joinCluster(c Cluster, log *slog.Logger) (err error) {
	n.links, err = cascade.New(c.NodeID, c.Links, n.endpoint, c.Directory, c.Introducer,
		func(peer string) cascade.Handler { return n.relay(peer) }, log)
	return err
}

// Introduced answers another node that wants to make a link; see cascade.Introducer.
func (n *Node) Introduced(introduction []byte) ([]byte, error) {
	return n.links.Introduced(introduction)
}

// AddRemote lets a room show a track that is published to another node. Nothing is pulled before a slot wants it. Adding a
// track again does nothing, unless it has moved to another node: then it is shown from there.
func (n *Node) AddRemote(roomID string, t Track, from string) {
	if n.movedFrom(t.ID, from) {
		n.RemoveRemote(t.ID)
	}
	n.mu.Lock()
	if n.closed || n.links == nil || n.remote[t.ID] != nil {
		n.mu.Unlock()
		return
	}
	r := n.rooms[roomID]
	if r == nil {
		r = newRoom(n, roomID)
		n.rooms[roomID] = r
	}
	n.remote[t.ID] = r
	r.remotes++
	n.mu.Unlock()
	n.relay(from).add(r, t)
}

// movedFrom says whether a remote track is known to be on another node than from.
func (n *Node) movedFrom(track, from string) bool {
	n.mu.Lock()
	known := n.remote[track] != nil
	n.mu.Unlock()
	return known && !n.relay(from).shows(track)
}

// RemoveRemote ends what AddRemote began.
func (n *Node) RemoveRemote(track string) {
	n.mu.Lock()
	r := n.remote[track]
	delete(n.remote, track)
	if r != nil {
		r.remotes--
		n.endRoomLocked(r)
	}
	n.mu.Unlock()
	for _, relay := range n.relayList() {
		relay.remove(track)
	}
}

// MuteRemote says that a remote track is muted, or no longer: its node forwards nothing of it meanwhile.
func (n *Node) MuteRemote(track string, muted bool) {
	n.mu.Lock()
	r := n.remote[track]
	n.mu.Unlock()
	if r == nil {
		return
	}
	for _, t := range r.published() {
		if t.ID == track && t.muted.Swap(muted) != muted {
			r.wakeAll()
		}
	}
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

// local finds a track that is published on this node.
func (n *Node) local(roomID, track string) *published {
	n.mu.Lock()
	r := n.rooms[roomID]
	n.mu.Unlock()
	if r == nil {
		return nil
	}
	for _, t := range r.published() {
		if _, here := t.sender.(*Peer); here && t.ID == track {
			return t
		}
	}
	return nil
}

// runLinks runs the links until ctx ends.
func (n *Node) runLinks(ctx context.Context) error {
	if n.links == nil {
		<-ctx.Done()
		return nil
	}
	return n.links.Run(ctx)
}
