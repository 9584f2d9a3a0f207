package lean

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/internal/udp"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

const patience = 20 * time.Second

// town is a node as a process of its own, a meeting there, and a fleet in this process.
type town struct {
	t       testing.TB
	node    *lab.Node
	meeting string
	fleet   *Fleet
}

func newTown(t testing.TB) *town {
	t.Helper()
	node := lab.StartNode(t)
	fleet, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &town{t, node, node.NewMeeting(t, "lean", map[string]any{"max_participants": 1000}).ID, fleet}
}

func (w *town) ticket(name, role string) client.Ticket {
	w.t.Helper()
	for {
		ticket, err := client.JoinMeeting(w.t.Context(), w.node.URL, w.meeting, client.JoinOptions{DisplayName: name, Role: role})
		if refused, ok := errors.AsType[*client.Error](err); ok && refused.Status == http.StatusTooManyRequests {
			<-time.After(time.Second)
			continue
		}
		if err != nil {
			w.t.Error(err)
			runtime.Goexit()
		}
		return ticket
	}
}

// publish brings in a whole client with a camera in three layers and a microphone.
func (w *town) publish() *client.Client { return w.send(false) }

// send is publish, or with a microphone alone.
func (w *town) send(audio bool) *client.Client {
	w.t.Helper()
	stamped := client.PublicationOptions{Stamp: true, Level: client.ConstantLevel(20)}
	var layers []client.Layer
	for _, rid := range []string{"q", "h", "f"} {
		layers = append(layers, client.Layer{RID: rid, From: clip(w.t, rid+".ivf").Loop()})
	}
	sends := []*client.Publication{
		client.NewPublication(client.SourceMicrophone, stamped, client.Layer{From: clip(w.t, "voice.ogg").Loop()}),
	}
	if !audio {
		sends = append(sends, client.NewPublication(client.SourceCamera, stamped, layers...))
	}
	c, err := client.Connect(w.t.Context(), w.ticket("publisher", "attendee"), client.Options{
		AudioSlots: client.NoSlots, VideoSlots: client.NoSlots, Publish: sends,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

func (w *town) watch(opts Options) *Viewer {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	opts.AudioSlots, opts.VideoSlots = 3, 1
	v, err := w.fleet.Join(ctx, w.ticket("viewer", "viewer"), opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := v.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return v
}

func clip(tb testing.TB, name string) *client.Clip {
	tb.Helper()
	c, err := client.LoadClip(filepath.Join("..", "reel", "clips", name))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	lab.Until(t, patience, what, is)
}

// sum adds up what slots of a kind have received.
func sum(v *Viewer, kind string) (all client.SlotStats) {
	for _, s := range v.SlotStats() {
		if s.Slot.Kind == kind {
			all.Packets += s.Packets
			all.Frames += s.Frames
			all.Missed += s.Missed
			all.Repaired += s.Repaired
			all.Lost += s.Lost
			all.Freezes += s.Freezes
			all.NACKs += s.NACKs
		}
	}
	return all
}

// TestReceives: viewers join, get sound and picture, and what the verified ones get is what was published.
func TestReceives(t *testing.T) {
	w := newTown(t)
	w.publish()
	known := newFilm(t)
	var viewers []*Viewer
	var watchers []*watcher
	for i := range 10 {
		opts := Options{}
		if i%2 == 0 {
			watchers = append(watchers, &watcher{film: known})
			opts.OnPacket = watchers[i/2].packet
		}
		viewers = append(viewers, w.watch(opts))
	}
	for i, v := range viewers {
		if err := v.Subscribe(t.Context(), wire.SlotRequest{MID: "3", MaxWidth: 1280, MaxHeight: 720}); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("two seconds of media at viewer %d", i), func() bool {
			return sum(v, "video").Frames > 60 && sum(v, "audio").Packets > 100
		})
		if lost := sum(v, "video").Lost + sum(v, "audio").Lost + v.Forged(); lost > 0 {
			t.Errorf("viewer %d: %d packets lost or forged", i, lost)
		}
		timings := v.Timings()
		for step, took := range map[string]time.Duration{
			"join": timings.Join, "socket": timings.WebSocket, "answer": timings.OfferAnswer, "ICE": timings.ICE,
			"DTLS": timings.DTLS, "first audio": timings.FirstAudio, "first video": timings.FirstVideo,
		} {
			if took <= 0 || took > 5*time.Second {
				t.Errorf("viewer %d: %s took %s", i, step, took)
			}
		}
		if i%2 == 0 {
			watchers[i/2].judge(t, 60, 100)
		}
	}
	t.Logf("%+v; %d goroutines", viewers[0].Timings(), runtime.NumGoroutine())
}

// TestFindsLoss drops packets between the node and a viewer, which finds exactly these.
func TestFindsLoss(t *testing.T) {
	for name, tc := range map[string]struct {
		verify  bool
		repairs bool // retransmissions pass
	}{
		"header only, repaired":   {false, true},
		"header only, unrepaired": {false, false},
		"verified, repaired":      {true, true},
		"verified, unrepaired":    {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			w.publish()
			var r *relay
			w.fleet.reroute = func(to []udp.Addr) []udp.Addr {
				r = newRelay(t, to[0].AddrPort(), func(payloadType uint8, seq uint16) bool {
					return payloadType == vp8|repairs && !tc.repairs || payloadType != vp8|repairs && seq%20 == 7
				})
				return []udp.Addr{r.addr()}
			}
			seen, opts := &watcher{film: newFilm(t)}, Options{}
			if tc.verify {
				opts.OnPacket = seen.packet
			}
			v := w.watch(opts)
			eventually(t, "media", func() bool { return sum(v, "video").Frames > 10 && sum(v, "audio").Packets > 10 })
			r.dropping.Store(true)
			eventually(t, "loss", func() bool { return r.picture.Load() >= 10 && r.sound.Load() >= 5 })
			r.dropping.Store(!tc.repairs) // what repairs must not pass later either
			r.spared.Store(true)
			counted := func(v *Viewer) (video, audio client.SlotStats, all bool) {
				video, audio = sum(v, "video"), sum(v, "audio")
				return video, audio, video.Repaired+video.Lost == r.picture.Load()+r.late.Load() && audio.Lost == r.sound.Load()
			}
			defer func() {
				t.Logf("video %+v, audio %+v; dropped %d and %d, %d late", sum(v, "video"), sum(v, "audio"), r.picture.Load(), r.sound.Load(), r.late.Load())
			}()
			eventually(t, "all of it counted", func() bool { _, _, all := counted(v); return all })
			before := sum(v, "video").Frames
			eventually(t, "the picture to go on", func() bool { return sum(v, "video").Frames > before+30 })
			video, audio, _ := counted(v)
			if want := r.picture.Load() + r.late.Load(); video.Missed < r.picture.Load() || video.Missed > want || audio.Missed != r.sound.Load() {
				t.Errorf("missed %d and %d packets of picture and sound, want %d and %d", video.Missed, audio.Missed, want, r.sound.Load())
			}
			if tc.repairs && video.Lost != 0 || !tc.repairs && video.Lost != r.picture.Load() {
				t.Errorf("lost %d of %d", video.Lost, r.picture.Load())
			}
			if tc.verify {
				seen.judge(t, 30, 30)
			}
		})
	}
}

// TestEvents: a hand is seen, a meeting that ends is told, and who leaves is gone.
func TestEvents(t *testing.T) {
	w := newTown(t)
	publisher := w.publish()
	seen, ended := make(chan string, 8), make(chan error, 8)
	v := w.watch(Options{
		OnPresence: func(p wire.PresenceChanged) { seen <- fmt.Sprint(p.ParticipantID, *p.HandRaised) },
		OnChat:     func(c wire.Chat) { seen <- c.Text }, OnLost: func(err error) { ended <- err },
	})
	var told atomic.Bool
	other := w.watch(Options{OnLost: func(error) { told.Store(true) }})
	up := true
	if err := publisher.Presence(t.Context(), wire.PresenceUpdate{HandRaised: &up}); err != nil {
		t.Fatal(err)
	}
	if got, want := <-seen, fmt.Sprint(publisher.Self().ID, true); got != want {
		t.Errorf("saw the hand of %s, want %s", got, want)
	}
	if err := other.Presence(t.Context(), wire.PresenceUpdate{HandRaised: &up}); err != nil {
		t.Fatal(err)
	}
	if got, want := <-seen, fmt.Sprint(other.ParticipantID(), true); got != want {
		t.Errorf("saw the hand of %s, want %s", got, want)
	}
	if err := other.Chat(t.Context(), "hello", ""); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != "hello" {
		t.Errorf("read %q", got)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the one who left to be gone", func() bool {
		for _, p := range publisher.Participants() {
			if p.ID == other.ParticipantID() {
				return false
			}
		}
		return true
	})
	if told.Load() {
		t.Error("who leaves is told that it was cut off")
	}
	w.node.Call(t, "POST", "/v1/meetings/"+w.meeting+"/end", nil, nil)
	if err := <-ended; !errors.Is(err, ErrEnded) {
		t.Errorf("told %v, want that the meeting has ended", err)
	}
	_, err := w.fleet.Join(t.Context(), v.ticket, Options{AudioSlots: 1})
	if err == nil || !strings.Contains(err.Error(), "lean viewer") {
		t.Errorf("joined a meeting that has ended: %v", err)
	}
}
