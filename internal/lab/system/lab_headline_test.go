package system_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-sfu/parley/bench/lean"
	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// A headline is a large room. Those of every run are small; LAB_FULL has them as they were promised.
type headline struct {
	name             string
	cameras, viewers int
	speaker          bool // one large picture, the others are thumbnails
	watch            time.Duration
}

func headlines() []headline {
	if os.Getenv("LAB_FULL") == "" {
		return []headline{{"grid", 3, 30, false, 10 * time.Second}, {"speaker", 3, 30, true, 10 * time.Second}}
	}
	return []headline{
		{"25 × 500, a grid of thumbnails", 25, 500, false, 5 * time.Minute},
		{"9 × 500, a large speaker", 9, 500, true, time.Minute},
		{"1 × 500", 1, 500, true, time.Minute},
	}
}

const (
	headlineVoices = 3
	headlineProof  = 20 // every so manieth viewer decrypts all it gets, and tells how old it is

	joinedBound, handSeenBound = time.Minute, 500 * time.Millisecond
)

// timeliness is what is promised of media, and much less in a run of all tests, where others are at work.
type timeliness struct {
	audio, video time.Duration // p99 of the age of packets
	loss         float64       // after repair
}

func headlineBounds() timeliness {
	if os.Getenv("LAB_FULL") == "" {
		return timeliness{audio: 2 * time.Second, video: 2 * time.Second, loss: 0.02}
	}
	return timeliness{audio: 150 * time.Millisecond, video: 200 * time.Millisecond, loss: 0.001}
}

// One room over three regions with many cameras and very many viewers: everybody is in soon, everything arrives, and in time.
func TestLabHeadline(t *testing.T) {
	for _, h := range headlines() {
		t.Run(h.name, func(t *testing.T) {
			w := lab.StartWorld(t, lab.Overseas(), 1, "eu", "us", "ap")
			newHall(t, w, h).show()
		})
	}
}

// A hall is the room of a headline.
type hall struct {
	t       *testing.T
	world   *lab.World
	is      headline
	meeting string
	figures *table
	fleet   *lean.Fleet
	senders []*client.Client

	mu           sync.Mutex // protects following
	viewers      []*lean.Viewer
	audio, video []time.Duration // ages of packets
	lost         []error         // why viewers were cut off

	hand   atomic.Int64 // nanoseconds since 1970 when it was raised, 0 while it is down
	seen   atomic.Int64 // viewers who have seen it
	latest atomic.Int64 // nanoseconds that the last of them took
}

func newHall(t *testing.T, w *lab.World, is headline) *hall {
	h := &hall{t: t, world: w, is: is, figures: newTable(t, is.name, "measured", "bound", "")}
	made := w.Nodes()[0].NewMeeting(t, is.name, map[string]any{"max_participants": is.cameras + is.viewers, "max_cameras": is.cameras})
	h.meeting = made.ID
	for _, n := range w.Nodes() {
		lab.Until(t, 10*time.Second, n.ID+" can read the meeting", func() bool {
			status, err := n.TryCall(t, http.MethodGet, "/v1/meetings/"+h.meeting, nil, nil)
			return err == nil && status == http.StatusOK
		})
	}
	var err error
	if h.fleet, err = lean.New(lean.Config{}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- h.fleet.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return h
}

// show brings everybody in, watches, and judges.
func (h *hall) show() {
	begun := time.Now()
	for i := range h.is.cameras {
		h.publish(i)
	}
	h.seat()
	took := time.Since(begun)
	h.judge("everybody is in after", took, joinedBound, took < joinedBound)
	h.settle()
	received, lost := h.counts()
	h.forgetAges()
	h.raiseHands(h.is.watch)
	nowReceived, nowLost := h.counts()
	bound := headlineBounds()
	share := float64(nowLost-lost) / float64(max(nowReceived-received, 1))
	h.judge(fmt.Sprintf("lost after repair, of %d packets", nowReceived-received), fmt.Sprintf("%.4f %%", 100*share), fmt.Sprintf("%g %%", 100*bound.loss),
		share <= bound.loss && nowReceived > received)
	h.mu.Lock()
	defer h.mu.Unlock()
	audio, video := percentile(h.audio, 99), percentile(h.video, 99)
	h.judge(fmt.Sprintf("p99 of the age of sound, of %d packets", len(h.audio)), audio, bound.audio, audio < bound.audio && len(h.audio) > 0)
	h.judge(fmt.Sprintf("p99 of the age of pictures, of %d frames", len(h.video)), video, bound.video, video < bound.video && len(h.video) > 0)
	h.judge("viewers who were cut off", len(h.lost), 0, len(h.lost) == 0)
}

func (h *hall) judge(what string, measured, bound any, good bool) {
	h.t.Helper()
	h.figures.add(what, measured, bound, verdict(good))
	if !good {
		h.t.Errorf("%s: %v, want %v", what, measured, bound)
	}
}

// publish brings the camera and the microphone of a number in, at a node of its turn.
func (h *hall) publish(number int) {
	n := h.world.Nodes()[number%len(h.world.Nodes())]
	stamped := client.PublicationOptions{Stamp: true, Level: client.ConstantLevel(uint8(20 + number))}
	var layers []client.Layer
	for _, rid := range []string{"q", "h", "f"} {
		layers = append(layers, client.Layer{RID: rid, From: clip(h.t, "vp8-"+rid+".ivf").Loop()})
	}
	p := n.Region.Join(h.t, n, h.meeting, client.JoinOptions{DisplayName: fmt.Sprint("Camera ", number+1)}, client.Options{
		VideoSlots: client.NoSlots, AudioSlots: client.NoSlots, Publish: []*client.Publication{
			client.NewPublication(client.SourceCamera, stamped, layers...),
			client.NewPublication(client.SourceMicrophone, stamped, client.Layer{From: clip(h.t, "tone.ogg").Loop()}),
		},
	})
	go drain(p)
	h.senders = append(h.senders, p)
}

// seat brings all viewers in, some at a time.
func (h *hall) seat() {
	const together = 8
	free := make(chan struct{}, together)
	var wg sync.WaitGroup
	for i := range h.is.viewers {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			if err := h.enter(i); err != nil {
				h.t.Errorf("viewer %d: %v", i+1, err)
			}
		})
	}
	wg.Wait()
}

