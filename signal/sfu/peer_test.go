package sfu

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-sfu/parley/node"
)

func TestAllowIsAskedOnceForEachSource(t *testing.T) {
	for _, tc := range []struct {
		name    string
		sdp     string
		hints   []node.TrackHint
		grant   map[node.Source]bool
		asked   string
		offers  int // that the SFU was given
		refused string
		tracks  int
	}{
		{
			name: "both named", sdp: "mc", hints: []node.TrackHint{{MID: "0", Source: node.Microphone}, {MID: "1", Source: node.Camera}},
			grant: map[node.Source]bool{node.Microphone: true, node.Camera: true}, asked: "microphone camera", offers: 1, tracks: 2,
		},
		{
			name: "none named", sdp: "mc", grant: map[node.Source]bool{node.Microphone: true, node.Camera: true},
			asked: "microphone camera", offers: 2, tracks: 2,
		},
		{
			name: "the camera is not named, and refused", sdp: "mc", hints: []node.TrackHint{{MID: "0", Source: node.Microphone}},
			grant: map[node.Source]bool{node.Microphone: true}, asked: "microphone camera", offers: 1, refused: "1", tracks: 1,
		},
		{
			name: "named, and refused", sdp: "c", hints: []node.TrackHint{{MID: "0", Source: node.Camera}},
			asked: "camera", offers: 1, refused: "0",
		},
		{name: "two cameras", sdp: "cc", grant: map[node.Source]bool{node.Camera: true}, asked: "camera", offers: 2, tracks: 2},
		{name: "only slots", sdp: "-", offers: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inTiers(t, func(t *testing.T, r *tiers) {
				p, err := r.fleets["s1"].On("m1").Join(config("pt_a", &diary{}))
				if err != nil {
					t.Fatal(err)
				}
				var asked []string
				got, err := p.Offer(t.Context(), node.Offer{SDP: tc.sdp, Tracks: tc.hints, Allow: func(s node.Source) bool {
					asked = append(asked, string(s))
					return tc.grant[s]
				}})
				if err != nil {
					t.Fatal(err)
				}
				there := r.sfu.living("pt_a")
				if len(there) != 1 || len(there[0].offers) != tc.offers {
					t.Fatalf("peers %v", there)
				}
				if a, refused := strings.Join(asked, " "), strings.Join(got.Refused, " "); a != tc.asked || refused != tc.refused || len(got.Tracks) != tc.tracks {
					t.Errorf("asked %q, refused %q, tracks %v", a, refused, got.Tracks)
				}
				if got.SDP != "answer to "+tc.sdp {
					t.Errorf("answer %q", got.SDP)
				}
			})
		})
	}
}

func TestErrorsOfTheSFUCross(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		p, _ := r.join("s1", "pt_a", "m")
		for what, err := range map[string]error{
			"bad_sdp":         second(p.Offer(t.Context(), node.Offer{SDP: "bad"})),
			"invalid_message": p.Subscribe(node.Subscription{Slots: []node.SlotRequest{{MID: "none"}}}),
		} {
			if e := node.AsError(err); e.Code != what || e.Kind != node.Invalid || e.Say == "" || errors.Is(err, ErrUnreachable) {
				t.Errorf("%s: %v", what, err)
			}
		}
		want := node.Subscription{Slots: []node.SlotRequest{{MID: "2", TrackID: "tr_1", MaxWidth: 320, MaxHeight: 180, Priority: 2, Paused: true}}}
		if err := p.Subscribe(want); err != nil {
			t.Fatal(err)
		}
		if got := r.sfu.living("pt_a")[0].wish; len(got.Slots) != 1 || got.Slots[0] != want.Slots[0] || got.Auto {
			t.Errorf("the SFU was told %+v", got)
		}
		fresh, _ := r.fleets["s1"].On("m1").Join(config("pt_b", &diary{}))
		if _, err := fresh.Offer(t.Context(), node.Offer{SDP: "bad"}); err == nil || len(r.sfu.living("pt_b")) != 0 {
			t.Errorf("a peer whose first offer failed lives on: %v", err)
		}
		r.ends["m1"].cut(true)
		if _, err := p.Offer(t.Context(), node.Offer{SDP: "m"}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("an offer to nobody: %v", err)
		}
	})
}

