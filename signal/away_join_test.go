package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/wire"
)

// farBus is a bus on which everything takes a while, each way.
type farBus struct {
	Bus
	away time.Duration
}

func (b farBus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	<-time.After(b.away)
	answer, err := b.Bus.Request(ctx, subject, data)
	<-time.After(b.away)
	return answer, err
}

func (b farBus) Publish(subject string, data []byte) error {
	time.AfterFunc(b.away, func() { _ = b.Bus.Publish(subject, data) })
	return nil
}

// answer lets somebody with a camera come through a rig, and measures from hello to the answer.
func (r *rig) answer(t *testing.T, id string, settings grant.Settings) time.Duration {
	t.Helper()
	client := r.connect(r.token(claims(id, grant.Attendee, settings)))
	began := time.Now()
	client.hello(id, "offer", wire.TrackHint{MID: "0", Source: "camera"})
	client.await(wire.TypeAnswer)
	took := time.Since(began)
	client.await(wire.TypeSnapshot)
	return took
}

// With 80 ms between nodes the first who comes through a node that is not the home waits for the home's word once, and those
// after it do not.
func TestOfferToAnswerAwayFromTheHome(t *testing.T) {
	const there = 80 * time.Millisecond
	c := newNodes(t, 3, func(c *Config) { c.DigestEvery, c.NodeSilence = 2*time.Second, 10*time.Second }, func(_ *Config, d *Deps) {
		d.Bus = farBus{d.Bus, there / 2}
	})
	settings := grant.Settings{Revision: 1, MaxParticipants: 100, MaxCameras: 100}
	c.rigs[0].answer(t, "pt_first", settings)
	home := c.awaitLease(t, "a lease", func(lease) bool { return true }).Node
	away := c.rigs[slices.IndexFunc(c.rigs, func(r *rig) bool { return r != c.rigs[0] && r.svc.deps.NodeID != home })]
	eventually(t, "the home is known", func() bool { _, is := away.svc.owners.lease("mtg_1"); return is })
	first := away.answer(t, "pt_0", settings)
	if first < there {
		t.Errorf("the first was answered after %v, without a question", first)
	}
	var later []time.Duration
	for i := range 19 { // faster than the home hands out, now and then
		eventually(t, "there are lots", func() bool { return away.svc.purses.has("mtg_1") })
		later = append(later, away.answer(t, fmt.Sprint("pt_", i+1), settings))
	}
	second, last := later[0], later[18]
	slices.Sort(later)
	t.Logf("hello to answer: 1st %v, 2nd %v, 20th %v, of 2nd to 20th p50 %v and p95 %v", first, second, last, later[9], later[18])
	if later[9] >= there {
		t.Errorf("of those after the first p50 is %v", later[9])
	}
}

// has says whether there are places for somebody with a camera.
func (p *purses) has(room string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.rooms[room]
	return own != nil && slices.ContainsFunc(own.lots, func(l ownLot) bool { return l.seats > 0 && l.cameras > 0 })
}

// stageLots runs a play of three nodes with 80 ms between them, on each of which one is in, through the home's word. Home is
// the room's home, and near and far are the others.
func stageLots(t *testing.T, settings grant.Settings, act func(t *testing.T, p *play, home, near, far *actor)) {
	t.Helper()
	synctestPlay(t, func(t *testing.T, p *play) {
		for i, a := range p.cast {
			if in, _ := a.enter(fmt.Sprint("pt_first", i), settings, 0); !in {
				t.Fatal("somebody was not let in")
			}
		}
		p.sleep(5 * time.Second)
		homes := p.homesOf("mtg_a")
		if len(homes) != 1 {
			t.Fatalf("homes are %v", homes)
		}
		i := slices.IndexFunc(p.cast, func(a *actor) bool { return a.node.ID == homes[0] })
		act(t, p, p.cast[i], p.cast[(i+1)%3], p.cast[(i+2)%3])
	})
}

// synctestPlay runs a play of three nodes with 80 ms between them.
func synctestPlay(t *testing.T, act func(t *testing.T, p *play)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(3, 3)
		defer p.end()
		p.ether.delay, p.ether.exact = 40*time.Millisecond, true
		synctest.Wait() // until all nodes serve
		act(t, p)
	})
}

// comes lets somebody with a camera come through a node, and says how long it took.
func (a *actor) comes(id string, settings grant.Settings) (in, camera bool, took time.Duration) {
	start := time.Now()
	in, camera = a.enter(id, settings, 0)
	return in, camera, time.Since(start)
}

func (a *actor) home() *Home { return a.svc.room("mtg_a").home }

