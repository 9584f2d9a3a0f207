package rtc

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/parley-sfu/parley/internal/udp"
)

// TestMessages: what this end says is what pion understands, and signed as it should be.
func TestMessages(t *testing.T) {
	var key password
	key.set("the password")
	four, six := netip.MustParseAddrPort("198.51.100.7:4711"), netip.MustParseAddrPort("[2001:db8::7]:4711")
	id := transaction{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for name, tc := range map[string]struct {
		b    []byte
		typ  stun.MessageType
		has  []stun.AttrType
		from netip.AddrPort
	}{
		"a check of who follows": {
			b: appendCheck(nil, id, "theirs:ours", false), typ: stun.BindingRequest,
			has: []stun.AttrType{stun.AttrUsername, stun.AttrPriority, stun.AttrICEControlled},
		},
		"a check of who controls": {
			b: appendCheck(nil, id, "theirs:ours", true), typ: stun.BindingRequest,
			has: []stun.AttrType{stun.AttrUsername, stun.AttrPriority, stun.AttrICEControlling, stun.AttrUseCandidate},
		},
		"a success":           {b: appendSuccess(nil, id, four), typ: stun.BindingSuccess, has: []stun.AttrType{stun.AttrXORMappedAddress}, from: four},
		"a success over IPv6": {b: appendSuccess(nil, id, six), typ: stun.BindingSuccess, has: []stun.AttrType{stun.AttrXORMappedAddress}, from: six},
		"a conflict":          {b: appendConflict(nil, id), typ: stun.BindingError, has: []stun.AttrType{stun.AttrErrorCode}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &stun.Message{Raw: key.seal(tc.b)}
			if err := m.Decode(); err != nil {
				t.Fatal(err)
			}
			if m.Type != tc.typ || m.TransactionID != id {
				t.Errorf("it is %s %x", m.Type, m.TransactionID)
			}
			var has []stun.AttrType
			for _, a := range m.Attributes {
				has = append(has, a.Type)
			}
			if want := append(tc.has, stun.AttrMessageIntegrity, stun.AttrFingerprint); !slices.Equal(has, want) {
				t.Errorf("it has %v, want %v", has, want)
			}
			if err := stun.NewShortTermIntegrity("the password").Check(m); err != nil {
				t.Error(err)
			}
			if err := stun.Fingerprint.Check(m); err != nil {
				t.Error(err)
			}
			if tc.from.IsValid() {
				var mapped stun.XORMappedAddress
				if err := mapped.GetFrom(m); err != nil || !mapped.IP.Equal(tc.from.Addr().AsSlice()) || mapped.Port != int(tc.from.Port()) {
					t.Errorf("%v, %v", mapped, err)
				}
			}
			if parsed, ok := parseSTUN(m.Raw); !ok || !key.signed(m.Raw, &parsed) {
				t.Error("this end would not take it for signed")
			}
		})
	}
}

// TestGap: an address that never answers is asked ever more rarely; one that is gone to unasked stays in demand.
func TestGap(t *testing.T) {
	for name, tc := range map[string]struct {
		path path
		gaps []time.Duration // before the second check, the third, and so on
	}{
		"never answered": {path{}, []time.Duration{100, 200, 400, 800, 1600, 1600}},
		"dialled":        {path{dialled: true}, []time.Duration{100, 200, 200, 200}},
		"answered":       {path{answered: time.Now()}, []time.Duration{100, 100, 100}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, want := range tc.gaps {
				tc.path.unanswered = i + 1
				if got := (&agent{}).gap(&tc.path); got != want*time.Millisecond {
					t.Errorf("after %d checks: %s, want %s", i+1, got, want*time.Millisecond)
				}
			}
		})
	}
}

// TestCheckedAgain: an address whose own checks come is checked more rarely, and one that does not answer more often.
func TestCheckedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		heard      time.Duration // after it was asked last
		unanswered int
		want       time.Duration // likewise
	}{
		"heard of long ago":  {heard: -time.Minute, want: iceKeepalive},
		"heard of before":    {heard: -500 * time.Millisecond, want: 2500 * time.Millisecond},
		"heard of at once":   {want: iceQuiet},
		"heard of since":     {heard: 2500 * time.Millisecond, want: 5500 * time.Millisecond},
		"heard of just now":  {heard: 5 * time.Second, want: iceConsent + askAgain},
		"it does not answer": {heard: 5 * time.Second, unanswered: 1, want: askAgain},
	} {
		t.Run(name, func(t *testing.T) {
			asked := time.Now()
			p := path{asked: asked, answered: asked, heard: asked.Add(tc.heard), unanswered: tc.unanswered}
			if got := p.again().Sub(asked); got != tc.want {
				t.Errorf("after %s, want %s", got, tc.want)
			}
		})
	}
}

