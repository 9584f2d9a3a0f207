package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func groupMessages() []Message {
	ms := make([]Message, 8)
	for i := range ms {
		ms[i].Buf = make([]byte, 2048)
	}
	return ms
}

// runGroup runs a group until the test ends, and sends what is read to a channel.
func runGroup(t *testing.T) (g *Group[string], got <-chan string) {
	t.Helper()
	g, err := NewGroup[string]()
	if err != nil {
		t.Fatal(err)
	}
	read, ended := make(chan string, 1000), make(chan error, 1)
	go func() {
		ended <- g.Run(groupMessages(), func(tag string, ms []Message) {
			for _, m := range ms {
				read <- tag + " " + string(m.Buf[:m.N])
			}
		}, func() {})
	}()
	t.Cleanup(func() {
		if err := errors.Join(g.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return g, read
}

func member1(t *testing.T) *Conn {
	t.Helper()
	c, err := Listen(Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestGroupReadsAllMembers(t *testing.T) {
	g, got := runGroup(t)
	sender := member1(t)
	var conns []*Conn
	for i := range 100 {
		c := member1(t)
		conns = append(conns, c)
		if err := g.Add(c, fmt.Sprint("conn", i)); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		want := map[string]bool{}
		for i, c := range conns {
			if _, err := sender.WriteTo(fmt.Append(nil, "round", round), AddrFrom(c.LocalAddr())); err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprintf("conn%d round%d", i, round)] = true
		}
		for len(want) > 0 {
			select {
			case m := <-got:
				if !want[m] {
					t.Fatalf("read %q, which was not sent or came before", m)
				}
				delete(want, m)
			case <-time.After(5 * time.Second):
				t.Fatalf("%d did not come", len(want))
			}
		}
	}
}

// What came before a member was added is read too, more than fits into one call is read in several, and a member that was
// taken out is silent.
func TestGroupMembersComeAndGo(t *testing.T) {
	g, got := runGroup(t)
	sender, c := member1(t), member1(t)
	const early = 30
	for range early {
		sender.WriteTo([]byte("early"), AddrFrom(c.LocalAddr()))
	}
	if err := g.Add(c, "c"); err != nil {
		t.Fatal(err)
	}
	for range early {
		select {
		case <-got:
		case <-time.After(5 * time.Second):
			t.Fatal("what came early is not read")
		}
	}
	g.Remove(c)
	g.Remove(c)
	sender.WriteTo([]byte("late"), AddrFrom(c.LocalAddr()))
	other := member1(t)
	if err := g.Add(other, "other"); err != nil {
		t.Fatal(err)
	}
	sender.WriteTo([]byte("x"), AddrFrom(other.LocalAddr()))
	if m := <-got; m != "other x" {
		t.Errorf("read %q of a member that was taken out", m)
	}
	c.Close()
	if err := g.Add(c, "closed"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Add of a closed Conn: %v", err)
	}
}

// Members may be added, taken out and closed while the group runs, and after it has ended.
func TestGroupUnderConcurrentChange(t *testing.T) {
	g, err := NewGroup[int]()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run(groupMessages(), func(int, []Message) {}, func() {}) }()
	sender := member1(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				c, err := Listen(Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
				if err != nil {
					t.Error(err)
					return
				}
				if err := g.Add(c, i); err != nil {
					t.Error(err)
				}
				sender.WriteTo([]byte("x"), AddrFrom(c.LocalAddr()))
				if i%2 == 0 {
					g.Remove(c)
				}
				c.Close()
				g.Remove(c)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(g.Close(), <-ended, g.Close()); err != nil {
		t.Error(err)
	}
	c := member1(t)
	if err := g.Add(c, 0); err == nil {
		t.Error("a group that was closed takes a member")
	}
	g.Remove(c)
}

func TestBatchServesSeveralConns(t *testing.T) {
	a, b, to := member1(t), member1(t), member1(t)
	batch := a.NewBatch()
	for i, c := range []*Conn{a, a, b, a, b, b} {
		batch.Use(c)
		copy(batch.Reserve(1), []byte{byte(i)})
		batch.Queue(1, AddrFrom(to.LocalAddr()))
	}
	if err := batch.Flush(); err != nil {
		t.Fatal(err)
	}
	ms := groupMessages()
	for i, from := range []*Conn{a, a, b, a, b, b} {
		if _, err := to.Read(ms[:1]); err != nil {
			t.Fatal(err)
		}
		if ms[0].Buf[0] != byte(i) || ms[0].From != AddrFrom(from.LocalAddr()) {
			t.Errorf("datagram %d is %d, from %s, want %s", i, ms[0].Buf[0], ms[0].From, from.LocalAddr())
		}
	}
	if a.Stats().Sent != 3 || b.Stats().Sent != 3 {
		t.Errorf("counted %d and %d, want 3 and 3", a.Stats().Sent, b.Stats().Sent)
	}
}
