package placement

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// tellFacts has memberlist gossip this node's facts anew whenever they have changed.
func (c *Cluster) tellFacts(ctx context.Context, list *memberlist.Memberlist) {
	for {
		select {
		case <-c.facts:
			if ctx.Err() != nil {
				return // this node is leaving: nothing it says goes out any more
			}
			// The wait is for the first packet only; unsent, the facts stay in memberlist's queue.
			if err := list.UpdateNode(c.cfg.timing.streamTimeout); err != nil {
				c.log.Warn("this node's facts are slow to go out", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// beat sends a pulse when this node feels differently, and not more often than told.
func (c *Cluster) beat(ctx context.Context) {
	tick := time.NewTicker(c.cfg.timing.pulseEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if p, ok := c.nextPulse(); ok {
				c.spread(p)
			}
		case <-ctx.Done():
			return
		}
	}
}

// nextPulse makes the pulse that is due, if one is.
func (c *Cluster) nextPulse() (pulse, bool) {
	at := c.place.GetCoordinate()
	c.mu.Lock()
	defer c.mu.Unlock()
	was, _ := unflatten(c.told.Place)
	walked := len(c.members) > 0 && moved(was, at)
	if !walked && c.self.Pressure == c.told.Pressure && !c.self.Load.notable(c.load) {
		return pulse{}, false
	}
	if walked {
		c.self.Coordinate = at
		c.changedLocked()
	}
	c.load = c.self.Load
	c.told = newPulse(c.self, c.told.Number+1)
	return c.told, true
}

// spread gossips a pulse; it takes the place of an older one of the same node that is still queued.
func (c *Cluster) spread(p pulse) {
	if data, err := json.Marshal(p); err == nil {
		c.queue.QueueBroadcast(rumour{node: p.ID, data: data})
	}
}

// hear takes a pulse over if it is news.
func (c *Cluster) hear(p pulse) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[p.ID]
	if m == nil || m.node.Incarnation != p.Incarnation || m.pulse.Number >= p.Number {
		return false
	}
	m.pulse = p
	c.changedLocked()
	return true
}

// pulses returns the latest pulse of every node.
func (c *Cluster) pulses() []pulse {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]pulse, 0, len(c.members)+1)
	all = append(all, c.told)
	for _, m := range c.members {
		if m.pulse.Number > 0 {
			all = append(all, m.pulse)
		}
	}
	return all
}

// alive notes what a node says it is.
func (c *Cluster) alive(n Node, addr netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.ID == c.self.ID {
		return
	}
	m := c.members[n.ID]
	if m == nil || m.node.Incarnation != n.Incarnation {
		m = &member{}
		c.members[n.ID] = m
	}
	m.node, m.addr = n, addr
	delete(c.lost, n.ID)
	c.changedLocked()
}

// dead forgets a node. Whether it left or died cannot be told here: that it is looked for once more does no harm.
func (c *Cluster) dead(id string) {
	c.place.ForgetNode(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[id]
	if m == nil {
		return
	}
	delete(c.members, id)
	c.lost[id] = lostNode{addr: m.addr, since: time.Now()}
	c.changedLocked()
}

// rumour is a pulse on its way. It implements memberlist.NamedBroadcast.
type rumour struct {
	node string
	data []byte
}

// Invalidates implements memberlist.Broadcast; the name alone decides.
func (r rumour) Invalidates(other memberlist.Broadcast) bool {
	named, ok := other.(memberlist.NamedBroadcast)
	return ok && named.Name() == r.node
}

// Name implements memberlist.NamedBroadcast.
func (r rumour) Name() string { return r.node }

// Message implements memberlist.Broadcast.
func (r rumour) Message() []byte { return r.data }

// Finished implements memberlist.Broadcast.
func (rumour) Finished() {}
