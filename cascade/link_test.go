package cascade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/sctp"

	"github.com/parley-sfu/parley/internal/rtc"
)

func TestOneCallsTheOther(t *testing.T) {
	_, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	start := time.Now()
	la, lb := connect(a, b)
	t.Logf("up after %v", time.Since(start))
	talk(a, b, la, "tr_1")
	talk(b, a, lb, "tr_2")
	gone := Gone{Group: "mtg_1", Track: "tr_1"}
	if err := lb.SendGone(gone); err != nil {
		t.Fatal(err)
	}
	if got := a.next("gone"); got.gone != gone {
		t.Errorf("gone: %+v", got.gone)
	}
	a.links.Need("node-b")
	b.links.Need("node-a")
	a.links.Need("node-a")
	a.links.Need("node-x")
	if la, lb := a.links.Links(), b.links.Links(); len(la) != 1 || len(lb) != 1 {
		t.Errorf("%d and %d links", len(la), len(lb))
	}
}

// TestBothCall: introductions that cross each other make exactly one link.
func TestBothCall(t *testing.T) {
	w, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	both := make(chan struct{}, 2)
	w.by(func(_ context.Context, to string, b []byte) ([]byte, error) {
		both <- struct{}{}
		for len(both) < 2 {
			time.Sleep(time.Millisecond)
		}
		return w.deliver(to, b)
	})
	a.links.Need("node-b")
	b.links.Need("node-a")
	la, lb := a.next("up").link, b.next("up").link
	talk(a, b, la, "tr_1")
	talk(b, a, lb, "tr_2")
	if !la.transport.Ready() || len(a.links.Links()) != 1 || len(b.links.Links()) != 1 {
		t.Error("not one link each")
	}
	a.stop()
	a.next("down")
	b.next("down") // and no other link behind it
}

// TestCallsAtRandomMoments: whoever calls whom when, and whichever end of a link dies, both have one link in the end.
func TestCallsAtRandomMoments(t *testing.T) {
	_, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	for round := range 15 {
		first, second := a, b
		if round%2 == 1 {
			first, second = b, a
		}
		first.links.Need(second.id)
		delayed := time.AfterFunc(time.Duration(round)*500*time.Microsecond, func() { second.links.Need(first.id) })
		la, lb := a.next("up").link, b.next("up").link
		delayed.Stop()
		talk(a, b, la, "tr_1")
		talk(b, a, lb, "tr_2")
		if round%3 == 0 {
			la.die(errDead)
		} else {
			lb.die(errDead)
		}
		a.next("down")
		b.next("down")
	}
}

// TestWrongFingerprint: a node that does not have the certificate which gossip announced gets no link, whoever calls.
func TestWrongFingerprint(t *testing.T) {
	for _, caller := range []int{0, 1} {
		t.Run(fmt.Sprint("caller ", caller), func(t *testing.T) {
			w, ends := settle(t, "node-a", "node-b")
			right, _ := w.Lookup("node-b")
			w.announce("node-b", Address{right.Media, rtc.Fingerprint{Algorithm: "sha-256", Value: strings.Repeat("00:", 31) + "00"}})
			from, to := ends[caller], ends[1-caller]
			from.links.Need(to.id)
			t.Logf("ended: %s; %s", ends[0].ended(), ends[1].ended())
			w.announce("node-b", right) // gossip has caught up
			connect(from, to)           // and this is the first link that comes up
		})
	}
}

// TestSilence: a node that vanishes without a word is missed by the heartbeats, within four of them.
func TestSilence(t *testing.T) {
	_, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	l, _ := connect(a, b)
	start := time.Now()
	b.cut()
	a.next("down")
	t.Logf("found after %v", time.Since(start))
	if why := a.ended(); why != rtc.ErrSilent.Error() {
		t.Errorf("ended: %s", why)
	}
	if err := l.Send(pullOf("tr_1")); !errors.Is(err, errDead) {
		t.Errorf("sending on a dead link: %v", err)
	}
	b.next("down")
}

// rested waits until an end has told the other that it serves nothing, and is heard rarely.
func rested(ends ...*end) {
	for _, e := range ends {
		e.t.Helper()
		e.await("rests", func(l *Link) bool { return l.rests.Load() })
	}
	<-time.After(farewellTicks * Defaults().Heartbeat / beatTicks)
}

// await waits for what no event tells of an end's link.
func (e *end) await(what string, ok func(*Link) bool) {
	e.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		e.mu.Lock()
		l := e.now
		e.mu.Unlock()
		if l != nil && ok(l) {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			e.t.Fatalf("%s: never %s", e.id, what)
		}
	}
}

