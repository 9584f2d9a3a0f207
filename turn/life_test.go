package turn

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a wall clock that the test puts forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

func TestQuotaOfACredential(t *testing.T) {
	cfg := testConfig()
	cfg.PerAddress = 400
	r := newRigWith(t, cfg, Deps{}, func(s *Server) { s.pace.perAddress = 1 << 20 })
	var made, refused int
	for range 300 {
		a := newAgent(t, r, "udp", "pt_greedy")
		switch got := a.allocate(); got.code {
		case 0:
			made++
		case codeQuota:
			a.want(got, codeQuota, "Allocate")
			refused++
		default:
			t.Fatalf("Allocate: %s", got)
		}
	}
	if made != cfg.PerCredential || refused != 300-made {
		t.Errorf("%d allocations, %d refused, want %d and the rest", made, refused, cfg.PerCredential)
	}
	a := newAgent(t, r, "udp", "pt_other")
	a.want(a.allocate(), 0, "Allocate by somebody else")
}

func TestQuotaOfAnAddress(t *testing.T) {
	cfg := testConfig()
	cfg.PerAddress = 5
	r := newRig(t, cfg, Deps{})
	var first *agent
	for i := range 8 {
		a := newAgent(t, r, "tcp", fmt.Sprint("pt_", i))
		want := 0
		if i >= cfg.PerAddress {
			want = codeQuota
		}
		a.want(a.allocate(), want, fmt.Sprint("Allocate ", i))
		if i == 0 {
			first = a
		}
	}
	first.want(first.refresh(0), 0, "Refresh to nothing")
	a := newAgent(t, r, "udp", "pt_late")
	a.want(a.allocate(), 0, "Allocate in the place of one that ended")
}

// A credential is looked at when an allocation is made and never again: the call outlives it, and the secret it was made with.
func TestACallOutlivesItsCredential(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			sfu := echo(t, "127.0.0.1:0")
			cfg, c := testConfig(), &clock{}
			cfg.Lifetime = time.Minute
			r := newRig(t, cfg, Deps{now: c.now}, sfu)
			a := newAgent(t, r, network, "pt_long")
			a.want(a.allocate(), 0, "Allocate")
			a.want(a.bind(minChannel, sfu), 0, "ChannelBind")
			for range 12 { // an hour
				c.forward(5 * time.Minute)
				a.want(a.refresh(10*time.Minute), 0, "Refresh")
				a.want(a.permit(sfu), 0, "CreatePermission")
				a.want(a.bind(minChannel, sfu), 0, "ChannelBind")
				a.exchanges(func(b []byte) { a.channel(minChannel, b) }, "still there")
			}
			late := dialAgent(t, network, r.Addr().String(), a.user, a.password)
			late.want(late.allocate(), codeUnauthorized, "Allocate with the same credential")
		})
	}
}

func TestBothSecretsAreGood(t *testing.T) {
	r := newRig(t, testConfig(), Deps{})
	for i, want := range []int{0, 0, codeUnauthorized} {
		secrets := []string{"first-secret-of-the-test", "second-secret-of-the-test", "a-secret-that-has-rotated-out"}
		user := fmt.Sprintf("%d:pt_%d", time.Now().Add(time.Hour).Unix(), i)
		a := dialAgent(t, "udp", r.Addr().String(), user, passwordOf([]byte(secrets[i]), user))
		a.want(a.allocate(), want, secrets[i])
	}
}

// Who was removed loses what it has within a second or so, and gets nothing new.
func TestRevocationEndsAnAllocation(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			sfu := echo(t, "127.0.0.1:0")
			var removed sync.Map
			r := newRig(t, testConfig(), Deps{Revoked: func(p string) bool { _, ok := removed.Load(p); return ok }}, sfu)
			a, stays := newAgent(t, r, network, "pt_removed"), newAgent(t, r, network, "pt_stays")
			for _, who := range []*agent{a, stays} {
				who.want(who.allocate(), 0, "Allocate")
				who.want(who.bind(minChannel, sfu), 0, "ChannelBind")
				who.exchanges(func(b []byte) { who.channel(minChannel, b) }, "before")
			}
			removed.Store("pt_removed", true)
			await(t, "the allocation ends", func() bool { return r.allocations.len() == 1 })
			stays.exchanges(func(b []byte) { stays.channel(minChannel, b) }, "after")
			again := dialAgent(t, network, r.Addr().String(), a.user, a.password)
			again.want(again.allocate(), codeUnauthorized, "Allocate after the removal")
		})
	}
}

