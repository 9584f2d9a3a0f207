package client

import (
	"testing"
	"time"
)

// film makes the packets of frames of three packets each, with a keyframe every ten frames.
func film(frames int) []packetNote {
	var out []packetNote
	for i := range frames {
		for part := range 3 {
			out = append(out, packetNote{
				seq: uint16(65500 + len(out)), timestamp: uint32(i) * 6000, marker: part == 2,
				keyframe: part == 0 && i%10 == 0,
			})
		}
	}
	return out
}

func TestFrameTracker(t *testing.T) {
	const period = 66 * time.Millisecond
	tests := []struct {
		name         string
		change       func([]packetNote) []packetNote
		frames, keys uint64
	}{
		{"all there", func(p []packetNote) []packetNote { return p }, 30, 3},
		{"reordered", func(p []packetNote) []packetNote {
			for i := 0; i+1 < len(p); i += 2 {
				p[i], p[i+1] = p[i+1], p[i]
			}
			return p
		}, 30, 3},
		{"repaired late", func(p []packetNote) []packetNote {
			late := p[16]
			return append(append(append([]packetNote{}, p[:16]...), p[17:25]...), append([]packetNote{late}, p[25:]...)...)
		}, 30, 3},
		{"a lost packet stops the picture until the next keyframe", func(p []packetNote) []packetNote {
			return append(append([]packetNote{}, p[:16]...), p[17:]...)
		}, 25, 3},
		{"a lost keyframe", func(p []packetNote) []packetNote { return append(p[:30:30], p[31:]...) }, 20, 2},
		{"joined in the middle", func(p []packetNote) []packetNote { return p[4:] }, 20, 2},
		{"padding between frames", func(p []packetNote) []packetNote {
			var out []packetNote
			shift := uint16(0)
			for _, n := range p {
				n.seq += shift
				out = append(out, n)
				if n.marker {
					shift++
					out = append(out, packetNote{seq: n.seq + 1, timestamp: n.timestamp, empty: true})
				}
			}
			return out
		}, 30, 3},
		{"markers lost with the encoder", func(p []packetNote) []packetNote {
			for i := range p {
				p[i].marker = p[i].marker && i < 9
			}
			return p
		}, 29, 3},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var f frameTracker
			now := time.Unix(0, 0)
			for _, p := range tc.change(film(30)) {
				f.arrived(p, now)
				if p.marker {
					now = now.Add(period)
				}
			}
			if f.frames != tc.frames || f.keyframes != tc.keys {
				t.Errorf("frames, keyframes = %d, %d, want %d, %d", f.frames, f.keyframes, tc.frames, tc.keys)
			}
		})
	}
}

func TestNeedsKeyframe(t *testing.T) {
	var f frameTracker
	now := time.Unix(0, 0)
	asked := 0
	for _, p := range film(40)[4:27] { // no keyframe among them
		f.arrived(p, now)
		if f.needsKeyframe(now) {
			asked++
		}
		now = now.Add(70 * time.Millisecond)
	}
	if asked != 2 {
		t.Errorf("asked %d times in 1.6 s, want 2: after 0.3 s and one second later", asked)
	}
}

func TestFreezeMeter(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name  string
		gaps  []time.Duration
		count uint64
		total time.Duration
	}{
		{"even", []time.Duration{33 * ms, 33 * ms, 33 * ms, 33 * ms}, 0, 0},
		{"under 150 ms more than the average", []time.Duration{33 * ms, 33 * ms, 180 * ms, 33 * ms}, 0, 0},
		{"over it", []time.Duration{33 * ms, 33 * ms, 190 * ms, 33 * ms}, 1, 190 * ms},
		{"slow video needs three times the average", []time.Duration{500 * ms, 500 * ms, 1400 * ms, 500 * ms}, 0, 0},
		{"and freezes at it", []time.Duration{500 * ms, 500 * ms, 1500 * ms, 500 * ms}, 1, 1500 * ms},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var m FreezeMeter
			now := time.Unix(100, 0)
			m.shown(now)
			for _, gap := range tc.gaps {
				now = now.Add(gap)
				m.shown(now)
			}
			if m.freezes != tc.count || m.total != tc.total {
				t.Errorf("freezes = %d of %s, want %d of %s", m.freezes, m.total, tc.count, tc.total)
			}
			if count, _, _ := m.Until(now.Add(10 * time.Second)); count != tc.count+1 {
				t.Errorf("freezes with one going on = %d, want %d", count, tc.count+1)
			}
			m.Interrupt(true)
			m.Whole(0, now.Add(time.Second)) // it was on its way
			m.Interrupt(false)
			m.Whole(90_000, now.Add(time.Minute))
			if m.freezes != tc.count {
				t.Error("an interruption counted as a freeze")
			}
		})
	}
}
