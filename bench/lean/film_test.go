package lean

import (
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp/codecs"

	"github.com/parley-sfu/parley/signal/client"
)

// film knows every frame that a publisher sends.
type film map[string]bool

func newFilm(tb testing.TB) film {
	tb.Helper()
	known := film{}
	for _, name := range []string{"q.ivf", "h.ivf", "f.ivf", "voice.ogg"} {
		for _, f := range clip(tb, name).Frames() {
			known[string(f.Data)] = true
		}
	}
	return known
}

// watcher puts the frames of a verified viewer together from packets that come in order, and looks them up. A frame that
// lacks packets it forgets.
type watcher struct {
	film film

	mu             sync.Mutex // protects following
	frame          []byte
	whole          bool // no packet of frame is missing so far
	next           uint16
	sounds, images int // that were published
	wrong          int // that were not
	late, latest   time.Duration
}

func (w *watcher) packet(p client.Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	payload := p.RTP.Payload
	if !p.SentAt.IsZero() {
		payload = payload[:len(payload)-client.StampSize]
		w.late = p.Arrived.Sub(p.SentAt)
		w.latest = max(w.latest, w.late)
	}
	if p.MimeType == mimeOpus {
		w.look(payload, &w.sounds)
		return
	}
	var part codecs.VP8Packet
	body, err := part.Unmarshal(payload)
	if err != nil {
		w.wrong++
		return
	}
	if part.S == 1 && part.PID == 0 {
		w.frame, w.whole = w.frame[:0], true
	} else if p.RTP.SequenceNumber != w.next {
		w.whole = false
	}
	w.frame, w.next = append(w.frame, body...), p.RTP.SequenceNumber+1
	if p.RTP.Marker && w.whole {
		w.look(w.frame, &w.images)
	}
}

func (w *watcher) look(frame []byte, found *int) {
	if w.film[string(frame)] {
		*found++
	} else {
		w.wrong++
	}
}

func (w *watcher) judge(t *testing.T, images, sounds int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.images < images || w.sounds < sounds || w.wrong > 0 {
		t.Errorf("%d pictures and %d sounds were published, %d were not", w.images, w.sounds, w.wrong)
	}
	if w.late <= 0 || w.late > time.Second {
		t.Errorf("latency is %s, at most %s", w.late, w.latest)
	}
}