// TestRoundTripBeginsWithTheCheck: however late a tick is worked off, the time to the remote and back does not grow by it.
func TestRoundTripBeginsWithTheCheck(t *testing.T) {
	m := newMux(func([]byte, source) error { return nil })
	a, to := newAgent(nil), source{addr: udp.AddrFrom(netip.MustParseAddrPort("192.0.2.1:9"))}
	a.paths.dial(to)
	m.learn(a, Remote{Ufrag: "theirs", Password: "their password"}, true)
	began := time.Now()
	m.check(a, to, began.Add(-time.Second))
	if len(m.transactions) != 1 {
		t.Fatalf("%d checks were sent", len(m.transactions))
	}
	for _, p := range m.transactions {
		if p.at.Before(began) {
			t.Errorf("it counts from %s before it was sent", began.Sub(p.at))
		}
	}
}

// TestRelayWaits: who comes over a relay is not answered at once, so that a better path can come first; once there is one, or after a
// moment, it is.
func TestRelayWaits(t *testing.T) {
	for name, better := range map[string]bool{"alone": false, "beside a better path": true} {
		t.Run(name, func(t *testing.T) {
			e := startEndpoint(t, "127.0.0.1:0")
			c := newCaller(t, e)
			e.SetRelays(func(netip.AddrPort) bool { return true })
			if better {
				e.mux.mu.Lock()
				c.transport.agent.relaysFrom = time.Now().Add(time.Hour)
				e.mux.mu.Unlock()
			}
			relayed := c.dial(false)
			relayed.send(c.check(false))
			if better {
				e.SetRelays(func(netip.AddrPort) bool { return false })
				c.start(nil)
				c.dial(false)
				c.agree()
				for len(c.answers) > 0 {
					<-c.answers
				}
			}
			for answered := false; !answered; {
				relayed.send(c.check(false))
				select {
				case <-c.answers:
					answered = true
				case <-time.After(5 * time.Millisecond):
				}
			}
			if early := time.Until(c.transport.agent.relaysFrom); !better && early > 0 {
				t.Errorf("a relay's end was answered %s too early", early)
			}
		})
	}
}

// TestRoleConflict: whoever thinks that it follows, too, is told to control.
func TestRoleConflict(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(false)
	for len(c.answers) > 0 {
		<-c.answers
	}
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.theirs+":"+c.ufrag),
		stun.RawAttribute{Type: stun.AttrICEControlled, Value: make([]byte, 8)},
		stun.NewShortTermIntegrity(c.secret), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	c.send(m.Raw)
	answer := &stun.Message{Raw: <-c.answers}
	var code stun.ErrorCodeAttribute
	if err := answer.Decode(); err != nil || code.GetFrom(answer) != nil || code.Code != 487 {
		t.Errorf("%s %s, %v", answer.Type, code, err)
	}
}

// TestForgedAnswer: an answer that knows the transaction and comes from the right address proves nothing without the password.
func TestForgedAnswer(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(false)
	c.password = "not what the server was told"
	was := c.source()
	c.dial(false)
	for range 5 {
		c.send(c.check(true))
		if wait(50*time.Millisecond, func() bool { return !c.transport.goesTo(was) }) {
			t.Fatal("media has moved")
		}
	}
	if c.checks.Load() == 0 {
		t.Error("the server has not asked")
	}
}

// TestRest: a call has no goroutine of its own once the client's media has come. The client hears all the same when the server closes.
func TestRest(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(false)
	c.speak()
	resting := func() bool {
		c.transport.mu.Lock()
		defer c.transport.mu.Unlock()
		return c.transport.resting != nil
	}
	if !wait(5*time.Second, resting) {
		t.Fatal("it does not rest")
	}
	done := make(chan struct{})
	go func() { c.transport.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("something of it still runs")
	}
	if !c.get(time.Second) {
		t.Error("no media while it rests")
	}
	if err := c.transport.Close(); err != nil {
		t.Fatal(err)
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.conn.Read(make([]byte, 100)); !errors.Is(err, io.EOF) {
		t.Errorf("the client hears %v", err)
	}
}
