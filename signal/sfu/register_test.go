package sfu

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// The SFU shows a track for as long as anybody claims it, from where the last who spoke says, and is told nothing twice.
func TestRegisterFollowsWhoSpokeLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, sfu := newRegister(), newFakeSFU()
		claims := map[string]claim{} // by node and track
		last := map[string]string{}  // node that spoke last, by track
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			by, id := rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(t, "by"), rapid.SampledFrom([]string{"tr_a", "tr_b"}).Draw(t, "track")
			var orders []order
			if rapid.IntRange(0, 3).Draw(t, "drop") == 0 {
				orders = r.drop(by, id)
				delete(claims, by+id)
			} else {
				c := claim{by: by, room: "mtg_1", track: track1(id), from: rapid.SampledFrom([]string{"m2", "m3"}).Draw(t, "from"), muted: rapid.Bool().Draw(t, "muted")}
				if claims[by+id].by == "" || !claims[by+id].says(c) {
					last[id] = by
				}
				orders = r.set(c)
				claims[by+id] = c
			}
			before := sfu.shows()
			for _, o := range orders {
				o(sfu)
			}
			if len(orders) > 0 && before == sfu.shows() {
				t.Fatalf("%d orders change nothing of %q", len(orders), before)
			}
			for _, id := range []string{"tr_a", "tr_b"} {
				speaker, is := claims[last[id]+id]
				if is && sfu.remote[id] != fmt.Sprint("mtg_1 from ", speaker.from) || is && sfu.muted[id] != speaker.muted {
					t.Fatalf("%s is %q, %v, but %+v spoke last", id, sfu.remote[id], sfu.muted[id], speaker)
				}
				claimed := claims["s1"+id].by != "" || claims["s2"+id].by != "" || claims["s3"+id].by != ""
				if _, shown := sfu.remote[id]; shown != claimed {
					t.Fatalf("%s: shown %v, claimed %v", id, shown, claimed)
				}
			}
		}
	})
}