func TestHowLongTheHomesWordTakes(t *testing.T) {
	settings := grant.Settings{Revision: 1, MaxParticipants: 100, MaxCameras: 50}
	stageLots(t, settings, func(t *testing.T, p *play, _, near, far *actor) {
		var took []time.Duration
		for i := range 40 {
			a := []*actor{near, far}[i%2]
			in, camera, d := a.comes(fmt.Sprint("pt_", i), settings)
			if !in || !camera {
				t.Fatalf("number %d: in %v, camera %v", i, in, camera)
			}
			took = append(took, d)
			p.sleep(100 * time.Millisecond)
		}
		if asked := slices.IndexFunc(took[:30], func(d time.Duration) bool { return d > 0 }); asked >= 0 {
			t.Errorf("number %d waited %v", asked, took[asked])
		}
		if slices.Max(took) > 80*time.Millisecond {
			t.Errorf("somebody waited %v", slices.Max(took))
		}
		p.sleep(10 * time.Minute) // renewed all the time
		if _, _, d := near.comes("pt_late", settings); d != 0 {
			t.Errorf("who comes late waits %v", d)
		}
	})
}

func TestTheLastPlacesAreCalledIn(t *testing.T) {
	settings := grant.Settings{Revision: 1, MaxParticipants: 20, MaxCameras: 16}
	stageLots(t, settings, func(t *testing.T, _ *play, home, near, far *actor) {
		if lent := home.home().lent(); lent.seats == 0 || lent.cameras == 0 {
			t.Fatalf("lent: %+v", lent)
		}
		in, cameras := 3, 3
		for i := range 30 {
			seat, camera, took := home.comes(fmt.Sprint("pt_", i), settings)
			if seat {
				in++
			}
			if camera {
				cameras++
			}
			if took > 100*time.Millisecond {
				t.Errorf("number %d waited %v", i, took)
			}
		}
		if in != 20 || cameras != 16 {
			t.Errorf("%d seats and %d cameras were given, want 20 and 16", in, cameras)
		}
		for _, a := range []*actor{near, far} {
			if in, _, _ := a.comes("pt_more"+a.node.ID, settings); in {
				t.Error("there is a seat too many")
			}
		}
	})
}

func TestLotsOfADeadNodeComeBack(t *testing.T) {
	settings := grant.Settings{Revision: 1, MaxParticipants: 20, MaxCameras: 16}
	stageLots(t, settings, func(t *testing.T, p *play, home, near, far *actor) {
		p.kill(far)
		p.later(gossipDelay)
		p.sleep(gossipDelay + 5*time.Second)
		in := 2
		for i := range 30 {
			if seat, _, _ := []*actor{home, near}[i%2].comes(fmt.Sprint("pt_", i), settings); seat {
				in++
			}
		}
		if in != 20 {
			t.Errorf("%d seats were given, want 20", in)
		}
	})
}

func TestAClosedRoomGivesItsLotsBack(t *testing.T) {
	settings := grant.Settings{Revision: 1, MaxParticipants: 20, MaxCameras: 16}
	stageLots(t, settings, func(t *testing.T, p *play, home, _, _ *actor) {
		for i, a := range p.cast {
			if a != home {
				a.with("mtg_a", fmt.Sprint("pt_first", i), func(r *room, m *member) { r.leaveLocked(m) })
			}
		}
		p.sleep(time.Second)
		if lent := home.home().lent(); lent != (places{}) {
			t.Errorf("lent: %+v", lent)
		}
	})
}

func TestALockHoldsBackThoseWhomLotsWouldLetIn(t *testing.T) {
	settings := grant.Settings{Revision: 1, MaxParticipants: 100, MaxCameras: 50}
	for _, tc := range []struct {
		name  string
		by    func(home, near, far *actor) *actor
		after time.Duration
	}{
		{"set on the node itself", func(_, near, _ *actor) *actor { return near }, 0},
		{"set on the home", func(home, _, _ *actor) *actor { return home }, 41 * time.Millisecond},
		{"set on a third node", func(_, _, far *actor) *actor { return far }, 41 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stageLots(t, settings, func(t *testing.T, p *play, home, near, far *actor) {
				tc.by(home, near, far).svc.room("mtg_a").setLocked(true, "n")
				p.sleep(tc.after)
				if in, _, _ := near.comes("pt_late", settings); in {
					t.Error("somebody was let in")
				}
				p.sleep(time.Second)
				if lent := home.home().lent(); lent != (places{}) {
					t.Errorf("of a locked room there is lent: %+v", lent)
				}
			})
		})
	}
	t.Run("the node has nobody of the room", func(t *testing.T) {
		stageLots(t, settings, func(t *testing.T, p *play, home, _, far *actor) {
			i := slices.Index(p.cast, far)
			far.with("mtg_a", fmt.Sprint("pt_first", i), func(r *room, m *member) { r.leaveLocked(m) })
			p.sleep(20 * time.Second)
			far.svc.Expect("mtg_a", settings, far.node.SignalEndpoint)
			p.sleep(time.Second)
			if !far.svc.purses.has("mtg_a") {
				t.Fatal("nothing was handed out")
			}
			home.svc.room("mtg_a").setLocked(true, "n")
			p.sleep(81 * time.Millisecond)
			if in, _, _ := far.comes("pt_late", settings); in {
				t.Error("somebody was let in")
			}
		})
	})
}

