package signal

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/wire"
)

// enter lets somebody knock the way a session does and, when let in, enter after a while, which the media take.
func (a *actor) enter(id string, settings grant.Settings, media time.Duration) (in, camera bool) {
	r := a.svc.open(grant.Claims{MeetingID: "mtg_a", Settings: settings})
	m := &member{id: id, events: newEventLog(16), claims: grant.Claims{Role: grant.Attendee}, wantsCamera: true}
	r.mu.Lock()
	r.members[id] = m
	r.mu.Unlock()
	wait, err := a.svc.askSeat(context.Background(), r, m, false)
	if wait != "" || err != nil {
		return false, false
	}
	r.mu.Lock()
	m.stage = admitted
	r.mu.Unlock()
	camera = m.camera != nil && m.camera.granted
	time.Sleep(media)
	r.mu.Lock()
	defer r.mu.Unlock()
	m.stage = seated
	m.entry = entry{Participant: wire.Participant{ID: id}, State: Joined, JoinedAt: time.Now(), Since: r.newSinceLocked(m)}
	if camera {
		m.entry.Tracks = []wire.Track{{ID: "tr_" + id, ParticipantID: id, Source: "camera"}}
	}
	r.putLocked(m)
	return true, camera
}

// A hundred people join over three nodes, 80 ms apart, while the home hands over because it drains. Promises that it has
// made move with it: not one seat or camera too many is given, and none is lost.
func TestLimitsHoldWhileTheHomeMoves(t *testing.T) {
	for _, moves := range []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(moves.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlay(3, 7)
				defer p.end()
				p.ether.delay, p.ether.exact = 40*time.Millisecond, true
				settings := grant.Settings{Revision: 1, MaxParticipants: 30, MaxCameras: 10}
				p.cast[0].enter("pt_first", settings, 0)
				time.Sleep(5 * time.Second)
				old := p.homesOf("mtg_a")
				if len(old) != 1 {
					t.Fatalf("homes are %v", old)
				}
				var mu sync.Mutex
				seats, cameras := 1, 1
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						time.Sleep(time.Duration(i) * 5 * time.Millisecond)
						in, camera := p.cast[i%3].enter(fmt.Sprintf("pt_%03d", i), settings, 200*time.Millisecond)
						mu.Lock()
						defer mu.Unlock()
						if in {
							seats++
						}
						if camera {
							cameras++
						}
					})
				}
				time.Sleep(moves)
				for _, a := range p.cast {
					var nodes []placement.Node
					for _, b := range p.cast {
						n := b.node
						n.Draining = n.ID == old[0]
						nodes = append(nodes, n)
					}
					a.gossip.see(nodes...)
				}
				wg.Wait()
				if seats != 30 || cameras != 10 {
					t.Errorf("%d seats and %d cameras were given", seats, cameras)
				}
				time.Sleep(5 * time.Second)
				if now := p.homesOf("mtg_a"); len(now) != 1 || now[0] == old[0] {
					t.Errorf("homes were %v, are %v", old, now)
				}
			})
		})
	}
}
