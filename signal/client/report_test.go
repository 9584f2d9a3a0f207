package client

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"pgregory.net/rapid"
)

func TestNTP(t *testing.T) {
	if got := toNTP(time.Unix(0, 500_000_000)); got != ntpOffset<<32|1<<31 {
		t.Errorf("NTP of half a second past 1970 = %x", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(0, rapid.Int64Range(0, 2e18).Draw(t, "nanoseconds"))
		if off := fromNTP(toNTP(at)).Sub(at).Abs(); off > time.Nanosecond {
			t.Fatalf("%s came back %s off", at, off)
		}
	})
}

func TestClockTicks(t *testing.T) {
	tests := []struct {
		name string
		d    time.Duration
		rate uint32
		want uint32
	}{
		{"nothing", 0, 90000, 0},
		{"a frame", time.Second / 15, 90000, 6000},
		{"an Opus packet", 20 * time.Millisecond, 48000, 960},
		{"a day wraps around", 24 * time.Hour, 90000, 24 * 3600 * 90000 % (1 << 32)},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := clockTicks(tc.d, tc.rate); got != tc.want {
				t.Errorf("ticks = %d, want %d", got, tc.want)
			}
		})
	}
}

// TestReportsAgree: sound and picture that were due at the same moment are captured at the same moment by what a receiver
// makes of the sender reports, and packets written by hand are taken to be captured when they were written.
func TestReportsAgree(t *testing.T) {
	video, audio := loadClip(t, "vp8-q.ivf"), loadClip(t, "tone.ogg")
	synctest.Test(t, func(t *testing.T) {
		clock, epoch := newWallClock(), time.Now()
		var captured []time.Time
		for _, clip := range []*Clip{video, audio} {
			out := &paced{}
			s := newSender("x", Layer{From: clip.Loop()}, PublicationOptions{Level: ConstantLevel(20)})
			s.places = []*place{{sender: s, out: &binding{write: out, ssrc: 7}}}
			s.startAt(epoch)
			frame, err := s.from.Next()
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(17 * time.Millisecond) // sent late
			if err := s.writeFrame(frame); err != nil {
				t.Fatal(err)
			}
			time.Sleep(1234567 * time.Microsecond)
			packets := s.places[0].report(clock, time.Now(), "me")
			sr, ok := packets[0].(*rtcp.SenderReport)
			if !ok || sr.SSRC != 7 || sr.PacketCount != uint32(len(out.frames)) {
				t.Fatalf("report = %+v", packets)
			}
			var c rtpClock
			c.report(sr)
			captured = append(captured, c.captured(out.headers[0].Timestamp, s.codec.params.ClockRate))
		}
		for i, at := range captured {
			if off := at.Sub(epoch).Abs(); off > 50*time.Microsecond {
				t.Errorf("stream %d was captured %s off", i, off)
			}
		}
	})
}
