package node

import (
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/parley-sfu/parley/internal/bandwidth"
)

// stranger is what a report is about when it is not about a slot.
const stranger = 99

// TestFeedbackWithoutNumbers: a viewer that does not say which packets came is limited by its own estimate, or by a tenth of loss; one that only
// reports that all is well is not even measured.
func TestFeedbackWithoutNumbers(t *testing.T) {
	for _, tc := range []struct {
		name     string
		say      func(round uint32) []rtcp.Packet
		measured bool
		below    int64 // bit/s
	}{
		{"nothing", func(uint32) []rtcp.Packet { return []rtcp.Packet{&rtcp.ReceiverReport{SSRC: 1}} }, false, 0},
		{"all is well", reporting(7, 2), false, 0},
		{"a fifth is lost", reporting(7, 51), true, 2_000_000},
		{"a fifth of something else is lost", reporting(stranger, 51), false, 0},
		{"its own estimate", func(uint32) []rtcp.Packet {
			return []rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 300_000, SSRCs: []uint32{7}}}
		}, true, 300_001},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &way{cfg: bandwidth.Defaults()}
			now := int64(time.Second)
			for round := range uint32(20) {
				for range 100 { // a second of a Mbit/s
					now += int64(10 * time.Millisecond)
					if w.measured.Load() {
						w.left(nil, 1250, bandwidth.Media, now)
					}
				}
				b, err := rtcp.Marshal(tc.say(round))
				if err != nil {
					t.Fatal(err)
				}
				w.feedback(b, false, func(ssrc uint32) sending {
					if ssrc == 7 {
						return &slot{}
					}
					return nil
				}, now)
			}
			budget, limited := w.budget()
			if w.measured.Load() != tc.measured || limited != tc.measured {
				t.Fatalf("measured %v, limited %v, want %v", w.measured.Load(), limited, tc.measured)
			}
			if limited && (budget >= tc.below || budget <= 0) {
				t.Errorf("budget %d bit/s, want less than %d", budget, tc.below)
			}
		})
	}
}

// reporting is a receiver that reports, of 100 packets a round, a part lost in 1/256.
func reporting(ssrc uint32, lost uint8) func(round uint32) []rtcp.Packet {
	return func(round uint32) []rtcp.Packet {
		return []rtcp.Packet{&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{
			SSRC: ssrc, FractionLost: lost, LastSequenceNumber: 1000 + 100*round,
		}}}}
	}
}

// TestFeedbackBesideOthers: what concerns the way is taken out of a compound packet; what concerns single streams is left to them.
func TestFeedbackBesideOthers(t *testing.T) {
	for _, tc := range []struct {
		name string
		of   []rtcp.Packet
		more bool
	}{
		{"an estimate alone", []rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6}}, false},
		{"an estimate and a request", []rtcp.Packet{
			&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6}, &rtcp.PictureLossIndication{MediaSSRC: 7},
		}, true},
		{"a request alone", []rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: 7}}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := rtcp.Marshal(tc.of)
			if err != nil {
				t.Fatal(err)
			}
			w := &way{cfg: bandwidth.Defaults()}
			if more := w.feedback(b, false, func(uint32) sending { return nil }, 1); more != tc.more {
				t.Errorf("more = %v, want %v", more, tc.more)
			}
		})
	}
}

// TestFallen: what is left of a budget is divided at once when it is less than three quarters of the one that was, and once for each fall.
func TestFallen(t *testing.T) {
	w, now := &way{cfg: bandwidth.Defaults()}, int64(time.Second)
	for _, step := range []struct {
		carries float32 // bit/s, as the viewer says
		divided bool    // since the step before
		want    bool
	}{
		{1_000_000, false, false},
		{1_000_000, true, false},
		{760_000, false, false},
		{740_000, false, true},
		{740_000, false, false},
		{600_000, false, false},
		{500_000, false, true},
		{700_000, true, false},
	} {
		if budget, limited := w.budget(); step.divided && limited {
			w.divided(budget, budget, 2*budget)
		}
		b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: step.carries, SSRCs: []uint32{7}}})
		if err != nil {
			t.Fatal(err)
		}
		now += int64(10 * time.Millisecond)
		w.feedback(b, false, func(uint32) sending { return &slot{} }, now)
		if got := w.fallen(); got != step.want {
			budget, _ := w.budget()
			t.Errorf("%.0f bit/s: fallen = %v, of a budget of %d", step.carries, got, budget)
		}
	}
}