// TestLifeGoesOn: a link with nothing on it stays up, and costs next to nothing.
func TestLifeGoesOn(t *testing.T) {
	_, ends := settle(t, "node-a", "node-b")
	l, _ := connect(ends[0], ends[1])
	rested(ends...)
	const seconds = 3
	before := ends[0].endpoint.Stats()
	select {
	case got := <-ends[0].events:
		t.Errorf("%s: %s", got.what, ends[0].ended())
	case <-time.After(seconds * time.Second):
	}
	after := ends[0].endpoint.Stats()
	packets, bytes := after.Sent-before.Sent, after.SentBytes-before.SentBytes
	t.Logf("%d bit/s one way, in %d packets", (bytes+28*packets)*8/seconds, packets)
	if packets > 2*seconds+3 { // a connectivity check now and then, and its answer
		t.Errorf("%d packets in %d seconds", packets, seconds)
	}
	talk(ends[0], ends[1], l, "tr_1")
}

// TestSilenceAtRest: a node that serves nothing is missed as well, if later; one that begins to serve is guarded at once.
func TestSilenceAtRest(t *testing.T) {
	for name, tc := range map[string]struct {
		serves      bool
		least, most time.Duration // busy machines are given more
	}{
		"rests":           {false, time.Second, 3 * time.Second},
		"begins to serve": {true, 100 * time.Millisecond, 900 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			_, ends := settle(t, "node-a", "node-b")
			a, b := ends[0], ends[1]
			la, lb := connect(a, b)
			rested(a, b)
			if tc.serves {
				lb.Guard()
				a.await("heard", func(*Link) bool { return promise(la.heard.promise.Load()) == serving })
			}
			start := time.Now()
			b.cut()
			a.next("down")
			if took := time.Since(start); took < tc.least || took > tc.most {
				t.Errorf("found after %v", took)
			} else {
				t.Logf("found after %v", took)
			}
			b.next("down")
		})
	}
}

// TestServesAgain: while it serves, also where nothing comes, an end goes on being heard often.
func TestServesAgain(t *testing.T) {
	_, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	la, lb := connect(a, b)
	rested(a, b)
	b.serves.Store(true)
	lb.Guard()
	for range 3 {
		a.await("heard", func(*Link) bool { return promise(la.heard.promise.Load()) == serving })
		<-time.After(500 * time.Millisecond)
	}
	if promise(la.heard.promise.Load()) != serving {
		t.Error("the promise was given up")
	}
	b.serves.Store(false)
	rested(b)
	talk(a, b, la, "tr_1")
}

// TestRestart: a node that comes back under its name gets a new link in the place of the old, which may not yet have been
// missed.
func TestRestart(t *testing.T) {
	w, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	old, _ := connect(a, b)
	b.cut()
	b = w.start("node-b")
	b.links.Need("node-a")
	if got := a.next("down").link; got != old {
		t.Error("another link went down")
	}
	la, lb := a.next("up").link, b.next("up").link
	talk(a, b, la, "tr_1")
	talk(b, a, lb, "tr_2")
}

// TestIntroductionsGoAstray: what is lost, refused, late or repeated on the bus costs time, and no link that is up.
func TestIntroductionsGoAstray(t *testing.T) {
	w, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	carried := make(chan []byte, 16)
	lost := func(answered bool) func(context.Context, string, []byte) ([]byte, error) {
		return func(_ context.Context, to string, b []byte) ([]byte, error) {
			defer func() { carried <- b }()
			if answered {
				_, err := w.deliver(to, b)
				return nil, errors.Join(err, errors.New("the answer is lost"))
			}
			return nil, errors.New("lost")
		}
	}
	w.by(lost(false))
	a.links.Need("node-b")
	<-carried
	w.by(lost(true))
	need(a, "node-b")
	late := <-carried
	w.by(nil)
	need(a, "node-b")
	la, lb := a.next("up").link, b.next("up").link
	for range 3 {
		if answer, err := b.links.Introduced(late); err == nil {
			t.Fatalf("a late introduction was answered with %s", answer)
		}
	}
	talk(a, b, la, "tr_1")
	talk(b, a, lb, "tr_2")
	if len(b.links.Links()) != 1 {
		t.Error("a late introduction displaced a link")
	}
}

