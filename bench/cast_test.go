package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-sfu/parley/bench/reel"
	"github.com/parley-sfu/parley/signal/client"
)

// Coordinated omission: a server that stands still for ten seconds keeps those waiting, too, who come meanwhile. Were their
// time taken only from when there is a place for them, one join would be slow and all others quick.
func TestTurnsCountFromWhenTheyWereDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every, stall, service = 100 * time.Millisecond, 10 * time.Second, 10 * time.Millisecond
		var server sync.Mutex // serves one at a time, as a stalled one does
		begun := time.Now()
		due, naive := newTally(), newTally()
		var turns []turn
		for i := range 200 {
			turns = append(turns, turn{at: begun.Add(time.Duration(i) * every), do: func(_ context.Context, due1 time.Time) {
				start := time.Now()
				server.Lock()
				if i == 20 {
					time.Sleep(stall)
				}
				time.Sleep(service)
				server.Unlock()
				due.add(time.Since(due1))
				naive.add(time.Since(start))
			}})
		}
		if err := inTurn(t.Context(), 1, turns); err != nil {
			t.Fatal(err)
		}
		if p95 := naive.spread().P95; p95 > 20 {
			t.Errorf("the naive p95 is %g ms: this stall is no test of it", p95)
		}
		// about 100 of 200 were due while it stood still, the first of them waited for all of it
		if s := due.spread(); s.P50 < 100 || s.P95 < 8000 || s.Max < 10_000 {
			t.Errorf("%+v hides the stall", s)
		}
	})
}

// answers is a server as a client sees it.
type answers func(*http.Request) *http.Response

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// Who is throttled and who is refused counts from when they were due, as well.
func TestJoinsCountFromWhenTheyWereDue(t *testing.T) {
	clips, err := reel.Load()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		refusals := []int{http.StatusTooManyRequests, http.StatusForbidden}
		server := answers(func(*http.Request) *http.Response {
			w := httptest.NewRecorder()
			http.Error(w, "no", refusals[0])
			refusals = refusals[1:]
			return w.Result()
		})
		s := Simple(1, 0, 1, SendsAV, "vp8", LayoutGrid, 10, time.Second)
		c := newCast(newPlan(s), "http://server", &http.Client{Transport: server}, clips)
		c.rooms = []string{"mtg"}
		c.admit(t.Context(), c.plan.seats[0], time.Now().Add(-3*time.Second))
		got := c.times[timeJoin].spread()
		if got.Count != 1 || got.P50 < 3950 || got.P50 > 4050 { // a tally keeps two digits
			t.Errorf("join: %+v, want 3 s late and a second's patience", got)
		}
		if c.counts.Failed != 1 || c.counts.Throttled != 1 || len(c.faults) != 1 {
			t.Errorf("%+v %v", c.counts, c.faults)
		}
	})
}

// sitter is somebody who receives nothing, and counts how often they were asked to leave.
type sitter struct {
	Viewer
	left atomic.Int32
}

func (*sitter) SlotStats() []client.SlotStats { return nil }
func (*sitter) Timings() client.Timings       { return client.Timings{} }
func (*sitter) Verified() (reel.Counts, bool) { return reel.Counts{}, false }
func (s *sitter) Close() error                { s.left.Add(1); return nil }

// Who comes so late that the step to leave found nobody gives the seat up to the next one.
func TestNobodyIsForgotten(t *testing.T) {
	server := answers(func(*http.Request) *http.Response {
		w := httptest.NewRecorder()
		fmt.Fprint(w, `{"participant_id": "pt_1", "join_token": "secret", "signal_endpoint": "ws://server/v1/signal"}`)
		return w.Result()
	})
	clips, err := reel.Load()
	if err != nil {
		t.Fatal(err)
	}
	s := Simple(1, 0, 1, SendsAV, "vp8", LayoutGrid, 10, time.Second)
	s.LeanViewers(1)
	c := newCast(newPlan(s), "http://server", &http.Client{Transport: server}, clips)
	c.rooms = []string{"mtg"}
	var came []*sitter
	c.lean = func(context.Context, Entry) (Viewer, error) {
		came = append(came, &sitter{})
		return came[len(came)-1], nil
	}
	c.do(t.Context(), step{do: stepLeave}, time.Now())
	c.do(t.Context(), step{do: stepCome}, time.Now())
	c.do(t.Context(), step{do: stepCome}, time.Now())
	c.do(t.Context(), step{do: stepLeave}, time.Now())
	c.do(t.Context(), step{do: stepCome}, time.Now())
	c.leave(t.Context())
	if len(came) != 3 {
		t.Fatalf("%d came: %v", len(came), c.faults)
	}
	for i, one := range came {
		if n := one.left.Load(); n != 1 {
			t.Errorf("number %d left %d times", i+1, n)
		}
	}
	if c.counts.Churned != 2 || c.counts.Refused != 1 {
		t.Errorf("%+v", c.counts)
	}
}

func TestTurnsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("enough")
		time.AfterFunc(time.Second, func() { cancel(reason) })
		far := turn{at: time.Now().Add(time.Hour), do: func(context.Context, time.Time) { t.Error("was done") }}
		if err := inTurn(ctx, 1, []turn{far}); !errors.Is(err, reason) {
			t.Errorf("stopped: %v", err)
		}
	})
}

func TestNamesTellSeats(t *testing.T) {
	s := seat{number: 17}
	if n, ok := seatOf(s.name(roleViewer)); !ok || n != 17 {
		t.Errorf("%d %v", n, ok)
	}
	for _, name := range []string{"", "viewer", "viewer x", "Guest"} {
		if _, ok := seatOf(name); ok {
			t.Errorf("%q has a seat", name)
		}
	}
	at := time.Unix(12, 345)
	if due, ok := chatDue(chatText(at)); !ok || !due.Equal(at) {
		t.Errorf("%s %v", due, ok)
	}
	if _, ok := chatDue("hello"); ok {
		t.Error("a chat of somebody else is ours")
	}
}

func TestSharesAreSpreadEvenly(t *testing.T) {
	for _, tc := range []struct {
		share float64
		want  int
	}{{0, 0}, {0.05, 5}, {0.5, 50}, {1, 100}} {
		n := 0
		for i := range 100 {
			if g := (Group{Verify: &tc.share}); g.verifies(i) {
				n++
			}
		}
		if n != tc.want {
			t.Errorf("%g of 100: %d", tc.share, n)
		}
	}
}

func TestUsageIsOfWhatTheMachineLeaves(t *testing.T) {
	const second = time.Second
	for _, tc := range []struct {
		name         string
		own, idle    time.Duration
		cpus         float64
		known        bool
		share, given float64
	}{
		{"alone", second, 3 * second, 4, true, 0.25, 4},
		{"with neighbours", second, second, 4, true, 0.5, 2},
		{"nothing left", second, 0, 4, true, 1, 1},
		{"held to two CPUs of many", second, 60 * second, 2, true, 0.5, 2},
		{"another system", second, 0, 4, false, 0.25, 4},
		{"a clock that went back", second, -second, 4, true, 1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := share("", second, tc.own, tc.idle, tc.cpus, tc.known)
			if u.Share != tc.share || u.Given != tc.given || u.Cores != 1 {
				t.Errorf("%+v", u)
			}
		})
	}
}

func TestMemoryIsWhatTheProcessOccupies(t *testing.T) {
	const size = 64 << 20
	debug.FreeOSMemory() // now, and not meanwhile
	before := resident()
	region, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < size; i += os.Getpagesize() {
		region[i] = 1
	}
	if grown := resident() - before; before <= 0 || grown < size/2 || grown > 2*size {
		t.Errorf("%d bytes before, and %d more", before, grown)
	}
	if err := syscall.Munmap(region); err != nil {
		t.Error(err)
	}
}

func TestPresenceOfStrangersIsNotOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Simple(1, 1, 1, SendsAV, "vp8", LayoutGrid, 10, 10*time.Second)
		c := newCast(newPlan(s), "", nil, nil)
		c.begun = time.Now().Add(-time.Second)
		c.noticed("pt_stranger", stepHand, true)
		c.know("pt_own", 0)
		c.plan.cues = map[cue][]time.Duration{{0, stepHand, true}: {500 * time.Millisecond}}
		c.noticed("pt_own", stepHand, true)
		c.noticed("pt_own", stepHand, false) // was not due
		got := c.times[timeEvent].spread()
		if got.Count != 1 || got.P50 < 495 || got.P50 > 505 {
			t.Errorf("%+v", got)
		}
	})
}

func TestWhoIsCutOffStillWaits(t *testing.T) {
	s := Simple(1, 1, 1, SendsAV, "vp8", LayoutGrid, 10, 10*time.Second)
	p := &person{cast: newCast(newPlan(s), "", nil, nil)}
	for _, state := range []client.State{client.StateJoined, client.StateReconnecting, client.StateReconnecting, client.StateJoined, client.StateReconnecting} {
		p.State(state)
	}
	if !p.cutOff(time.Now().Add(20 * time.Second)) {
		t.Error("is not cut off")
	}
	if got := p.cast.times[timeReconnect].spread(); got.Count != 2 || got.Max < 19_000 || p.cast.counts.Reconnects != 1 {
		t.Errorf("%+v, %d reconnects", got, p.cast.counts.Reconnects)
	}
}
