package sfu

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/node"
)

func TestTracksOfSeveralSignallingNodes(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		one, two := r.fleets["s1"].On("m1"), r.fleets["s2"].On("m1")
		show := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := r.sfu.shows(); got != want {
				t.Fatalf("the SFU shows %q, want %q", got, want)
			}
		}
		one.AddRemote("mtg_1", track1("tr_x"), "m2")
		one.MuteRemote("tr_x", true)
		show("tr_x of mtg_1 from m2 muted")
		two.AddRemote("mtg_1", track1("tr_x"), "m2")
		two.MuteRemote("tr_x", true)
		r.server.AddRemote("mtg_1", track1("tr_x"), "m2") // its own signalling
		r.server.MuteRemote("tr_x", true)
		one.RemoveRemote("tr_x")
		show("tr_x of mtg_1 from m2 muted")
		two.AddRemote("mtg_1", track1("tr_x"), "m3") // it has moved
		show("tr_x of mtg_1 from m3 muted")
		two.MuteRemote("tr_x", false)
		show("tr_x of mtg_1 from m3")
		two.RemoveRemote("tr_x")
		show("tr_x of mtg_1 from m2 muted")
		r.server.RemoveRemote("tr_x")
		show("")
		time.Sleep(10 * syncEvery)
		show("")
	})
}

func TestLostStepsAreMadeGood(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		one := r.fleets["s1"].On("m1")
		one.AddRemote("mtg_1", track1("tr_a"), "m2")
		synctest.Wait()
		r.ends["s1"].cut(true)
		one.RemoveRemote("tr_a")
		one.AddRemote("mtg_1", track1("tr_b"), "m2")
		one.AddRemote("mtg_2", track1("tr_c"), "m2")
		time.Sleep(3 * syncEvery)
		if got := r.sfu.shows(); got != "tr_a of mtg_1 from m2" {
			t.Errorf("during the outage %q", got)
		}
		r.ends["s1"].cut(false)
		time.Sleep(syncEvery + time.Millisecond)
		synctest.Wait()
		if got, want := r.sfu.shows(), "tr_b of mtg_1 from m2; tr_c of mtg_2 from m2"; got != want {
			t.Errorf("after it %q, want %q", got, want)
		}
	})
}

// A media node obeys what follows on what it knows, asks for the whole list otherwise, and nothing late changes anything.
func TestStepsAreObeyedInOrder(t *testing.T) {
	inTiers(t, func(t *testing.T, r *tiers) {
		remote := r.fleets["s1"].On("m1")
		far := []farTrack{{Track: track(track1("tr_late")), From: "m2"}}
		for _, tc := range []struct {
			name   string
			step   step
			behind bool
			shows  string
		}{
			{"the first, which is whole", step{Version: 5, Whole: true, Set: []farTrack{{Track: track(track1("tr_a")), From: "m2"}}}, false, "tr_a of mtg_1 from m2"},
			{"one that follows", step{Version: 7, After: 5, Set: []farTrack{{Track: track(track1("tr_b")), From: "m2"}}, Gone: []string{"tr_a"}}, false, "tr_b of mtg_1 from m2"},
			{"one after a lost one", step{Version: 9, After: 8, Set: far}, true, "tr_b of mtg_1 from m2"},
			{"a late one", step{Version: 6, After: 5, Set: far}, true, "tr_b of mtg_1 from m2"},
			{"a late whole one", step{Version: 6, Whole: true, Set: far}, false, "tr_b of mtg_1 from m2"},
			{"a whole one", step{Version: 10, Whole: true}, false, ""},
		} {
			got, err := remote.ask(t.Context(), callTimeout, request{Op: opTracks, Room: "mtg_1", Tracks: &tc.step})
			if err != nil || got.Behind != tc.behind || r.sfu.shows() != tc.shows {
				t.Errorf("%s: behind %v, shows %q, %v", tc.name, got.Behind, r.sfu.shows(), err)
			}
		}
	})
}

// After any losses, once nothing is lost any more, a comparison makes the media node agree with both signalling nodes.
func TestBothEndsAgreeAfterAnyLoss(t *testing.T) {
	rapid.Check(t, func(check *rapid.T) {
		seed := rapid.Uint64().Draw(check, "seed")
		steps := rapid.IntRange(1, 60).Draw(check, "steps")
		fault := ""
		inTiers(t, func(t *testing.T, r *tiers) {
			random, fate := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			var lossy atomic.Int64 // in a hundred
			r.medium.losing(func(string, []byte) bool { return fate.Int64N(100) < lossy.Load() })
			want := map[string]string{} // of s1: muted by participant
			peers := map[string]Peer{}
			rooms := [2]map[string]string{{}, {}}
			for range steps {
				lossy.Store(30 * random.Int64N(3))
				who, which := fmt.Sprint("pt_", random.IntN(3)), random.IntN(2)
				id := fmt.Sprintf("tr_%d_%d", which, random.IntN(4)) // the two never differ about a track
				remote := r.fleets[[]string{"s1", "s2"}[which]].On("m1")
				switch random.IntN(6) {
				case 0:
					d := &diary{}
					p := r.fleets["s1"].On("m1").join(config(who, d))
					if old := peers[who]; old != nil {
						old.Close()
						delete(peers, who)
						delete(want, who)
					}
					if _, err := p.Offer(t.Context(), node.Offer{SDP: "m"}); err != nil {
						p.Close()
					} else {
						peers[who], want[who] = p, ""
					}
				case 1:
					if p := peers[who]; p != nil {
						p.Close()
						delete(peers, who)
						delete(want, who)
					}
				case 2:
					if p := peers[who]; p != nil {
						muted := random.IntN(2) == 0
						p.SetMuted(node.Microphone, muted)
						want[who] = map[bool]string{true: " muted"}[muted]
					}
				case 3, 4:
					remote.AddRemote("mtg_1", track1(id), "m2")
					rooms[which][id] = id + " of mtg_1 from m2"
				case 5:
					remote.RemoveRemote(id)
					delete(rooms[which], id)
				}
				if random.IntN(2) == 0 {
					synctest.Wait()
				}
			}
			synctest.Wait()
			lossy.Store(0)
			time.Sleep(3 * syncEvery)
			synctest.Wait()
			shown := slices.Concat(slices.Collect(maps.Values(rooms[0])), slices.Collect(maps.Values(rooms[1])))
			slices.Sort(shown)
			if got := r.sfu.shows(); got != strings.Join(shown, "; ") {
				fault = fmt.Sprintf("the SFU shows %q, want %q", got, shown)
			}
			for who := range 3 {
				id := fmt.Sprint("pt_", who)
				there := r.sfu.living(id)
				muted, wanted := want[id]
				switch {
				case wanted != (len(there) == 1):
					fault = fmt.Sprintf("%s: %d peers, wanted: %v", id, len(there), wanted)
				case wanted && there[0].isMuted(node.Microphone) != (muted != ""):
					fault = fmt.Sprintf("%s: muted is not %q", id, muted)
				}
			}
		})
		if fault != "" {
			check.Fatal(fault)
		}
	})
}
