package bench

import (
	"sync"

	"github.com/parley-sfu/parley/bench/reel"
	"github.com/parley-sfu/parley/signal/client"
)

// An inspector looks at the packets of one viewer: how late they are, and whether their frames are what was sent.
type inspector struct {
	hears  Hearer
	verify *reel.Reel // nil: frames are not looked at

	mu       sync.Mutex // protects following
	checkers map[stream]*reel.Checker
}

// stream is one received stream: a slot of one of a client's connections.
type stream struct {
	connection int
	mid        string
}

func newInspector(e Entry) *inspector {
	i := &inspector{hears: e.Hears, checkers: map[stream]*reel.Checker{}}
	if e.Verify {
		i.verify = e.Reel
	}
	return i
}

// packet is called for every packet, by one goroutine a slot; of a lean receiver, by its reader alone.
func (i *inspector) packet(packet client.Packet) {
	if !packet.SentAt.IsZero() && !packet.Repaired {
		i.hears.Latency(packet.Slot.Kind == "video", packet.Arrived.Sub(packet.SentAt))
	}
	if i.verify == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	of := stream{packet.Connection, packet.Slot.MID}
	checker := i.checkers[of]
	if checker == nil {
		checker = i.verify.Checker()
		i.checkers[of] = checker
	}
	checker.Packet(packet)
}

// Verified implements Viewer.
func (i *inspector) Verified() (sum reel.Counts, looked bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, checker := range i.checkers {
		sum.Add(checker.Counts())
	}
	return sum, len(i.checkers) > 0
}
