package sfu

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/node"
)

// owner is the signalling node that a peer's events go to.
type owner struct {
	node    string
	session uint64
	peer    uint64 // the peer's name there
}

// carried is a peer of this node's SFU on behalf of a signalling node. It implements node.PeerEvents.
type carried struct {
	server   *Server
	key      key
	peer     Peer      // set before anybody else knows it
	orphaned time.Time // since when its signalling node is dead; guarded by the server's mutex

	muting sync.Mutex // held while the SFU is told what is muted, so that it hears in order; before mu

	mu      sync.Mutex
	by      owner
	over    bool
	number  uint64 // of the last request
	event   uint64 // told last
	toldAt  time.Time
	tracks  []node.Track
	slots   []node.Slot
	wanted  map[string][]string
	spatial map[string]int // of those of which not all spatial layers are wanted
	muted   map[node.Source]bool
}

// after says whether an owner is a later one of the same life of the same node.
func (o owner) after(p owner) bool {
	return o.node == p.node && o.session == p.session && o.peer > p.peer
}

func (c *carried) owner() owner {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by
}

// next says whether a request is later than those before, and the peer still there.
func (c *carried) next(number uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || number <= c.number {
		return false
	}
	c.number = number
	return true
}

func (c *carried) adopt(by owner, number uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.by.after(by) {
		return false
	}
	c.by, c.number = by, number
	return true
}

// offer passes an offer to the SFU. Sources that nobody has said anything of are refused, and named in the answer.
func (c *carried) offer(ctx context.Context, o *offer) (*answer, error) {
	var asked []node.Source
	got, err := c.peer.Offer(ctx, node.Offer{
		SDP: o.SDP, Former: tracksIn(o.Former), Tracks: each(o.Tracks, func(h hint) node.TrackHint { return node.TrackHint(h) }),
		Allow: func(source node.Source) bool {
			if slices.Contains(o.Allowed, source) {
				return true
			}
			asked = append(asked, source)
			return false
		},
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tracks = got.Tracks
	return &answer{SDP: got.SDP, Tracks: tracksOut(got.Tracks), Refused: got.Refused, Asked: asked}, nil
}

// mute makes just these sources muted.
func (c *carried) mute(list []node.Source) {
	c.muting.Lock()
	defer c.muting.Unlock()
	for source, muted := range c.mutes(list) {
		c.peer.SetMuted(source, muted)
	}
}

// mutes notes what is muted, and returns what that changes.
func (c *carried) mutes(list []node.Source) map[node.Source]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes := map[node.Source]bool{}
	for source, was := range c.muted {
		if was && !slices.Contains(list, source) {
			changes[source] = false
		}
	}
	for _, source := range list {
		if !c.muted[source] && source.Kind() != "" {
			changes[source] = true
		}
	}
	maps.Copy(c.muted, changes)
	return changes
}

// compare obeys what a comparison says of muting, unless a request that came after it has been obeyed, and says whether the
// signalling node has missed an event: one that is not just on its way.
func (c *carried) compare(m mark) (behind bool) {
	c.mu.Lock()
	newer := c.number <= m.Number
	behind = c.event > m.Event && time.Since(c.toldAt) > settled
	c.mu.Unlock()
	if newer {
		c.mute(m.Muted)
	}
	return behind
}

// whole is all that the peer has told.
func (c *carried) whole() *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &state{
		Event: c.event, Tracks: tracksOut(c.tracks), Slots: slotsOut(c.slots), Wanted: maps.Clone(c.wanted), Spatial: maps.Clone(c.spatial), Muted: mutedList(c.muted),
	}
}

func (c *carried) end() {
	c.mu.Lock()
	over := c.over
	c.over = true
	c.mu.Unlock()
	if !over {
		c.peer.Close()
	}
}

// tell changes the state and tells the signalling node.
func (c *carried) tell(e event, change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.server.stopped.Load() {
		return
	}
	change()
	c.event++
	c.toldAt = time.Now()
	e.Room, e.Peer, e.Number = c.key.room, c.by.peer, c.event
	c.server.publish(c.by, e)
}

// TrackUnpublished implements node.PeerEvents.
func (c *carried) TrackUnpublished(t node.Track) {
	c.tell(event{Kind: eventUnpublished, Track: new(track(t))}, func() {
		c.tracks = slices.DeleteFunc(slices.Clone(c.tracks), func(o node.Track) bool { return o.ID == t.ID })
		delete(c.wanted, t.ID)
		delete(c.spatial, t.ID)
	})
}

// SlotsChanged implements node.PeerEvents.
func (c *carried) SlotsChanged(slots []node.Slot) {
	c.tell(event{Kind: eventSlots, Slots: slotsOut(slots)}, func() { c.slots = slots })
}

// LayersWanted implements node.PeerEvents.
func (c *carried) LayersWanted(trackID string, layers []string, spatial int) {
	c.tell(event{Kind: eventLayers, TrackID: trackID, Layers: layers, Spatial: spatial}, func() {
		c.wanted[trackID] = layers
		if delete(c.spatial, trackID); spatial != 0 {
			c.spatial[trackID] = spatial
		}
	})
}

// Connected implements node.PeerEvents.
func (c *carried) Connected() { c.tell(event{Kind: eventConnected}, func() {}) }

// Disconnected implements node.PeerEvents.
func (c *carried) Disconnected(err error) {
	c.tell(event{Kind: eventDisconnected, Reason: err.Error()}, func() {})
}
