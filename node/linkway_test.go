package node

import (
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/allocation"
)

func TestStrain(t *testing.T) {
	const ms = int64(time.Millisecond)
	for name, tc := range map[string]struct {
		over []bool // every 80 ms
		want []bool
	}{
		"calm":              {[]bool{false, false, false}, []bool{false, false, false}},
		"one late reader":   {[]bool{true, false, true, false}, []bool{false, false, false, false}},
		"two in a row":      {[]bool{false, true, true}, []bool{false, false, true}},
		"it is told once":   {[]bool{true, true, true, true}, []bool{false, true, false, false}},
		"also if it ceases": {[]bool{true, true, false, true, true}, []bool{false, true, false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			var s strain
			for i, over := range tc.over {
				if got := s.look(over, false, ms*int64(1000+80*i)); got != tc.want[i] {
					t.Errorf("narrow at the message %d: %v", i, got)
				}
			}
		})
	}
	var s strain
	if !s.look(true, true, ms) || s.look(true, true, 2*ms) {
		t.Error("a long queue is not told at once, or twice")
	}
}

// TestAllowance: what is sent again over a narrow link is no more than its part, and some of it may be saved up.
func TestAllowance(t *testing.T) {
	const (
		bitrate = 80_000 // 10,000 bytes a second
		size    = 500
		from    = int64(time.Hour)
	)
	var a allowance
	spent := 0
	for now := from; now < from+int64(2*time.Second); now += int64(time.Millisecond) {
		if a.take(size, bitrate, now) {
			spent += size
		}
	}
	if burst := bitrate / 8 * repairBurst / 1e9; spent < 20_000 || float64(spent) > 20_000+burst {
		t.Errorf("%d bytes were sent again in two seconds", spent)
	}
	if a = (allowance{}); a.take(bitrate/8, bitrate, from) {
		t.Error("a second's bytes were sent at once")
	}
}

// TestAffordable: what is granted of a camera of three layers, in place of what is asked for, as bits.
func TestAffordable(t *testing.T) {
	for name, tc := range map[string]struct {
		limited     bool
		shown       bool
		spatial     uint8
		asked, want uint8
	}{
		"all of a wide link":          {false, false, 0, 5, 5},
		"nothing":                     {true, false, 0, 5, 0},
		"nothing asked":               {true, true, 2, 0, 0},
		"all":                         {true, true, 2, 5, 5},
		"the middle for the highest":  {true, true, 1, 5, 3},
		"the lowest for the highest":  {true, true, 0, 4, 1},
		"the lowest, which was asked": {true, true, 0, 5, 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := &outlet{track: &published{Track: Track{Kind: Video}}, limited: tc.limited}
			o.granted = allocation.Grant{Shown: tc.shown, Spatial: tc.spatial}
			if got := o.affordableLocked(tc.asked); got != tc.want {
				t.Errorf("layers %03b, want %03b", got, tc.want)
			}
		})
	}
}
