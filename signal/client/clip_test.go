package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/signal/wire"
)

func TestLoadClip(t *testing.T) {
	tests := []struct {
		file   string
		mime   string
		frames int
		keys   int
		length time.Duration
	}{
		{"vp8-q.ivf", webrtc.MimeTypeVP8, 60, 4, 4 * time.Second},
		{"vp8-h.ivf", webrtc.MimeTypeVP8, 60, 4, 4 * time.Second},
		{"vp8-f.ivf", webrtc.MimeTypeVP8, 60, 4, 4 * time.Second},
		{"h264-q.h264", webrtc.MimeTypeH264, 60, 4, 4 * time.Second},
		{"h264-h.h264", webrtc.MimeTypeH264, 60, 4, 4 * time.Second},
		{"h264-f.h264", webrtc.MimeTypeH264, 60, 4, 4 * time.Second},
		{"tone.ogg", webrtc.MimeTypeOpus, 201, 201, 4020 * time.Millisecond},
	}
	for _, tc := range tests {
		t.Run(tc.file, func(t *testing.T) {
			clip := loadClip(t, tc.file)
			keys := 0
			for _, f := range clip.frames {
				if f.Keyframe {
					keys++
				}
			}
			if clip.MimeType() != tc.mime || len(clip.frames) != tc.frames || keys != tc.keys {
				t.Errorf("%s, %d frames, %d keyframes; want %s, %d, %d",
					clip.MimeType(), len(clip.frames), keys, tc.mime, tc.frames, tc.keys)
			}
			if off := clip.Length() - tc.length; off.Abs() > time.Millisecond {
				t.Errorf("length = %s, want %s", clip.Length(), tc.length)
			}
		})
	}
}

func TestBrokenClips(t *testing.T) {
	whole, err := os.ReadFile("testdata/vp8-q.ivf")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		read func() (*Clip, error)
	}{
		{"empty ivf", func() (*Clip, error) { return ReadIVF(bytes.NewReader(nil)) }},
		{"ivf without frames", func() (*Clip, error) { return ReadIVF(bytes.NewReader(whole[:32])) }},
		{"ivf cut in a frame", func() (*Clip, error) { return ReadIVF(bytes.NewReader(whole[:100])) }},
		{"ivf of another codec", func() (*Clip, error) {
			return ReadIVF(bytes.NewReader(bytes.Replace(whole, []byte("VP80"), []byte("AV01"), 1)))
		}},
		{"ogg that is none", func() (*Clip, error) { return ReadOgg(bytes.NewReader(whole)) }},
		{"h264 that is none", func() (*Clip, error) { return ReadH264(bytes.NewReader(whole), 15) }},
		{"file of an unknown kind", func() (*Clip, error) { return LoadClip("testdata/make-clips.sh") }},
		{"file that is not there", func() (*Clip, error) { return LoadClip("testdata/none.ivf") }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if clip, err := tc.read(); err == nil {
				t.Errorf("read %d frames, want an error", len(clip.frames))
			}
		})
	}
}

// paced collects what a sender writes and when.
type paced struct {
	at      []time.Time
	headers []rtp.Header
	frames  [][]byte
}

func (p *paced) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	p.at, p.headers = append(p.at, time.Now()), append(p.headers, *h)
	p.frames = append(p.frames, payload)
	return len(payload), nil
}

func (p *paced) Write([]byte) (int, error) { return 0, errNotBound }