// TestIntroductionsComeTwice: over several ways, at the same moment or after the link is up, an introduction makes one link and
// has one answer.
func TestIntroductionsComeTwice(t *testing.T) {
	w, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	const ways = 4
	var said []byte
	w.by(func(_ context.Context, to string, b []byte) ([]byte, error) {
		said = b
		answers := make(chan []byte, ways)
		for range ways {
			go func() {
				answer, err := w.deliver(to, b)
				if err != nil {
					t.Error(err)
				}
				answers <- answer
			}()
		}
		first := <-answers
		for range ways - 1 {
			if next := <-answers; !bytes.Equal(next, first) {
				t.Errorf("answers %s and %s", first, next)
			}
		}
		return first, nil
	})
	la, lb := connect(a, b)
	if _, err := b.links.Introduced(said); err != nil {
		t.Error(err)
	}
	talk(a, b, la, "tr_1")
	talk(b, a, lb, "tr_2")
	b.links.mu.Lock()
	if n := b.links.neighbours["node-a"]; n.link != lb || n.coming != nil {
		t.Error("a repeated introduction made another link")
	}
	b.links.mu.Unlock()
	la.die(errDead)
	b.next("down")
	for b.links.neighbour("node-a") != nil {
		time.Sleep(time.Millisecond) // until it is closed
	}
	if answer, err := b.links.Introduced(said); err == nil {
		t.Errorf("the introduction of a link that is dead was answered with %s", answer)
	}
}

// neighbour returns the link that a repeated introduction would be answered for.
func (m *Manager) neighbour(node string) *Link {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.neighbours[node].met.link
}

// TestBothHaveGivenUp: each takes an introduction that the other has given up by then. Neither waits for long.
func TestBothHaveGivenUp(t *testing.T) {
	w, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	late := make(chan struct {
		to string
		b  []byte
	}, 2)
	w.by(func(_ context.Context, to string, b []byte) ([]byte, error) {
		late <- struct {
			to string
			b  []byte
		}{to, b}
		return nil, errors.New("given up")
	})
	a.links.Need("node-b")
	b.links.Need("node-a")
	for range 2 {
		i := <-late
		from := map[string]*end{"node-a": b, "node-b": a}[i.to]
		for calling := true; calling; { // until it has given up
			from.links.mu.Lock()
			calling = from.links.neighbours[i.to].call != nil
			from.links.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		if _, err := w.deliver(i.to, i.b); err != nil {
			t.Fatal(err)
		}
	}
	w.by(nil)
	start := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for len(a.links.Links()) == 0 || len(b.links.Links()) == 0 {
		if time.Since(start) > 10*time.Second {
			t.Fatal("no link")
		}
		a.links.Need("node-b")
		<-tick.C
	}
	if took := time.Since(start); took > birthTimeout-time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestFoundAgain: a node that gossip finds again is called at once, by whoever had to do with it, whether a call to it waits for its time
// or not, and by nobody else.
func TestFoundAgain(t *testing.T) {
	for name, waits := range map[string]bool{"no call waits": false, "a call waits": true} {
		t.Run(name, func(t *testing.T) { foundAgain(t, waits) })
	}
}

func foundAgain(t *testing.T, waits bool) {
	w, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	a.links.Found("node-b") // a stranger
	la, _ := connect(a, b)
	cut := make(chan struct{}, 1)
	w.by(func(context.Context, string, []byte) ([]byte, error) {
		cut <- struct{}{}
		return nil, errors.New("cut off")
	})
	la.die(errDead)
	a.next("down")
	b.next("down")
	for range 8 {
		need(a, "node-b")
		<-cut
	}
	w.by(nil)
	a.links.mu.Lock()
	wait := time.Until(a.links.neighbours["node-b"].next)
	a.links.mu.Unlock()
	start := time.Now()
	for calling := true; calling; { // the last call is over
		a.links.mu.Lock()
		calling = a.links.neighbours["node-b"].call != nil
		a.links.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	if waits {
		a.links.Need("node-b")
	}
	a.links.Found("node-b")
	a.next("up")
	if took := time.Since(start); took > wait {
		t.Errorf("it took %v, as if it had not been found for another %v", took, wait)
	}
	b.next("up")
}

// need calls once the last call is over.
func need(e *end, node string) {
	e.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		e.links.mu.Lock()
		calling := e.links.neighbours[node].call != nil
		e.links.mu.Unlock()
		if !calling {
			e.links.Need(node)
			return
		}
		time.Sleep(time.Millisecond)
	}
	e.t.Fatal("the call never ended")
}

// TestUselessAnswers: a call that is answered with something else than an answer fails, and the next one does not.
func TestUselessAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing": "", "garbage": "hello", "no credentials": `{"from":"node-b"}`,
		"of another node": `{"from":"node-c","ufrag":"aaaa","password":"bbbbbbbbbbbbbbbbbbbbbbbb"}`,
		"too long":        `{"from":"` + strings.Repeat("b", maxMessage) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			w, ends := settle(t, "node-a", "node-b")
			asked := make(chan struct{}, 1)
			w.by(func(context.Context, string, []byte) ([]byte, error) {
				defer func() { asked <- struct{}{} }()
				return []byte(answer), nil
			})
			ends[0].links.Need("node-b")
			<-asked
			w.by(nil)
			need(ends[0], "node-b")
			ends[0].next("up")
		})
	}
}

