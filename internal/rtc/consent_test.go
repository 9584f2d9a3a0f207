package rtc

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

// TestCall: media flows both ways, over every transport and family.
func TestCall(t *testing.T) {
	for name, tc := range map[string]struct {
		listen string
		tcp    bool
	}{
		"UDP":                {"127.0.0.1:0", false},
		"TCP":                {"127.0.0.1:0", true},
		"UDP over IPv6":      {"[::1]:0", false},
		"TCP over IPv6":      {"[::1]:0", true},
		"UDP on all of both": {"[::]:0", false},
		"TCP on all of both": {"[::]:0", true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t, startEndpoint(t, tc.listen))
			c.connect(tc.tcp)
			if !c.get(time.Second) {
				t.Error("nothing comes from the server")
			}
			c.speak()
			if !wait(time.Second, func() bool { return c.heard.rtp.Load() == 1 }) {
				t.Error("nothing arrives at the server")
			}
		})
	}
}

// TestRebinding: a client whose NAT changes the mapping is followed at its first check from the new address, though its agent
// nominates nothing, and nobody else can have it followed anywhere.
func TestRebinding(t *testing.T) {
	for name, tc := range map[string]struct {
		tcp, nominate, mute bool
		speak               bool
		moves               bool
	}{
		"media from there":            {speak: true, moves: true},
		"nominated":                   {nominate: true, moves: true},
		"to TCP":                      {tcp: true, speak: true, moves: true},
		"a check alone":               {},
		"checks are not answered":     {speak: true, nominate: true, mute: true},
		"to TCP, nominated":           {tcp: true, nominate: true, moves: true},
		"to TCP, without answers":     {tcp: true, nominate: true, speak: true, mute: true},
		"to TCP, with a check and no": {tcp: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
			c.connect(false)
			was := c.source()
			c.mute.Store(tc.mute)
			c.dial(tc.tcp)
			began := time.Now()
			c.send(c.check(tc.nominate))
			moved := wait(200*time.Millisecond, func() bool {
				if tc.speak {
					c.speak()
				}
				return c.transport.goesTo(c.source())
			})
			if moved != tc.moves || !moved && !c.transport.goesTo(was) {
				t.Fatalf("media moved: %v, want %v", moved, tc.moves)
			}
			if moved {
				t.Logf("followed %s after the first check", time.Since(began).Round(100*time.Microsecond))
				c.send(c.check(false)) // the agent follows with the next one
				if !wait(time.Second, func() bool { a := c.transport.agreed.Load(); return a != nil && *a == c.source() }) {
					t.Error("the agent stayed behind")
				}
			}
		})
	}
}

// TestReplay: a check that somebody recorded and sends again from elsewhere moves no media, and brings its victims next to nothing.
func TestReplay(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(false)
	recorded := c.check(true)
	c.send(recorded)
	was := c.source()
	const victims, times = 100, 50
	var all []*net.UDPConn
	got := make([]struct{ packets, bytes int }, victims)
	var readers sync.WaitGroup
	for i := range victims {
		victim, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(c.e.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, victim)
		readers.Go(func() {
			for buf := make([]byte, 2000); ; got[i].packets++ {
				n, err := victim.Read(buf)
				if err != nil {
					return
				}
				got[i].bytes += n
			}
		})
	}
	for range times {
		for _, victim := range all {
			_, _ = victim.Write(recorded) // the victim's address is in it, as if it had been forged
		}
		c.send(c.speak()) // and media that was recorded
		<-time.After(20 * time.Millisecond)
	}
	<-time.After(2 * time.Second)
	for _, victim := range all {
		_ = victim.Close()
	}
	readers.Wait()
	reached, packets, bytes := 0, 0, 0
	for _, g := range got {
		packets, bytes = packets+g.packets, bytes+g.bytes
		if g.packets > 0 {
			reached++
		}
	}
	in := victims * times * len(recorded)
	t.Logf("a check of %d bytes sent again %d times from each of %d addresses: %d of them got %d packets, %d bytes for %d: factor %.2f",
		len(recorded), times, victims, reached, packets, bytes, in, float64(bytes)/float64(in))
	if reached > maxPaths+4 || bytes > in {
		t.Errorf("%d addresses were reached, with %d bytes for %d", reached, bytes, in)
	}
	if !c.transport.goesTo(was) || !c.get(time.Second) {
		t.Error("media has moved")
	}
}