// TestPacing plays clips for longer than they last and looks at what would be sent when.
func TestPacing(t *testing.T) {
	tests := []struct {
		file   string
		rate   uint32
		period time.Duration
	}{
		{"vp8-q.ivf", 90000, time.Second / 15},
		{"h264-q.h264", 90000, time.Second / 15},
		{"tone.ogg", 48000, 20 * time.Millisecond},
	}
	for _, tc := range tests {
		t.Run(tc.file, func(t *testing.T) {
			clip := loadClip(t, tc.file)
			synctest.Test(t, func(t *testing.T) {
				out := &paced{}
				s := newSender("x", Layer{From: clip.Loop()}, PublicationOptions{Level: ConstantLevel(20)})
				s.places = []*place{{sender: s, out: &binding{write: out}}}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				epoch := time.Now()
				if err := s.run(ctx, nil, epoch); err != nil {
					t.Fatal(err)
				}
				if want := int(10 * time.Second / tc.period); int(s.sent.Frames) < want-1 || int(s.sent.Frames) > want+1 {
					t.Errorf("frames in 10 s = %d, want %d", s.sent.Frames, want)
				}
				for i, h := range out.headers {
					due := clockTicks(out.at[i].Sub(epoch), tc.rate)
					if drift := int32(h.Timestamp - s.base - due); drift > 1 || drift < -1 {
						t.Fatalf("packet %d: timestamp is %d ticks off the time of sending", i, drift)
					}
					if i > 0 && h.SequenceNumber != out.headers[i-1].SequenceNumber+1 {
						t.Fatalf("packet %d: sequence number %d after %d", i, h.SequenceNumber, out.headers[i-1].SequenceNumber)
					}
				}
			})
		})
	}
}

func TestPictureLossBringsAKeyframe(t *testing.T) {
	clip := loadClip(t, "vp8-q.ivf")
	synctest.Test(t, func(t *testing.T) {
		out := &paced{}
		s := newSender("x", Layer{From: clip.Loop()}, PublicationOptions{})
		s.places = []*place{{sender: s, out: &binding{write: out}}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.run(ctx, nil, time.Now()) }()
		time.Sleep(300 * time.Millisecond) // five frames into the first second
		s.pictureLost()
		time.Sleep(2 * clip.Length() / time.Duration(len(clip.frames)))
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		last := len(out.frames) - 1
		if !inspect(s.mime, out.frames[last]).keyframe && !inspect(s.mime, out.frames[last-1]).keyframe {
			t.Error("no keyframe within two frames")
		}
		if s.sent.Keyframes != 2 || s.sent.PLIs != 1 {
			t.Errorf("keyframes, PLIs = %d, %d, want 2, 1", s.sent.Keyframes, s.sent.PLIs)
		}
	})
}

func TestPausedLayerStartsWithAKeyframe(t *testing.T) {
	clip := loadClip(t, "vp8-q.ivf")
	synctest.Test(t, func(t *testing.T) {
		out := &paced{}
		pub := NewCamera(clip.Loop())
		s := pub.senders[0]
		s.places = []*place{{sender: s, out: &binding{write: out}}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.run(ctx, nil, time.Now()) }()
		time.Sleep(time.Second / 2)
		pub.want(wire.Layers{Wanted: []string{}})
		synctest.Wait()
		before := len(out.frames)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(out.frames) != before {
			t.Errorf("%d packets of a paused layer", len(out.frames)-before)
		}
		pub.want(wire.Layers{Wanted: []string{"f"}}) // how the server names a layer without a rid
		time.Sleep(time.Second / 5)
		synctest.Wait()
		cancel()
		<-ended
		sent := out.frames[before:]
		if len(sent) == 0 {
			t.Fatal("nothing was sent after the pause")
		}
		keys := 0
		for _, f := range sent[:2] {
			if inspect(s.mime, f).keyframe {
				keys++
			}
		}
		if keys == 0 {
			t.Error("no keyframe at the start")
		}
	})
}

type endless struct{ err error }

func (endless) MimeType() string       { return webrtc.MimeTypeVP8 }
func (e endless) Next() (Frame, error) { return Frame{}, e.err }
func (endless) SkipToKeyframe()        {}

func TestSourceThatEnds(t *testing.T) {
	for _, tc := range []struct {
		name      string
		err, want error
	}{{"quietly", io.EOF, nil}, {"broken", io.ErrNoProgress, io.ErrNoProgress}} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSender("x", Layer{From: endless{tc.err}}, PublicationOptions{})
			if err := s.run(t.Context(), nil, time.Now()); !errors.Is(err, tc.want) {
				t.Errorf("run = %v, want %v", err, tc.want)
			}
		})
	}
}