// TestStrangersIntroductions: whom gossip does not know is not answered.
func TestStrangersIntroductions(t *testing.T) {
	_, ends := settle(t, "node-a")
	for name, b := range map[string]string{
		"nothing": "", "garbage": "hello", "nobody": "{}",
		"unknown":        `{"from":"node-x","ufrag":"aaaa","password":"bbbbbbbbbbbbbbbbbbbbbbbb"}`,
		"this node":      `{"from":"node-a","ufrag":"aaaa","password":"bbbbbbbbbbbbbbbbbbbbbbbb"}`,
		"no credentials": `{"from":"node-a"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if answer, err := ends[0].links.Introduced([]byte(b)); err == nil {
				t.Errorf("answered %s", answer)
			}
		})
	}
}

// TestBadControlMessages: what no honest node says is passed over; what cannot be passed over ends the link.
func TestBadControlMessages(t *testing.T) {
	_, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	l, _ := connect(a, b)
	say := func(s string) {
		if _, err := l.control.WriteSCTP([]byte(s), sctp.PayloadTypeWebRTCString); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []string{"hello", "{}", "[]", `{"pull":{}}`, `{"pull":{"group":"g","track":"t","layers":9}}`, `{"new":1}`, "\x00\xff"} {
		say(s)
	}
	talk(a, b, l, "tr_1")
	if err := l.Send(Pull{Group: "mtg_1", Track: strings.Repeat("x", maxMessage)}); err == nil {
		t.Error("sent a message that is too big")
	}
	talk(a, b, l, "tr_2")
	say(`{"new":"` + strings.Repeat("x", 2*maxMessage) + `"}`)
	b.next("down")
	a.next("down")
	connect(a, b)
}

// TestOtherEndDoesNotRead: messages for a node that reads none are not kept without end.
func TestOtherEndDoesNotRead(t *testing.T) {
	_, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	b.hold = make(chan struct{})
	defer close(b.hold)
	l, _ := connect(a, b)
	var err error
	for range 10 * maxBacklog / 100 {
		if err = l.Send(pullOf("tr_1")); err != nil {
			break
		}
	}
	if !errors.Is(err, errBehind) {
		t.Errorf("error %v", err)
	}
	a.next("down")
}

// TestEnd: with Run every link ends, both nodes know at once, and nothing begins again.
func TestEnd(t *testing.T) {
	_, ends := settle(t, "node-a", "node-b")
	a, b := ends[0], ends[1]
	connect(a, b)
	start := time.Now()
	a.stop()
	a.next("down")
	b.next("down")
	t.Logf("over after %v", time.Since(start))
	if why := b.ended(); why == rtc.ErrSilent.Error() {
		t.Error("the other node was not told")
	}
	a.links.Need("node-b")
	b.links.Need("node-a")
	if _, err := a.links.Introduced([]byte(`{"from":"node-b","ufrag":"aaaa","password":"bbbbbbbbbbbbbbbbbbbbbbbb"}`)); !errors.Is(err, ErrStopped) {
		t.Errorf("error %v", err)
	}
	if len(a.links.Links()) != 0 {
		t.Error("links are left")
	}
}

// TestPause: calls to a node that does not answer become rare, and no rarer than one a second.
func TestPause(t *testing.T) {
	n, now := &neighbour{}, time.Now()
	var waits []time.Duration
	for range 8 {
		wait := n.pauseLocked(now)
		waits = append(waits, wait/time.Millisecond)
		now = now.Add(wait)
	}
	if got := fmt.Sprintf("%d", waits); got != "[0 50 100 200 400 800 1000 1000]" {
		t.Errorf("waits in ms: %s", got)
	}
	if wait := n.pauseLocked(now.Add(time.Minute)); wait != 0 {
		t.Errorf("waits %v after a minute", wait)
	}
}

func TestConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg    Config
		faults []string
	}{
		"defaults":      {Defaults(), nil},
		"too fast":      {Config{time.Millisecond, 3}, []string{"heartbeat"}},
		"all at once":   {Config{}, []string{"heartbeat", "missed"}},
		"too impatient": {Config{time.Second, 1}, []string{"missed"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.cfg.Validate()
			if (err == nil) != (tc.faults == nil) {
				t.Fatalf("error %v", err)
			}
			for _, f := range tc.faults {
				if !strings.Contains(err.Error(), f+":") {
					t.Errorf("%v does not name %s", err, f)
				}
			}
		})
	}
}
