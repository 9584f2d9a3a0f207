package packet

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestTemporalSelectorJoins: a selector that takes over a stream in any place, which has been forwarded as a whole so far, completes what has
// begun, and nothing that it forwards refers to what it left out.
func TestTemporalSelectorJoins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s TemporalSelector
		v := byVP8(t, anyEncoder(t))
		packets := v.packets(t, 60)
		join := rapid.IntRange(1, len(packets)-1).Draw(t, "join")
		wanted := uint8(rapid.IntRange(0, 2).Draw(t, "wanted"))
		forwarded := map[int]bool{}
		for i, p := range packets {
			f := &v.e.frames[p.place]
			if i == join {
				s.Join(packets[i-1].Sequence, MaxTemporal)
				s.Want(wanted)
			}
			forward := i < join || s.Select(&p.Header, &VP8{
				Start: p.start, Keyframe: p.start && f.key, HasTID: true, TID: uint8(f.temporal), Sync: f.sync,
			})
			if was := forwarded[p.place]; !p.start && was != forward {
				t.Fatalf("frame %d is not whole", p.place)
			}
			if i >= join && p.start && forward != (uint8(f.temporal) <= wanted) {
				t.Fatalf("frame %d of layer %d forwarded: %v", p.place, f.temporal, forward)
			}
			forwarded[p.place] = forward
			lost := func(ref int) bool { return !forwarded[ref] }
			if forward && slices.ContainsFunc(f.refs, lost) {
				t.Fatalf("frame %d refers to one that was left out", p.place)
			}
		}
	})
}

// TestTemporalSelectorTakesTheLate: what was sent before the selector joined may still come late, and is part of what is shown.
func TestTemporalSelectorTakesTheLate(t *testing.T) {
	var s TemporalSelector
	s.Join(10, MaxTemporal)
	s.Want(0)
	of := func(seq uint16, timestamp uint32, tid uint8) bool {
		return s.Select(&Header{Sequence: seq, Timestamp: timestamp}, &VP8{Start: true, HasTID: true, TID: tid})
	}
	if !of(8, 800, 2) || of(11, 1100, 2) || !of(9, 900, 1) || !of(12, 1200, 0) || of(13, 1300, 1) {
		t.Error("only what came first before the selector joined is to pass beside the lowest layer")
	}
	if s.Complete(2) || s.Climbs(2) || s.Want(0) {
		t.Error("the lowest layer is all that is wanted")
	}
	if !s.Want(MaxTemporal-1) || !s.Climbs(2) || s.Complete(2) || !s.Complete(0) {
		t.Error("two layers are missing")
	}
}