// enter brings one viewer in at a node of its turn, from that node's region.
func (h *hall) enter(number int) error {
	n := h.world.Nodes()[number%len(h.world.Nodes())]
	ctx, cancel := context.WithTimeout(h.t.Context(), joinedBound)
	defer cancel()
	from := n.Region.HTTPClient()
	ticket, err := client.JoinMeeting(ctx, n.URL, h.meeting, client.JoinOptions{
		DisplayName: fmt.Sprint("Viewer ", number+1), Role: "viewer", Region: n.Region.Name, HTTPClient: from,
	})
	if err != nil {
		return err
	}
	opts := lean.Options{
		AudioSlots: headlineVoices, VideoSlots: h.is.cameras, Layout: h.layout(), HTTPClient: from, OnPresence: h.presence, OnLost: h.cutOff,
	}
	if number%headlineProof == 0 {
		opts.OnPacket = h.packet
	}
	var v *lean.Viewer
	err = n.Region.Do(func() (err error) {
		v, err = h.fleet.Join(ctx, ticket, opts)
		return err
	})
	if err != nil {
		return err
	}
	h.t.Cleanup(func() { _ = v.Close() })
	h.mu.Lock()
	h.viewers = append(h.viewers, v)
	h.mu.Unlock()
	return nil
}

// layout is the sizes that a viewer shows.
func (h *hall) layout() (slots []wire.SlotRequest) {
	for i := range h.is.cameras {
		want := wire.SlotRequest{MaxWidth: 160, MaxHeight: 90}
		if h.is.speaker && i == 0 {
			want.MaxWidth, want.MaxHeight, want.Priority = 1280, 720, 1
		}
		slots = append(slots, want)
	}
	return slots
}

// packet notes how old what a verified viewer gets is.
func (h *hall) packet(p client.Packet) {
	if p.SentAt.IsZero() || p.Repaired {
		return
	}
	age := p.Arrived.Sub(p.SentAt)
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.Slot.Kind == "audio" {
		h.audio = append(h.audio, age)
	} else {
		h.video = append(h.video, age)
	}
}

func (h *hall) cutOff(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = append(h.lost, err)
}

// presence sees a hand go up.
func (h *hall) presence(change wire.PresenceChanged) {
	raised := h.hand.Load()
	if change.HandRaised == nil || !*change.HandRaised || raised == 0 {
		return
	}
	took := time.Now().UnixNano() - raised
	for was := h.latest.Load(); took > was && !h.latest.CompareAndSwap(was, took); was = h.latest.Load() {
	}
	h.seen.Add(1)
}

// raiseHands has a hand go up and down until the time is over, and judges the slowest.
func (h *hall) raiseHands(long time.Duration) {
	const every = 2 * time.Second
	ctx, cancel := context.WithTimeout(h.t.Context(), long)
	defer cancel()
	times, missed := 0, 0
	for number := 0; ctx.Err() == nil; number++ {
		from := h.senders[number%len(h.senders)]
		up, down := true, false
		h.seen.Store(0)
		h.hand.Store(time.Now().UnixNano())
		if err := from.Presence(h.t.Context(), wire.PresenceUpdate{HandRaised: &up}); err != nil {
			h.t.Errorf("raise a hand: %v", err)
			return
		}
		rest(h.t, every/2)
		times++
		if got := int(h.seen.Load()); got < h.is.viewers {
			missed += h.is.viewers - got
			h.t.Logf("at %s: the hand of camera %d, at %s, was seen by %d", time.Now().UTC().Format("15:04:05.000"), number%len(h.senders)+1,
				h.world.Nodes()[number%len(h.senders)%len(h.world.Nodes())].ID, got)
		}
		h.hand.Store(0)
		if err := from.Presence(h.t.Context(), wire.PresenceUpdate{HandRaised: &down}); err != nil {
			h.t.Errorf("lower a hand: %v", err)
			return
		}
		rest(h.t, every/2)
	}
	slowest := time.Duration(h.latest.Load())
	h.judge(fmt.Sprintf("the slowest of all viewers to see a hand, of %d hands", times), slowest, handSeenBound, slowest < handSeenBound && times > 0)
	h.judge("viewers who did not see it within a second", missed, 0, missed == 0)
}

func rest(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// settle waits until every viewer gets every camera.
func (h *hall) settle() {
	lab.Until(h.t, joinedBound, "every viewer gets every camera", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, v := range h.viewers {
			for _, s := range v.SlotStats() {
				if s.Slot.Kind == "video" && s.Packets == 0 {
					return false
				}
			}
		}
		return true
	})
}

func (h *hall) counts() (received, lost uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.viewers {
		for _, s := range v.SlotStats() {
			received, lost = received+s.Packets, lost+s.Lost
		}
	}
	return received, lost
}

func (h *hall) forgetAges() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.audio, h.video = nil, nil
}