func TestChangedLimitsMakeLotsVoid(t *testing.T) {
	settings := grant.Settings{Revision: 1, MaxParticipants: 100, MaxCameras: 50}
	stageLots(t, settings, func(t *testing.T, p *play, home, near, _ *actor) {
		fewer := grant.Settings{Revision: 2, MaxParticipants: 3, MaxCameras: 50}
		home.svc.room("mtg_a").setSettings(fewer)
		p.sleep(41 * time.Millisecond)
		if in, _, _ := near.comes("pt_late", settings); in {
			t.Error("somebody was let in")
		}
	})
}

// Whoever is expected does not wait: neither where the room is known nor where it is not, through another node's join call or
// this one's.
func TestExpected(t *testing.T) {
	settings := grant.Settings{Revision: 1, MaxParticipants: 100, MaxCameras: 50}
	for _, through := range []int{0, 1, 2} {
		t.Run(fmt.Sprint(through), func(t *testing.T) {
			synctestPlay(t, func(t *testing.T, p *play) {
				to := p.cast[1]
				p.cast[through].svc.Expect("mtg_a", settings, to.node.SignalEndpoint)
				p.sleep(900 * time.Millisecond) // the home is found, and asks everybody; nothing else is due at that moment
				in, camera, took := to.comes("pt_1", settings)
				if !in || !camera || took != 0 {
					t.Errorf("in %v, camera %v, after %v", in, camera, took)
				}
			})
		})
	}
	synctestPlay(t, func(t *testing.T, p *play) {
		p.cast[0].svc.Expect("mtg_a", settings, "wss://elsewhere")
		p.cast[0].svc.Expect("mtg.a", settings, p.cast[0].node.SignalEndpoint)
		p.cast[0].svc.Expect("mtg_a", grant.Settings{Revision: 1, WaitingRoom: true}, p.cast[1].node.SignalEndpoint)
		p.sleep(time.Second)
		for _, a := range p.cast {
			if a.svc.purses.has("mtg_a") {
				t.Errorf("%s has lots", a.node.ID)
			}
		}
		p.sleep(2 * time.Minute)
		if homes := p.homesOf("mtg_a"); len(homes) != 0 {
			t.Errorf("nobody came, and there are homes: %v", homes)
		}
	})
}

// olderBus is that of a node whose questions and answers have nothing of lots, nor a camera with a seat.
type olderBus struct{ Bus }

func (b olderBus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	var c command
	if json.Unmarshal(data, &c) == nil && c.Knock != nil {
		c.Knock.Camera, c.Knock.Lots, c.Knock.Used = false, nil, nil
		if data, _ = json.Marshal(c); c.Op == opAllow {
			return []byte(`{}`), nil
		}
	}
	return b.Bus.Request(ctx, subject, data)
}

func TestNodesThatKnowNoLots(t *testing.T) {
	for name, older := range map[string][]string{"one": {"n1"}, "two": {"n2", "n3"}, "all": {"n1", "n2", "n3"}} {
		t.Run(name, func(t *testing.T) {
			c := newNodes(t, 3, func(*Config) {}, func(_ *Config, d *Deps) {
				if slices.Contains(older, d.NodeID) {
					d.Bus = olderBus{d.Bus}
				}
			})
			if seated, cameras := c.crowd(t, 60, grant.Settings{Revision: 1, MaxParticipants: 40, MaxCameras: 12}); seated != 40 || cameras != 12 {
				t.Errorf("%d seats and %d cameras were given, want 40 and 12", seated, cameras)
			}
		})
	}
}

// The home drains while lots of it are out: the next one knows of all, and everything that is free can still be filled.
func TestLotsWhileTheHomeMoves(t *testing.T) {
	settings := grant.Settings{Revision: 1, MaxParticipants: 40, MaxCameras: 24}
	for _, after := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond, 110 * time.Millisecond, time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			stageLots(t, settings, func(t *testing.T, p *play, home, _, _ *actor) {
				var nodes []placement.Node
				for _, a := range p.cast {
					n := a.node
					n.Draining = a == home
					nodes = append(nodes, n)
				}
				for _, a := range p.cast {
					a.gossip.see(nodes...)
				}
				p.sleep(after)
				results := make(chan [2]bool, 60)
				for i := range 60 {
					go func() {
						time.Sleep(time.Duration(i) * 3 * time.Millisecond)
						in, camera := p.cast[i%3].enter(fmt.Sprint("pt_", i), settings, 100*time.Millisecond)
						results <- [2]bool{in, camera}
					}()
				}
				in, cameras := 3, 3
				for range 60 {
					one := <-results
					if one[0] {
						in++
					}
					if one[1] {
						cameras++
					}
				}
				if in != 40 || cameras != 24 {
					t.Errorf("%d seats and %d cameras were given, want 40 and 24", in, cameras)
				}
			})
		})
	}
}
