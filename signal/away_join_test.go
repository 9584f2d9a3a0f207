package signal

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// farBus is a bus whose messages take a while to this node's neighbours and from them.
type farBus struct {
	Bus
	away time.Duration // each way
}

func (b farBus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	time.Sleep(b.away)
	answer, err := b.Bus.Request(ctx, subject, data)
	time.Sleep(b.away)
	return answer, err
}

func (b farBus) Publish(subject string, data []byte) error {
	time.AfterFunc(b.away, func() { _ = b.Bus.Publish(subject, data) })
	return nil
}

// answers joins people through a rig, one after the other, and measures from hello to the answer.
func (r *rig) answers(t *testing.T, from, n int, settings grant.Settings) (took []time.Duration) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("pt_%s_%03d", r.svc.deps.NodeID, from+i)
		client := r.connect(r.token(claims(id, grant.Attendee, settings)))
		began := time.Now()
		client.hello(id, "offer", wire.TrackHint{MID: "0", Source: "camera"})
		client.await(wire.TypeAnswer)
		took = append(took, time.Since(began))
		client.await(wire.TypeSnapshot)
		time.Sleep(20 * time.Millisecond)
	}
	return took
}

func TestOfferToAnswerAway(t *testing.T) {
	for round := range 5 {
		c := newNodes(t, 3, func(c *Config) { c.DigestEvery, c.NodeSilence = 2*time.Second, 10*time.Second }, func(_ *Config, d *Deps) {
			d.Bus = farBus{d.Bus, 40 * time.Millisecond}
		})
		settings := grant.Settings{Revision: 1, MaxParticipants: 400, MaxCameras: 400}
		c.rigs[0].answers(t, 0, 1, settings)
		l := c.awaitLease(t, "a lease", func(lease) bool { return true })
		time.Sleep(300 * time.Millisecond)
		far := c.rigs[1]
		if l.Node == far.svc.deps.NodeID {
			far = c.rigs[2]
		}
		took := far.answers(t, 100, 20, settings)
		t.Logf("round %d: 1st %v, 2nd %v, 20th %v", round, took[0], took[1], took[19])
		slices.Sort(took)
		t.Logf("  p50 %v p95 %v", took[10], took[18])
	}
}
