package bench

import (
	"context"
	"errors"

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
	*inspector
}

// Lean returns the Connector of a fleet's receivers. The fleet is running.
func Lean(fleet *lean.Fleet) Connector {
	return func(ctx context.Context, e Entry) (Viewer, error) {
		if len(e.Options.Publish) > 0 || e.Options.Net != nil {
			return nil, errors.New("a lean receiver sends nothing, and opens its sockets on this machine")
		}
		v := &leanViewer{inspector: newInspector(e)}
		opts := lean.Options{
			AudioSlots: max(0, e.Options.AudioSlots), VideoSlots: max(0, e.Options.VideoSlots), Codecs: e.Options.Codecs, Layout: e.Layout,
			HTTPClient: e.Options.HTTPClient, OnPresence: e.Hears.Presence, OnChat: func(c wire.Chat) { e.Hears.Chat(c.Text) }, OnLost: v.cutOff,
		}
		if e.Verify {
			opts.OnPacket = v.packet
		}
		var err error
		v.Viewer, err = fleet.Join(ctx, e.Ticket, opts)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
}

// Verified implements Viewer. What is not authentic nobody sent.
func (v *leanViewer) Verified() (sum reel.Counts, looked bool) {
	sum, looked = v.inspector.Verified()
	sum.Corrupt += v.Forged()
	return sum, looked
}

// cutOff says that the server was lost; a lean receiver does not find it again.
func (v *leanViewer) cutOff(error) { v.hears.State(client.StateReconnecting) }