// TestReplayOfAFormerPath: an address that has been the client's, and may be somebody else's by now, does not become it again by
// a check and by media that were recorded then.
func TestReplayOfAFormerPath(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(false)
	former := c.now
	check, media := c.check(true), c.speak()
	c.dial(false)
	c.agree()
	is := c.source()
	c.transport.e.mux.mu.Lock() // some time later
	for _, p := range c.transport.e.mux.agents[c.theirs].paths.all {
		p.answered = p.answered.Add(-2 * proofFor)
	}
	c.transport.e.mux.mu.Unlock()
	c.mute.Store(true) // whoever has the address now does not know the password
	former.send(check)
	former.send(media)
	if wait(200*time.Millisecond, func() bool { return !c.transport.goesTo(is) }) {
		t.Error("media went back")
	}
}

// TestConsent: RFC 7675. Who does not answer is sent nothing after 30 s, whatever signed checks come from there, and again when
// it answers.
func TestConsent(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(false)
	now := c.e.Now()
	c.transport.consent.Store(now)
	if c.transport.expire(now + (consentFor - time.Second).Nanoseconds()); !c.get(time.Second) {
		t.Fatal("media ended early")
	}
	c.mute.Store(true)
	c.transport.expire(now + consentFor.Nanoseconds())
	c.send(c.check(true))
	if c.get(50 * time.Millisecond) {
		t.Error("media goes on without consent")
	}
	if err := <-c.heard.disconnected; !errors.Is(err, ErrSilent) {
		t.Errorf("told %v", err)
	}
	c.mute.Store(false)
	if !wait(2*iceKeepalive, func() bool { return c.get(10 * time.Millisecond) }) {
		t.Error("media does not come back with consent")
	}
	<-c.heard.connected
}

// hasty is a listener that the remote answers while it is told of silence.
type hasty struct {
	*listener
	answer func()
}

func (h hasty) Disconnected(err error) {
	h.answer()
	h.listener.Disconnected(err)
}

// TestSilenceEnds: who answers just when it is taken for silent is told of as connected after that, at its next answer at the latest.
func TestSilenceEnds(t *testing.T) {
	for name, silence := range map[string]time.Duration{"for a while": iceDisconnected, "for good": consentFor} {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
			c.connect(false)
			is := c.source()
			answer := func() { c.transport.proved(is, time.Millisecond) }
			c.transport.handler = hasty{c.heard, answer}
			c.transport.watch(c.e.Now() + silence.Nanoseconds())
			if err := <-c.heard.disconnected; !errors.Is(err, ErrSilent) {
				t.Fatalf("told %v", err)
			}
			for len(c.heard.connected) > 0 {
				<-c.heard.connected // told before
			}
			answer()
			if len(c.heard.connected) == 0 {
				t.Error("the last that is told is the silence")
			}
		})
	}
}

// TestExpiryMeetsAMove: consent may run out just when an address has answered. Then media goes there, or is known to be lost: a
// transport that is neither would wait for ever.
func TestExpiryMeetsAMove(t *testing.T) {
	e := startEndpoint(t, "127.0.0.1:0")
	tr := newCaller(t, e).transport
	former, next := source{addr: udp.AddrFrom(e.Addr())}, source{addr: udp.AddrFrom(netip.MustParseAddrPort("127.0.0.1:9"))}
	var begun, moved atomic.Int64
	var over atomic.Bool
	var mover sync.WaitGroup
	mover.Go(func() {
		for round := int64(0); !over.Load(); runtime.Gosched() {
			if begun.Load() <= round {
				continue
			}
			for range round % 16 { // sooner or later
				_ = begun.Load()
			}
			tr.move(next)
			round = moved.Add(1)
		}
	})
	stuck := 0
	for began := time.Now(); time.Since(began) < time.Second/2; {
		tr.move(former)
		now := e.Now()
		tr.consent.Store(now - consentFor.Nanoseconds())
		round := begun.Add(1)
		tr.expire(now)
		for moved.Load() < round {
			runtime.Gosched()
		}
		if !tr.goesTo(next) && !tr.lost.Load() {
			stuck++
		}
	}
	over.Store(true)
	mover.Wait()
	if stuck > 0 {
		t.Errorf("%d times of %d media goes nowhere, and nobody knows", stuck, begun.Load())
	}
}

