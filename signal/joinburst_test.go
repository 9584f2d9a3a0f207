package signal

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// Five hundred people join one room over three nodes within two seconds: all are served, and nobody decides without the
// home.
func TestFiveHundredJoinsInTwoSeconds(t *testing.T) {
	people := 500
	if testing.Short() {
		people = 150 // at the same rate
	}
	c := newNodes(t, 3, func(c *Config) { c.DigestEvery, c.NodeSilence = 2*time.Second, 10*time.Second })
	settings := grant.Settings{Revision: 1, MaxParticipants: people, MaxCameras: 25}
	took := make([]time.Duration, people)
	var wg sync.WaitGroup
	tick := time.NewTicker(2 * time.Second / 500)
	defer tick.Stop()
	for i := range people {
		<-tick.C
		r := c.rigs[i%3]
		id := fmt.Sprintf("pt_%03d", i)
		client := r.connect(r.token(claims(id, grant.Attendee, settings)))
		began := time.Now()
		client.hello(id, "offer", wire.TrackHint{MID: "0", Source: "camera"})
		wg.Go(func() {
			if in, _ := outcome(client); in {
				took[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	if took[0] == 0 {
		t.Error("somebody was not let in")
	}
	t.Logf("hello to snapshot: p50 %v, p95 %v, max %v", took[people/2], took[people*95/100], took[people-1])
	for _, r := range c.rigs {
		eventually(t, "everybody is known everywhere", func() bool { return len(r.svc.Participants("mtg_1")) == people })
		cameras := 0
		room := r.svc.room("mtg_1")
		for _, e := range room.everybody() {
			if hasCamera(&e) {
				cameras++
			}
		}
		if cameras != 25 {
			t.Errorf("%s knows %d cameras", r.svc.deps.NodeID, cameras)
		}
	}
}
