package placement

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// delegate is what memberlist calls. Everything is copied and handed over; nothing blocks.
type delegate struct{ c *Cluster }

// NodeMeta implements memberlist.Delegate. New has checked that the facts fit, and they do not grow but by "draining".
func (d delegate) NodeMeta(limit int) []byte {
	meta, err := encodeFacts(d.c.Self())
	if err != nil || len(meta) > limit {
		d.c.log.Error("this node's facts cannot be told", "error", err)
		return nil
	}
	return meta
}

// NotifyMsg implements memberlist.Delegate: a letter is for this node, a pulse that is news goes on to others.
func (d delegate) NotifyMsg(data []byte) {
	if isLetter(data) {
		l, err := decodeLetter(data)
		if err != nil {
			d.c.log.Debug("a letter makes no sense", "error", err)
			return
		}
		d.c.receive(l)
		return
	}
	p, err := decodePulse(data)
	if err != nil {
		d.c.log.Debug("a pulse makes no sense", "error", err)
		return
	}
	if d.c.hear(p) {
		d.c.spread(p)
	}
}

// GetBroadcasts implements memberlist.Delegate.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.c.queue.GetBroadcasts(overhead, limit)
}

// LocalState implements memberlist.Delegate: all pulses, so that whatever gossip lost is repaired at the next full sync.
func (d delegate) LocalState(bool) []byte {
	data, err := json.Marshal(d.c.pulses())
	if err != nil {
		d.c.log.Error("pulses cannot be told", "error", err)
		return nil
	}
	return data
}

// MergeRemoteState implements memberlist.Delegate. The facts of the same sync were taken over before.
func (d delegate) MergeRemoteState(data []byte, _ bool) {
	var all []json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		d.c.log.Debug("a full sync makes no sense", "error", err)
		return
	}
	for _, one := range all {
		if p, err := decodePulse(one); err == nil {
			d.c.hear(p)
		}
	}
}

// NotifyAlive implements memberlist.AliveDelegate: a node whose facts cannot be read is not taken in.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	_, err := decodeFacts(n.Name, n.Meta)
	return err
}

// NotifyJoin implements memberlist.EventDelegate.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.NotifyUpdate(n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (d delegate) NotifyUpdate(n *memberlist.Node) {
	node, err := decodeFacts(n.Name, n.Meta)
	if err != nil {
		d.c.log.Error("a node's facts make no sense", "node", n.Name, "error", err)
		return
	}
	d.c.alive(node, addrOf(n))
}

// NotifyLeave implements memberlist.EventDelegate.
func (d delegate) NotifyLeave(n *memberlist.Node) { d.c.dead(n.Name) }

// NotifyConflict implements memberlist.ConflictDelegate.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.c.log.Error("two nodes have the same id: the second is not taken in before the first is gone",
		"node", existing.Name, "first", existing.Address(), "second", other.Address())
}

// AckPayload implements memberlist.PingDelegate: answers to probes carry where this node is on the network.
func (d delegate) AckPayload() []byte {
	data, err := json.Marshal(flatten(d.c.place.GetCoordinate()))
	if err != nil {
		return nil
	}
	return data
}

// NotifyPingComplete implements memberlist.PingDelegate.
func (d delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, payload []byte) {
	var flat []float32
	if json.Unmarshal(payload, &flat) != nil {
		return
	}
	other, ok := unflatten(flat)
	if !ok {
		return
	}
	if _, err := d.c.place.Update(n.Name, other, rtt); err != nil {
		d.c.log.Debug("a round trip teaches nothing", "node", n.Name, "error", err)
	}
}

// addrOf is where a node gossips.
func addrOf(n *memberlist.Node) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip.Unmap(), n.Port)
}
