package node

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Nobody is ever shown what they publish themselves, whatever they ask for.
func TestNobodySeesThemselves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &room{peers: map[string]*Peer{}}
		for i := range rapid.IntRange(1, 8).Draw(t, "tracks") {
			id := fmt.Sprintf("tr_%d", i)
			source := rapid.SampledFrom([]Source{Camera, Microphone, Screen}).Draw(t, "source")
			one := &published{
				Track: Track{ID: id, ParticipantID: fmt.Sprintf("pt_%d", rapid.IntRange(0, 2).Draw(t, "owner")), Source: source, Kind: source.Kind()},
				order: uint64(i), layers: []*layer{{}},
			}
			one.muted.Store(rapid.Bool().Draw(t, "muted"))
			r.tracks = append(r.tracks, one)
		}
		p := &Peer{id: "pt_0", auto: rapid.Bool().Draw(t, "auto")}
		var slots []*slot
		for i := range rapid.IntRange(0, 6).Draw(t, "slots") {
			s := &slot{mid: fmt.Sprint(i), kind: rapid.SampledFrom([]Kind{Audio, Video}).Draw(t, "kind")}
			if rapid.Bool().Draw(t, "by hand") {
				s.wish = SlotRequest{MID: s.mid, TrackID: fmt.Sprintf("tr_%d", rapid.IntRange(0, 8).Draw(t, "wish"))}
			}
			slots = append(slots, s)
		}
		for s, bound := range r.bindLocked(p, slots) {
			if bound != nil && bound.ParticipantID == p.id {
				t.Fatalf("slot %s shows the participant's own %s", s.mid, bound.Source)
			}
		}
	})
}
