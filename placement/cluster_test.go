package placement_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/parley-sfu/parley/placement"
)

var (
	oneKey     = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	anotherKey = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a", 32)))
)

// running is a node of a cluster on loopback.
type running struct {
	*placement.Cluster
	stop    func() // leaves, and waits for the end
	changed chan struct{}
}

// config is that of a node with a cluster key that joins others.
func config(id string, join ...*running) placement.Config {
	cfg := placement.Config{NodeID: id, Region: "eu", Listen: "127.0.0.1:0", Key: oneKey}.Quick()
	for _, to := range join {
		cfg.Join = append(cfg.Join, to.Addr().String())
	}
	return cfg
}

func facts(id string) placement.Node {
	return placement.Node{
		SFUEndpoint: id + ".example:7881", SignalEndpoint: "wss://" + id + ".example/v1/signal", ProbeURL: "https://" + id + ".example/livez",
		Media: netip.MustParseAddrPort("192.0.2.1:7881"), Fingerprint: "sha-256 AB" + strings.Repeat(":CD", 31),
		Roles: []string{placement.RoleSignal, placement.RoleMedia}, Version: "1.2.3", Protocol: 1, Capacity: 2,
	}
}

func start(t *testing.T, cfg placement.Config) *running { return answering(t, cfg, nil) }

