package cascade

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/udp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// town is nodes that know each other, as gossip and the bus would have it.
type town struct {
	t testing.TB

	mu        sync.Mutex
	ends      map[string]*end
	addresses map[string]Address
	carry     func(ctx context.Context, to string, b []byte) ([]byte, error) // nil carries at once
}

func settle(t testing.TB, ids ...string) (*town, []*end) {
	w := &town{t: t, ends: map[string]*end{}, addresses: map[string]Address{}}
	ends := make([]*end, 0, len(ids))
	for _, id := range ids {
		ends = append(ends, w.start(id))
	}
	return w, ends
}

func (w *town) Lookup(id string) (Address, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.addresses[id]
	return a, ok
}

func (w *town) Introduce(ctx context.Context, to string, b []byte) ([]byte, error) {
	w.mu.Lock()
	carry := w.carry
	w.mu.Unlock()
	if carry != nil {
		return carry(ctx, to, b)
	}
	return w.deliver(to, b)
}

func (w *town) deliver(to string, b []byte) ([]byte, error) {
	w.mu.Lock()
	e := w.ends[to]
	w.mu.Unlock()
	if e == nil {
		return nil, errors.New("nobody answers")
	}
	return e.links.Introduced(b)
}

// by changes how introductions are carried.
func (w *town) by(carry func(ctx context.Context, to string, b []byte) ([]byte, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.carry = carry
}

// announce changes what gossip says of a node.
func (w *town) announce(id string, a Address) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addresses[id] = a
}

// event is one call of a Handler, or the end of a link as its log has it.
type event struct {
	what string // "up", "down", "pulled", "gone"
	link *Link
	pull Pull
	gone Gone
}

// end is one node of a town. It is the Handler of all its links, and checks the order of its calls.
type end struct {
	t        testing.TB
	id       string
	endpoint *rtc.Endpoint
	links    *Manager
	events   chan event
	reasons  chan string // why links ended
	hold     chan struct{}
	cut      func() // ends the sockets, without a word
	stop     func() // ends the links

	mu     sync.Mutex
	now    *Link
	serves atomic.Bool
}

func (w *town) start(id string) *end {
	w.t.Helper()
	cfg := rtc.Defaults()
	cfg.Listen, cfg.TCP = "127.0.0.1:0", false
	e := &end{t: w.t, id: id, events: make(chan event, 1024), reasons: make(chan string, 1024)}
	log := slog.New(reasons{slog.DiscardHandler, e.reasons})
	var err error
	if e.endpoint, err = rtc.New(cfg, log); err != nil {
		w.t.Fatal(err)
	}
	if e.links, err = New(id, Defaults(), e.endpoint, w, w, func(string) Handler { return e }, log); err != nil {
		w.t.Fatal(err)
	}
	e.cut = e.run(e.endpoint.Run)
	e.stop = e.run(e.links.Run)
	for { // until Run has begun
		e.links.mu.Lock()
		begun := e.links.ctx != nil
		e.links.mu.Unlock()
		if begun {
			break
		}
		time.Sleep(time.Millisecond)
	}
	w.announce(id, Address{e.endpoint.Addr(), e.endpoint.Fingerprint()})
	w.mu.Lock()
	w.ends[id] = e
	w.mu.Unlock()
	return e
}

// run runs something until what it returns is called, or the test ends.
func (e *end) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			e.t.Error(err)
		}
	})
	e.t.Cleanup(stop)
	return stop
}

func (e *end) Wants(*packet.Header, []byte) bool { return false }

func (e *end) RTP(run []*packet.Packet, _ *udp.Batch) {
	for _, p := range run {
		p.Release()
	}
}

func (e *end) RTCP([]byte, *udp.Batch) {}

func (e *end) Serves(*Link) bool { return e.serves.Load() }

func (e *end) Up(l *Link) {
	e.become(nil, l)
	e.events <- event{what: "up", link: l}
}

func (e *end) Down(l *Link) {
	e.become(l, nil)
	e.events <- event{what: "down", link: l}
}

func (e *end) Pulled(l *Link, p Pull) {
	e.become(l, l)
	if e.hold != nil {
		<-e.hold
	}
	e.events <- event{what: "pulled", link: l, pull: p}
}

func (e *end) Gone(l *Link, g Gone) {
	e.become(l, l)
	e.events <- event{what: "gone", link: l, gone: g}
}

// become notes the link of the moment, and objects to calls that come out of order. Tests have one neighbour an end.
func (e *end) become(was, is *Link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.now != was {
		e.t.Errorf("%s: a call with %p while the link is %p", e.id, was, e.now)
	}
	e.now = is
}

// next returns the next event, which is to be of a kind.
func (e *end) next(what string) event {
	e.t.Helper()
	select {
	case got := <-e.events:
		if got.what != what {
			e.t.Fatalf("%s: %s, want %s", e.id, got.what, what)
		}
		return got
	case <-time.After(10 * time.Second):
		e.t.Fatalf("%s: never %s", e.id, what)
		return event{}
	}
}

// ended returns why the next link ended.
func (e *end) ended() string {
	e.t.Helper()
	select {
	case why := <-e.reasons:
		return why
	case <-time.After(10 * time.Second):
		e.t.Fatalf("%s: no link ended", e.id)
		return ""
	}
}

// reasons is a log of which only the ends of links are kept.
type reasons struct {
	slog.Handler
	to chan string
}

func (r reasons) Enabled(context.Context, slog.Level) bool { return true }
func (r reasons) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r reasons) Handle(_ context.Context, rec slog.Record) error {
	if rec.Message == "link ends" {
		rec.Attrs(func(a slog.Attr) bool { r.to <- a.Value.String(); return false })
	}
	return nil
}

// connect has a call b, and returns both ends of the link.
func connect(a, b *end) (la, lb *Link) {
	a.t.Helper()
	a.links.Need(b.id)
	return a.next("up").link, b.next("up").link
}

// talk has a message cross the link from a to b.
func talk(a, b *end, l *Link, track string) {
	a.t.Helper()
	want := pullOf(track)
	if err := l.Send(want); err != nil {
		a.t.Fatal(err)
	}
	if got := b.next("pulled"); !reflect.DeepEqual(got.pull, want) {
		a.t.Fatalf("pulled %+v, want %+v", got.pull, want)
	}
}

func pullOf(track string) Pull {
	return Pull{
		Group: "mtg_1", Track: track, Layers: 5,
		Streams: [MaxLayers]Stream{{Media: 10, Repair: 11, Have: 1}, {Media: 12, Repair: 13}, {Media: 14, Repair: 15}},
		Origin:  "node-o", Participant: "pt_1", Source: "camera", RIDs: []string{"q", "h", "f"}, Path: []string{"node-a"},
	}
}