func second[A any](_ A, err error) error { return err }

func TestEventsCrossInOrder(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		_, d := r.join("s1", "pt_a", "mc")
		events := r.sfu.living("pt_a")[0].cfg.Events
		events.Connected()
		events.SlotsChanged([]node.Slot{{MID: "1", TrackID: "tr_1"}})
		events.LayersWanted("tr_pt_a_1", []string{"q"}, 0)
		events.Disconnected(errors.New("consent expired"))
		events.TrackUnpublished(node.Track{ID: "tr_pt_a_1"})
		synctest.Wait()
		want := "connected; slots [1=tr_1]; layers tr_pt_a_1 [q] 0; disconnected: consent expired; unpublished tr_pt_a_1"
		if got := d.read(); got != want {
			t.Errorf("told %q", got)
		}
	})
}

func TestLostEventsAreMadeGood(t *testing.T) {
	isEvent := func(subject string, _ []byte) bool { return strings.HasPrefix(subject, eventSubject) }
	for _, tc := range []struct {
		name string
		next bool          // another event follows and shows the hole
		wait time.Duration // until it must be good
	}{{"by the next event", true, 0}, {"by a comparison", false, settled + 2*syncEvery}} {
		t.Run(tc.name, func(t *testing.T) {
			inTiers(t, func(t *testing.T, r *tiers) {
				_, d := r.join("s1", "pt_a", "mc")
				events := r.sfu.living("pt_a")[0].cfg.Events
				r.medium.losing(isEvent)
				events.SlotsChanged([]node.Slot{{MID: "1", TrackID: "tr_1"}})
				events.TrackUnpublished(node.Track{ID: "tr_pt_a_1"})
				events.LayersWanted("tr_pt_a_0", []string{"f"}, 2)
				r.medium.losing(nil)
				want := "unpublished tr_pt_a_1; slots [1=tr_1]; layers tr_pt_a_0 [f] 2"
				if tc.next {
					events.SlotsChanged([]node.Slot{{MID: "1", TrackID: "tr_2"}})
					want = strings.Replace(want, "tr_1]", "tr_2]", 1)
				}
				time.Sleep(tc.wait)
				synctest.Wait()
				if got := d.read(); got != want {
					t.Errorf("told %q, want %q", got, want)
				}
				time.Sleep(10 * syncEvery)
				if got := d.read(); got != "" {
					t.Errorf("told again: %q", got)
				}
			})
		})
	}
}

func TestMuteReachesTheSFUAfterAll(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		p, _ := r.fleets["s1"].On("m1").Join(config("pt_a", &diary{}))
		p.SetMuted(node.Camera, true) // before there is anything to mute
		if _, err := p.Offer(t.Context(), node.Offer{SDP: "mc"}); err != nil {
			t.Fatal(err)
		}
		there := r.sfu.living("pt_a")[0]
		if !there.isMuted(node.Camera) || there.isMuted(node.Microphone) {
			t.Error("the first offer does not mute")
		}
		p.SetMuted(node.Microphone, true)
		if !there.isMuted(node.Microphone) {
			t.Error("not muted when SetMuted returned")
		}
		r.ends["s1"].cut(true)
		p.SetMuted(node.Microphone, false)
		p.SetMuted(node.Camera, false)
		time.Sleep(3 * syncEvery)
		if !there.isMuted(node.Microphone) || len(r.sfu.living("pt_a")) != 1 {
			t.Error("an outage of the bus has changed something")
		}
		r.ends["s1"].cut(false)
		time.Sleep(syncEvery + time.Millisecond)
		synctest.Wait()
		if there.isMuted(node.Microphone) || there.isMuted(node.Camera) {
			t.Error("the SFU does not know after the outage")
		}
	})
}