// answering starts a node that answers questions, unless f is nil.
func answering(t *testing.T, cfg placement.Config, f func(from string, question []byte) ([]byte, error)) *running {
	t.Helper()
	c, err := placement.New(cfg, facts(cfg.NodeID), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if f != nil {
		c.Answer(f)
	}
	r := &running{Cluster: c, changed: make(chan struct{}, 1)}
	c.Watch(func([]string, []string) {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stopped := false
	r.stop = func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := <-done; err != nil {
			t.Errorf("Run of %s: %v", cfg.NodeID, err)
		}
	}
	t.Cleanup(r.stop)
	select {
	case <-c.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("Run of %s ended: %v", cfg.NodeID, err)
	}
	return r
}

// until waits for a node to see what it should.
func (r *running) until(t *testing.T, what string, seen func([]placement.Node) bool) {
	t.Helper()
	limit, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !seen(r.Nodes()) {
		select {
		case <-r.changed:
		case <-limit.Done():
			t.Fatalf("%s does not see %s, but %+v", r.Self().ID, what, r.Nodes())
		}
	}
}

// sees is true when exactly these nodes live.
func sees(want ...string) func([]placement.Node) bool {
	return func(nodes []placement.Node) bool { return slices.Equal(ids(nodes), want) }
}

func TestNodesFindEachOther(t *testing.T) {
	a := start(t, config("a"))
	b := start(t, config("b", a))
	c := start(t, config("c", b)) // knows a from b only
	for _, r := range []*running{a, b, c} {
		r.until(t, "all three", sees("a", "b", "c"))
		for _, other := range []*running{a, b, c} {
			got, ok := r.Lookup(other.Self().ID)
			want := facts(other.Self().ID)
			want.ID, want.Region, want.Incarnation = other.Self().ID, "eu", other.Self().Incarnation
			got.Coordinate, got.Load, got.Pressure = nil, placement.Load{}, placement.Free
			if !ok || !reflect.DeepEqual(got, want) {
				t.Errorf("%s knows %+v, %v, want %+v", r.Self().ID, got, ok, want)
			}
		}
	}
	if n, ok := a.Lookup("d"); ok {
		t.Errorf("a knows %+v", n)
	}
}

func TestLoadAndCoordinatesReachEverybody(t *testing.T) {
	a := start(t, config("a"))
	b := start(t, config("b", a))
	load := placement.Load{CPU: 0.875, PacketsPerSecond: 32768, BitsPerSecond: 1 << 24, Participants: 321}
	b.SetLoad(load)
	told := func(nodes []placement.Node) bool {
		i := slices.IndexFunc(nodes, func(n placement.Node) bool { return n.ID == "b" })
		return i >= 0 && nodes[i].Load == load && nodes[i].Pressure == placement.Full
	}
	a.until(t, "b's load", told)
	a.until(t, "where both are", func(nodes []placement.Node) bool {
		if len(nodes) != 2 {
			return false
		}
		rtt, ok := nodes[0].Distance(nodes[1])
		return ok && rtt < time.Second
	})
	c := start(t, config("c", a)) // b says nothing anew: the full sync tells
	c.until(t, "b's load", told)
}

func TestDrainingIsSeenByAllAndTakenBack(t *testing.T) {
	a := start(t, config("a"))
	b := start(t, config("b", a))
	c := start(t, config("c", a))
	for _, draining := range []bool{true, false, true} {
		b.SetDraining(draining)
		for _, r := range []*running{a, b, c} {
			r.until(t, "b drain or not", func(nodes []placement.Node) bool {
				return len(nodes) == 3 && nodes[1].Draining == draining
			})
		}
	}
}

func TestLeavingIsToldNotNoticed(t *testing.T) {
	a := start(t, config("a").NeverProbing())
	b := start(t, config("b", a).NeverProbing())
	a.until(t, "b", sees("a", "b"))
	b.stop()
	a.until(t, "nobody", sees("a"))
}

func TestAWrongKeyIsRefused(t *testing.T) {
	a := start(t, config("a"))
	for name, key := range map[string]string{"wrong": anotherKey, "none": ""} {
		cfg := config("b", a)
		cfg.Key = key
		refused := make(chan struct{}, 1)
		c, err := placement.New(cfg, facts("b"), slog.New(warnings(func(text string) {
			if strings.Contains(text, "does not share the key") {
				select {
				case refused <- struct{}{}:
				default:
				}
			}
		})))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		<-refused
		if len(c.Nodes()) != 1 || len(a.Nodes()) != 1 {
			t.Errorf("with %s key: it knows %v, and a knows %v", name, ids(c.Nodes()), ids(a.Nodes()))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// While the key is being changed some nodes encrypt with the old one and some with the new one; all know both.
func TestKeysChangeWithoutABreak(t *testing.T) {
	before := config("a")
	before.Key = oneKey + ", " + anotherKey
	a := start(t, before)
	after := config("b", a)
	after.Key = anotherKey + "," + oneKey
	b := start(t, after)
	a.until(t, "both", sees("a", "b"))
	b.until(t, "both", sees("a", "b"))
}

func TestADeadNodeIsNoticedAndAHealedOneReturns(t *testing.T) {
	cable := newCable(t)
	a := start(t, config("a"))
	b := start(t, config("b", a))
	cfg := config("c").Over(cable)
	cfg.Join = []string{a.Addr().String()}
	c := start(t, cfg)
	everybody := []*running{a, b, c}
	for _, r := range everybody {
		r.until(t, "all", sees("a", "b", "c"))
	}
	cable.cut.Store(true)
	a.until(t, "c dead", sees("a", "b"))
	b.until(t, "c dead", sees("a", "b"))
	c.until(t, "the others dead", sees("c"))
	cable.cut.Store(false)
	for _, r := range everybody {
		r.until(t, "all again", sees("a", "b", "c"))
	}
}

func TestANodeRestartsWithItsId(t *testing.T) {
	for name, tc := range map[string]struct{ killed, noticed bool }{
		"killed, and back at once":               {killed: true},
		"killed, and back when that was noticed": {killed: true, noticed: true},
		"left":                                   {noticed: true},
	} {
		t.Run(name, func(t *testing.T) {
			cable := newCable(t)
			a := start(t, config("a"))
			old := start(t, config("b", a).Over(cable))
			address := old.Addr().String()
			old.SetLoad(placement.Load{CPU: 0.5, Participants: 50})
			a.until(t, "b's load", func(nodes []placement.Node) bool { return len(nodes) == 2 && nodes[1].Load.Participants == 50 })
			before, _ := a.Lookup("b")
			cable.cut.Store(tc.killed) // then it says no goodbye
			old.stop()
			if tc.noticed {
				a.until(t, "nobody", sees("a"))
			}
			came := make(chan struct{}, 1)
			defer a.Watch(func(joined, left []string) {
				if slices.Contains(joined, "b") && (tc.noticed || slices.Contains(left, "b")) {
					select {
					case came <- struct{}{}:
					default:
					}
				}
			})()
			again := config("b", a)
			again.Listen = address
			start(t, again)
			a.until(t, "b anew", func(nodes []placement.Node) bool {
				return len(nodes) == 2 && nodes[1].Incarnation > before.Incarnation && nodes[1].Load.Participants == 0
			})
			<-came
		})
	}
}

func TestConfigFaultsAreNamedAtOnce(t *testing.T) {
	err := placement.Config{
		NodeID: "a/b", Listen: "192.0.2.1:7946", Advertise: "here", Join: []string{"nowhere"}, Key: "c2hvcnQ=",
	}.Validate()
	for _, key := range []string{"node_id", "region", "gossip.advertise", "gossip.join", "gossip.key"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("the error does not name %s: %v", key, err)
		}
	}
	good := placement.Config{NodeID: "a", Region: "eu", Listen: "192.0.2.1:7946"}
	if err := good.Validate(); err == nil || !strings.Contains(err.Error(), "gossip.key") {
		t.Errorf("no key beyond loopback: %v", err)
	}
	good.Key, good.Advertise, good.Join = oneKey, "203.0.113.7", []string{"seed.example:7946", "[2001:db8::1]:7946"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

func TestFactsThatGossipCannotCarryAreRefused(t *testing.T) {
	for name, self := range map[string]placement.Node{
		"make them shorter": {SignalEndpoint: "wss://" + strings.Repeat("x", 500)},
		"fingerprint":       {Fingerprint: "sha-1 AA:BB"},
	} {
		if _, err := placement.New(config("a"), self, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not say %q: %v", name, err)
		}
	}
}

// warnings is a slog.Handler that hands over the texts of warnings.
type warnings func(text string)

func (warnings) Enabled(_ context.Context, l slog.Level) bool    { return l >= slog.LevelWarn }
func (w warnings) Handle(_ context.Context, r slog.Record) error { w(r.Message); return nil }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler            { return w }
func (w warnings) WithGroup(string) slog.Handler                 { return w }

// cable is a transport on loopback that can be cut: then nothing goes out and nothing comes in.
type cable struct {
	*memberlist.NetTransport
	cut     atomic.Bool
	packets chan *memberlist.Packet
	streams chan net.Conn
	ended   chan struct{}
}

func newCable(t *testing.T) *cable {
	t.Helper()
	var inner *memberlist.NetTransport
	for ports := 10; inner == nil; ports-- { // the kernel gives one that is free for TCP, and perhaps not for UDP
		var err error
		inner, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{"127.0.0.1"}, Logger: log.New(io.Discard, "", 0),
		})
		if err != nil && (ports == 0 || !strings.Contains(err.Error(), syscall.EADDRINUSE.Error())) {
			t.Fatal(err)
		}
	}
	c := &cable{
		NetTransport: inner, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), ended: make(chan struct{}),
	}
	go c.carry()
	return c
}

func (c *cable) carry() {
	for {
		select {
		case p := <-c.NetTransport.PacketCh():
			if c.cut.Load() {
				continue
			}
			select {
			case c.packets <- p:
			case <-c.ended:
				return
			}
		case s := <-c.NetTransport.StreamCh():
			if c.cut.Load() {
				s.Close()
				continue
			}
			select {
			case c.streams <- s:
			case <-c.ended:
				return
			}
		case <-c.ended:
			return
		}
	}
}

func (c *cable) WriteTo(b []byte, addr string) (time.Time, error) {
	return c.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (c *cable) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	if c.cut.Load() {
		return time.Now(), nil
	}
	return c.NetTransport.WriteToAddress(b, addr)
}

func (c *cable) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return c.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (c *cable) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if c.cut.Load() {
		return nil, errors.New("the cable is cut")
	}
	return c.NetTransport.DialAddressTimeout(addr, timeout)
}

func (c *cable) PacketCh() <-chan *memberlist.Packet { return c.packets }
func (c *cable) StreamCh() <-chan net.Conn           { return c.streams }

func (c *cable) Shutdown() error {
	err := c.NetTransport.Shutdown()
	close(c.ended)
	return err
}

// A node that is cut off does not answer, though gossip has not noticed.
func TestWhoDoesNotAnswerIsKnownBeforeGossip(t *testing.T) {
	cable := newCable(t)
	a := start(t, config("a").NeverProbing())
	cfg := config("b").Over(cable).NeverProbing()
	cfg.Join = []string{a.Addr().String()}
	b := start(t, cfg)
	for _, r := range []*running{a, b} {
		r.until(t, "both", sees("a", "b"))
	}
	answers := func() bool {
		for range 3 { // a packet may be lost
			if a.Answers("b") {
				return true
			}
		}
		return false
	}
	if !answers() || !a.Answers("a") || a.Answers("c") {
		t.Error("who lives does not answer, or who does not live does")
	}
	cable.cut.Store(true)
	if answers() || !sees("a", "b")(a.Nodes()) {
		t.Errorf("a node that is cut off answers, or gossip knows already: %v", ids(a.Nodes()))
	}
	cable.cut.Store(false)
	if !answers() {
		t.Error("it does not answer again")
	}
}
