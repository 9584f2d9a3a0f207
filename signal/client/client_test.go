package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/signal/wire"
)

func loadClip(t *testing.T, name string) *Clip {
	t.Helper()
	clip, err := LoadClip("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return clip
}

func TestPublishSimulcastAndAudio(t *testing.T) {
	server := newFakeServer(t)
	camera := NewCamera(loadClip(t, "vp8-q.ivf").Loop(), loadClip(t, "vp8-h.ivf").Loop(), loadClip(t, "vp8-f.ivf").Loop())
	microphone := NewMicrophone(loadClip(t, "tone.ogg").Loop(), nil)
	c := connect(t, server.ticket(), Options{Publish: []*Publication{camera, microphone}})
	got := map[string]int{}
	for len(got) < 4 {
		select {
		case track := <-server.tracks:
			for range 5 {
				readPacket(t, track)
			}
			got[track.Kind().String()+track.RID()]++
		case <-time.After(10 * time.Second):
			t.Fatalf("tracks = %v, want three videos and an audio; sent %+v", got, camera.Sent())
		}
	}
	for _, want := range []string{"videoq", "videoh", "videof", "audio"} {
		if got[want] != 1 {
			t.Errorf("tracks = %v, want one %s", got, want)
		}
	}
	timings := c.Timings()
	if timings.WebSocket <= 0 || timings.OfferAnswer <= 0 || timings.ICE <= 0 || timings.DTLS <= 0 {
		t.Errorf("timings = %+v, want every step up to DTLS", timings)
	}
}

func TestReceiveInSlot(t *testing.T) {
	server := newFakeServer(t)
	packets := make(chan Packet, 1000)
	c := connect(t, server.ticket(), Options{VideoSlots: 2, OnPacket: func(p Packet) {
		select {
		case packets <- p:
		default:
		}
	}})
	<-server.up
	own := newSender("x", Layer{From: loadClip(t, "vp8-q.ivf").Loop()}, PublicationOptions{Stamp: true})
	out := &trackWriter{track: server.slots[0]}
	own.places = []*place{{sender: own, out: &binding{write: out}}}
	own.startAt(time.Now())
	for range 40 {
		frame, err := own.from.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := own.writeFrame(frame); err != nil {
			t.Fatal(err)
		}
	}
	var stamped int
	for range out.count {
		select {
		case p := <-packets:
			if p.MimeType != webrtc.MimeTypeVP8 || p.Slot.MID == "" {
				t.Fatalf("packet of %q in slot %+v", p.MimeType, p.Slot)
			}
			if !p.SentAt.IsZero() {
				stamped++
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("received fewer than %d packets; %+v", out.count, c.SlotStats())
		}
	}
	if stamped != 40 {
		t.Errorf("stamped frames = %d, want 40", stamped)
	}
	stats := c.SlotStats()
	var frames, keys uint64
	for _, s := range stats {
		frames, keys = frames+s.Frames, keys+s.Keyframes
		if s.Frames > 0 && (s.Width != 160 || s.Height != 90) {
			t.Errorf("size = %dx%d, want 160x90", s.Width, s.Height)
		}
	}
	if frames != 40 || keys != 3 {
		t.Errorf("frames, keyframes = %d, %d, want 40, 3", frames, keys)
	}
	if c.Timings().FirstVideo == 0 {
		t.Error("FirstVideo was not measured")
	}
}

func TestServerErrors(t *testing.T) {
	tests := []struct {
		name string
		code string
		call func(ctx context.Context, c *Client) error
	}{
		{"chat", wire.CodeRateLimited, func(ctx context.Context, c *Client) error { return c.Chat(ctx, "hi", "") }},
		{"moderation", wire.CodeNotHost, func(ctx context.Context, c *Client) error { return c.Lock(ctx) }},
		{"presence", wire.CodeDenied, func(ctx context.Context, c *Client) error {
			return c.Presence(ctx, wire.PresenceUpdate{HandRaised: new(true)})
		}},
		{"subscription", wire.CodeDenied, func(ctx context.Context, c *Client) error { return c.SubscribeAuto(ctx) }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			server := newFakeServer(t)
			server.handle = func(s *fakeSession, e wire.Envelope, _ []byte) bool {
				if e.Type == wire.TypeHello {
					return false
				}
				s.send(wire.Envelope{Type: wire.TypeError, ReplyTo: e.ID}, wire.Error{Code: tc.code, Message: "No."})
				return true
			}
			c := connect(t, server.ticket(), Options{VideoSlots: NoSlots, AudioSlots: NoSlots})
			var refusal *Error
			if err := tc.call(t.Context(), c); !errors.As(err, &refusal) || refusal.Code != tc.code {
				t.Errorf("err = %v, want an *Error with code %s", err, tc.code)
			}
		})
	}
}