func TestAnAllocationThatIsNotRefreshedEnds(t *testing.T) {
	c := &clock{}
	r := newRig(t, testConfig(), Deps{now: c.now})
	a := newAgent(t, r, "udp", "pt_1")
	got := a.ask(methodAllocate, func(w *writer) {
		w.attr(attrTransport, []byte{transportUDP, 0, 0, 0})
		w.attr32(attrLifetime, 1) // less than anybody gets
	})
	a.want(got, 0, "Allocate")
	if lifetime := binary.BigEndian.Uint32(got.attrs[attrLifetime]); lifetime != 600 {
		t.Errorf("lifetime = %d s, want 600", lifetime)
	}
	c.forward(599 * time.Second)
	a.want(a.refresh(24*time.Hour), 0, "Refresh")
	c.forward(49 * time.Minute)
	a.want(a.permit(), codeBadRequest, "CreatePermission of nobody")
	c.forward(time.Minute)
	await(t, "the allocation ends", func() bool { return r.allocations.len() == 0 })
	a.want(a.refresh(time.Minute), codeMismatch, "Refresh of what has ended")
	a.want(a.bind(minChannel, netip.MustParseAddrPort("127.0.0.1:1")), codeMismatch, "ChannelBind of what has ended")
}

// A peer that gossip has lost stays for a minute, and what was permitted goes with it.
func TestAPeerThatIsGone(t *testing.T) {
	sfu, c := echo(t, "127.0.0.1:0"), &clock{}
	r := newRig(t, testConfig(), Deps{now: c.now}, sfu)
	a := newAgent(t, r, "udp", "pt_1")
	a.want(a.allocate(), 0, "Allocate")
	a.want(a.bind(minChannel, sfu), 0, "ChannelBind")
	r.SetPeers(nil)
	a.exchanges(func(b []byte) { a.channel(minChannel, b) }, "within the time of grace")
	c.forward(peerGrace + time.Second)
	await(t, "the channel ends", func() bool { return len(*allSessions(r)[0].routes.Load()) == 0 })
	a.want(a.permit(sfu), codeForbidden, "CreatePermission")
	a.channel(minChannel, []byte("x"))
	if _, ok := a.receive(100 * time.Millisecond); ok {
		t.Error("a peer that is gone was reached")
	}
	r.SetPeers([]netip.AddrPort{sfu})
	a.want(a.bind(minChannel, sfu), 0, "ChannelBind")
	a.exchanges(func(b []byte) { a.channel(minChannel, b) }, "after it has come back")
}

func TestRequestsAreAnsweredAsTheyShould(t *testing.T) {
	sfu := echo(t, "127.0.0.1:0")
	r := newRig(t, testConfig(), Deps{}, sfu)
	a := newAgent(t, r, "udp", "pt_1")
	bare := newAgent(t, r, "udp", "pt_1")
	got, _ := bare.once(methodAllocate, func(w *writer) { w.attr(attrTransport, []byte{transportUDP, 0, 0, 0}) }, time.Second)
	bare.want(got, codeUnauthorized, "Allocate without a credential")
	if request := headerSize + 8; got.size > 3*request {
		t.Errorf("a challenge of %d bytes answers a request of %d", got.size, request)
	} else {
		t.Logf("a challenge of %d bytes answers a request of %d", got.size, request)
	}
	a.want(a.refresh(time.Minute), codeMismatch, "Refresh without an allocation")
	a.want(a.permit(sfu), codeMismatch, "CreatePermission without an allocation")
	a.want(a.allocate(), 0, "Allocate")
	a.want(a.allocate(), codeMismatch, "Allocate again")
	a.want(a.bind(0x3FFF, sfu), codeBadRequest, "ChannelBind of no channel")
	a.want(a.bind(minChannel, sfu), 0, "ChannelBind")
	a.want(a.bind(minChannel+1, sfu), codeBadRequest, "a second channel to the same peer")
	user, password := a.user, a.password
	a.user, a.password = r.credential("pt_2")
	a.want(a.refresh(time.Minute), codeWrongCredentials, "Refresh of somebody else's")
	a.user, a.password = user, password
	a.nonce = []byte("0123456789")
	a.want(a.refresh(10*time.Minute), 0, "Refresh after a stale nonce")
	if got, ok := a.once(methodBinding, nil, time.Second); !ok || got.class != classSuccess || got.attrs[attrMappedAddress] == nil {
		t.Errorf("Binding: %v, %s", ok, got)
	}
}

func await(t *testing.T, what string, good func() bool) {
	t.Helper()
	deadline, tick := time.After(5*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !good() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
