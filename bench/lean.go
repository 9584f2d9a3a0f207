package bench

import (
	"context"
	"errors"
	"sync"

	"github.com/parley-sfu/parley/bench/lean"
	"github.com/parley-sfu/parley/bench/reel"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// LeanViewers makes lean receivers of all who send nothing. Of each group a share looks at every frame: at least one person,
// unless the share is 0, for only those tell latencies.
func (s *Scenario) LeanViewers(share float64) {
	for i := range s.People {
		g := &s.People[i]
		if g.Sends == SendsNothing && g.Count > 0 {
			looking := share
			if share > 0 {
				looking = max(share, 1/float64(g.Count))
			}
			g.Receiver, g.Verify = ReceiverLean, &looking
		}
	}
}

// A leanViewer is a lean receiver in a run.
type leanViewer struct {
	*lean.Viewer
	hears  Hearer
	verify *reel.Reel // nil: frames are not looked at

	mu       sync.Mutex // protects following
	checkers map[string]*reel.Checker
}

// Lean returns the Connector of a fleet's receivers. The fleet is running.
func Lean(fleet *lean.Fleet) Connector {
	return func(ctx context.Context, e Entry) (Viewer, error) {
		if len(e.Options.Publish) > 0 || e.Options.Net != nil {
			return nil, errors.New("a lean receiver sends nothing, and opens its sockets on this machine")
		}
		v := &leanViewer{hears: e.Hears, checkers: map[string]*reel.Checker{}}
		opts := lean.Options{
			AudioSlots: max(0, e.Options.AudioSlots), VideoSlots: max(0, e.Options.VideoSlots), Codecs: e.Options.Codecs,
			HTTPClient: e.Options.HTTPClient, OnPresence: e.Hears.Presence, OnChat: func(c wire.Chat) { e.Hears.Chat(c.Text) }, OnLost: v.cutOff,
		}
		if e.Verify {
			v.verify, opts.OnPacket = e.Reel, v.packet
		}
		var err error
		v.Viewer, err = fleet.Join(ctx, e.Ticket, opts)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
}

func (v *leanViewer) packet(p client.Packet) {
	if !p.SentAt.IsZero() && !p.Repaired {
		v.hears.Latency(p.Slot.Kind == "video", p.Arrived.Sub(p.SentAt))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	checker := v.checkers[p.Slot.MID]
	if checker == nil {
		checker = v.verify.Checker()
		v.checkers[p.Slot.MID] = checker
	}
	checker.Packet(p)
}

// Verified implements Viewer. What is not authentic nobody sent.
func (v *leanViewer) Verified() (sum reel.Counts, looked bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, checker := range v.checkers {
		sum.Add(checker.Counts())
	}
	sum.Corrupt += v.Forged()
	return sum, len(v.checkers) > 0
}

// cutOff says that the server was lost; a lean receiver does not find it again.
func (v *leanViewer) cutOff(error) { v.hears.State(client.StateReconnecting) }