// A comparison that began before a mute must not undo it.
func TestAnOldComparisonMutesNobody(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		p, _ := r.join("s1", "pt_a", "m")
		remote := r.fleets["s1"].On("m1")
		marks, rooms := remote.marks()
		p.SetMuted(node.Microphone, true)
		old := comparison{UpTo: r.fleets["s1"].upTo(), Peers: marks, Rooms: rooms}
		if _, err := remote.ask(t.Context(), callTimeout, request{Op: opSync, Sync: &old}); err != nil {
			t.Fatal(err)
		}
		if !r.sfu.living("pt_a")[0].isMuted(node.Microphone) {
			t.Error("unmuted by an old comparison")
		}
	})
}

func TestClosedPeersDoNotLeak(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		p, _ := r.join("s1", "pt_a", "m")
		p.Close()
		p.Close()
		synctest.Wait()
		if n := len(r.sfu.living("pt_a")); n != 0 {
			t.Fatalf("%d peers after Close", n)
		}
		q, d := r.join("s1", "pt_b", "m")
		r.ends["s1"].cut(true)
		q.Close() // nobody hears of it
		synctest.Wait()
		r.ends["s1"].cut(false)
		time.Sleep(syncEvery + time.Millisecond)
		synctest.Wait()
		if n := len(r.sfu.living("pt_b")); n != 0 || d.read() != "" || len(r.server.Occupancy()) != 0 {
			t.Errorf("%d peers after a comparison", n)
		}
	})
}

func TestANewerJoinReplaces(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		old, _ := r.join("s1", "pt_a", "m")
		for _, signal := range []string{"s1", "s2"} {
			r.join(signal, "pt_a", "mc")
			if there := r.sfu.living("pt_a"); len(there) != 1 || there[0].offers[0] != "mc" {
				t.Fatalf("through %s: %v", signal, there)
			}
			if signal == "s2" {
				break // what came last counts
			}
			if _, err := old.Offer(t.Context(), node.Offer{SDP: "m"}); node.AsError(err).Kind != node.NotFound {
				t.Errorf("a late offer of the first: %v", err)
			}
		}
		old.Close()
		synctest.Wait()
		if len(r.sfu.living("pt_a")) != 1 {
			t.Error("the late close of the first has ended another's peer")
		}
	})
}

func TestPeersOfADeadSignallingNodeAreClosedAfterAGrace(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		r.join("s1", "pt_a", "m")
		_, other := r.join("s2", "pt_b", "m")
		r.fleets["s1"].On("m1").AddRemote("mtg_1", track1("tr_x"), "m2")
		synctest.Wait()
		r.kill("s1")
		time.Sleep(orphanGrace - 2*time.Second)
		if len(r.sfu.living("pt_a")) != 1 || r.sfu.shows() == "" {
			t.Error("closed before the grace was over")
		}
		time.Sleep(2*time.Second + 3*syncEvery)
		synctest.Wait()
		if len(r.sfu.living("pt_a")) != 0 || r.sfu.shows() != "" {
			t.Error("a peer or a track of the dead node is still there")
		}
		if len(r.sfu.living("pt_b")) != 1 || other.read() != "" {
			t.Error("another node's peer was touched")
		}
	})
}

func TestWhoTalksIsNotDead(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		r.join("s1", "pt_a", "m")
		r.gossip.set("s1", 0) // gossip errs
		time.Sleep(3 * orphanGrace)
		if len(r.sfu.living("pt_a")) != 1 {
			t.Error("its peers were closed")
		}
		r.ends["s1"].cut(true)
		time.Sleep(orphanGrace + 3*syncEvery)
		synctest.Wait()
		if len(r.sfu.living("pt_a")) != 0 {
			t.Error("now it is dead, and its peers are not closed")
		}
	})
}