// TestRestart: media goes on over the old path while ICE starts anew, as often as it may be, over whatever transport, and when the
// new credentials are wrong.
func TestRestart(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(false)
	restart := func(ufrag, password string) {
		t.Helper()
		if err := c.transport.Restart(Remote{Ufrag: ufrag, Password: password}); err != nil {
			t.Fatal(err)
		}
		if !c.get(time.Second) {
			t.Fatal("media stopped with the restart")
		}
	}
	for i, step := range []struct {
		name string
		tcp  bool
	}{{"to TCP", true}, {"and back", false}, {"to another TCP connection", true}, {"to a third", true}} {
		was := c.source()
		restart("clnt", c.password)
		restart("clnt", c.password) // before the first has come to anything
		if !c.transport.goesTo(was) {
			t.Fatalf("%d: the old path was given up", i)
		}
		c.learn()
		c.dial(step.tcp)
		c.agree()
		if !c.get(time.Second) {
			t.Fatalf("%s: no media", step.name)
		}
	}
	restart("clnt", "a password that the client does not have")
	c.learn()
	c.send(c.check(true))
	if !c.get(time.Second) {
		t.Error("wrong credentials ended the call")
	}
	restart("clnt", c.password)
	c.learn()
	c.agree()
}

// TestRestartMeetsAChange: a client has changed networks and nominates its new address by the server's old credentials, as its agent
// does until it knows the new ones; the restart comes before it has answered. It is followed all the same, whether it sends from
// the socket of before or from one that it has made for the restart already, and not for longer than that.
func TestRestartMeetsAChange(t *testing.T) {
	for name, own := range map[string]Remote{
		"from the socket of before": {Ufrag: "clnt", Password: ""},
		"from a new one":            {Ufrag: "anew", Password: "the password of a new socket"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
			c.connect(false)
			c.mute.Store(true)
			c.mu.Lock()
			if own.Password != "" {
				c.ufrag, c.password = own.Ufrag, own.Password
			}
			own = Remote{Ufrag: c.ufrag, Password: c.password}
			c.mu.Unlock()
			c.dial(false)
			there := c.source()
			c.send(c.check(true))
			if !wait(time.Second, func() bool { s := c.transport.wanted.Load(); return s != nil && *s == there }) {
				t.Fatal("the check did not arrive")
			}
			for range 3 {
				if err := c.transport.Restart(own); err != nil {
					t.Fatal(err)
				}
			}
			c.mute.Store(false)
			if !wait(time.Second, func() bool { return c.transport.goesTo(there) }) {
				t.Fatal("the restart made the server forget where the client is")
			}
			old := c.transport.former.ufrag
			c.learn()
			c.dial(false)
			c.agree()
			if !c.get(time.Second) {
				t.Error("no media over the new path")
			}
			if c.e.mux.agent(old) != nil {
				t.Error("the old credentials are still good")
			}
		})
	}
}

// TestRestartsLeakNothing restarts ICE a thousand times.
func TestRestartsLeakNothing(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(false)
	before := runtime.NumGoroutine()
	for range 1000 {
		if err := c.transport.Restart(Remote{Ufrag: c.ufrag, Password: c.password}); err != nil {
			t.Fatal(err)
		}
	}
	c.learn()
	c.agree()
	if !wait(time.Second, func() bool { return c.e.mux.works(c.transport.present()) }) {
		t.Error("the newest credentials lead nowhere")
	}
	if !wait(5*time.Second, func() bool { return runtime.NumGoroutine() <= before+2 }) {
		t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
	}
	c.e.mux.mu.Lock()
	defer c.e.mux.mu.Unlock()
	if len(c.e.mux.agents) != 1 || len(c.e.transports) != 1 || len(c.e.bySrc) != 1 {
		t.Errorf("%d agents, %d transports, %d addresses", len(c.e.mux.agents), len(c.e.transports), len(c.e.bySrc))
	}
}
