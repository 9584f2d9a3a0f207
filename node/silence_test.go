package node

import (
	"testing"
	"time"
)

func TestSilentMicrophone(t *testing.T) {
	const second = int64(time.Second)
	type moment struct {
		at     int64 // seconds
		packet bool  // one has just come
		muted  bool
		away   bool // no media path
		silent bool
	}
	for _, tc := range []struct {
		name    string
		source  Source
		moments []moment
	}{
		{"it never sends", Microphone, []moment{{at: 1}, {at: 3}, {at: 4, silent: true}, {at: 9, silent: true}}},
		{"it stops and comes back", Microphone, []moment{
			{at: 1, packet: true}, {at: 3}, {at: 4, silent: true}, {at: 5, packet: true}, {at: 7},
		}},
		{"muted", Microphone, []moment{{at: 1, muted: true}, {at: 9, muted: true}}},
		{"it is given time after it was unmuted", Microphone, []moment{{at: 1, muted: true}, {at: 9}, {at: 11}, {at: 12, silent: true}}},
		{"nothing can come yet", Microphone, []moment{{at: 1, away: true}, {at: 9, away: true}, {at: 10}, {at: 12}}},
		{"a camera", Camera, []moment{{at: 1}, {at: 9}}},
		{"the sound of a screen may rest", ScreenAudio, []moment{{at: 1}, {at: 9}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			track := &published{Track: Track{Source: tc.source}, sender: &feed{}, layers: []*layer{{}}}
			for _, m := range tc.moments {
				track.muted.Store(m.muted)
				track.heard.Store(!m.away)
				if m.packet {
					track.layers[0].lastSeen.Store(m.at * second)
				}
				before := track.silence.silent.Load()
				changed := track.silence.review(track, m.at*second)
				if got := track.silence.silent.Load(); got != m.silent || changed != (got != before) {
					t.Errorf("at %d s: silent = %v, changed = %v; want silent %v", m.at, got, changed, m.silent)
				}
			}
		})
	}
}