func TestALivingPeerIsAdopted(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before func(r *tiers)
		by     string
	}{
		{"from a dead node", func(r *tiers) { r.kill("s1") }, "s2"},
		{"from a living node", func(*tiers) {}, "s2"},
		{"from an earlier life", func(r *tiers) { r.kill("s1"); r.start("s1", 2); synctest.Wait() }, "s1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inTiers(t, func(t *testing.T, r *tiers) {
				first, _ := r.join("s1", "pt_a", "mc")
				first.SetMuted(node.Camera, true)
				there := r.sfu.living("pt_a")[0]
				there.cfg.Events.SlotsChanged([]node.Slot{{MID: "2", TrackID: "tr_z"}})
				there.cfg.Events.LayersWanted("tr_pt_a_1", []string{"q", "h"}, 2)
				tc.before(r)
				d := &diary{}
				p, had, err := r.fleets[tc.by].On("m1").Adopt(t.Context(), config("pt_a", d))
				if err != nil {
					t.Fatal(err)
				}
				if len(had.Tracks) != 2 || len(had.Slots) != 1 || len(had.Wanted["tr_pt_a_1"]) != 2 || had.Spatial["tr_pt_a_1"] != 2 || len(had.Muted) != 1 {
					t.Errorf("it had %+v", had)
				}
				first.Close() // what the first node does once it hears where the participant is
				there.cfg.Events.SlotsChanged(nil)
				time.Sleep(2 * orphanGrace)
				synctest.Wait()
				if got := d.read(); got != "slots []" {
					t.Errorf("told %q", got)
				}
				if now := r.sfu.living("pt_a"); len(now) != 1 || now[0] != there || !there.isMuted(node.Camera) {
					t.Error("it is not the same peer")
				}
				p.SetMuted(node.Camera, false)
				p.Close()
				synctest.Wait()
				if len(r.sfu.living("pt_a")) != 0 {
					t.Error("its new owner cannot close it")
				}
			})
		})
	}
	t.Run("nobody's", func(t *testing.T) {
		inTiers(t, func(t *testing.T, r *tiers) {
			if _, _, err := r.fleets["s2"].On("m1").Adopt(t.Context(), config("pt_a", &diary{})); node.AsError(err).Kind != node.NotFound {
				t.Errorf("adopted: %v", err)
			}
		})
	})
}

func TestPeersOfADeadMediaNodeAreLost(t *testing.T) {
	for _, tc := range []struct {
		name   string
		happen func(r *tiers)
		lost   bool
	}{
		{"it dies", func(r *tiers) { r.ends["m1"].cut(true); r.gossip.set("m1", 0) }, true},
		{"it dies, and gossip does not know yet", func(r *tiers) { r.ends["m1"].cut(true); r.gossip.silence("m1") }, true},
		{"gossip does not reach it", func(r *tiers) { r.gossip.silence("m1") }, false},
		{"it has started anew", func(r *tiers) { r.gossip.set("m1", 2) }, true},
		{"gossip errs: it still answers", func(r *tiers) { r.gossip.set("m1", 0) }, false},
		{"its bus is away", func(r *tiers) { r.ends["m1"].cut(true) }, false},
		{"everything is away", func(r *tiers) { r.ends["m1"].cut(true); r.ends["s1"].cut(true); r.gossip.set("m1", 0) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inTiers(t, func(t *testing.T, r *tiers) {
				_, d := r.join("s1", "pt_a", "m")
				tc.happen(r)
				time.Sleep(10 * syncEvery)
				synctest.Wait()
				if got := d.read(); (got == "lost") != tc.lost || !tc.lost && got != "" {
					t.Errorf("told %q", got)
				}
			})
		})
	}
}

func TestSpeakersReachThoseWhoHavePeers(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		heard := map[string][]node.Speaker{}
		for _, id := range []string{"s1", "s2"} {
			r.fleets[id].Listen(func(from, room string, who []node.Speaker) { heard[id+" "+from+" "+room] = who })
		}
		r.join("s1", "pt_a", "m")
		r.join("s1", "pt_b", "m")
		r.server.SpeakersChanged("mtg_1", []node.Speaker{{ParticipantID: "pt_a", Level: 30}})
		if who := heard["s1 m1 mtg_1"]; len(heard) != 1 || len(who) != 1 || who[0] != (node.Speaker{ParticipantID: "pt_a", Level: 30}) {
			t.Errorf("heard %v", heard)
		}
		if got := r.server.Occupancy(); len(got) != 1 || got["mtg_1"] != 2 {
			t.Errorf("occupancy %v", got)
		}
	})
}
