package udp

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// queue adds one datagram made of size times a letter.
func queue(b *Batch, size int, letter byte, to Addr) {
	mem := b.Reserve(size + 40) // reserving too much is how sealing works
	for i := range size {
		mem[i] = letter
	}
	b.Queue(size, to)
}

func TestBatchKeepsDatagramsApart(t *testing.T) {
	for _, tc := range []struct {
		name      string
		sizes     []int
		segmented uint64 // on Linux
	}{
		{"one", []int{100}, 0},
		{"equal", []int{100, 100, 100}, 3},
		{"last shorter", []int{100, 100, 40}, 3},
		{"shorter ends the run", []int{100, 40, 100, 40}, 4},
		{"longer starts a new one", []int{40, 100, 100}, 2},
		{"empty in between", []int{100, 0, 100}, 0},
		{"more than one message holds", slices.Repeat([]int{20}, 130), 130},
		{"more bytes than one message holds", slices.Repeat([]int{1400}, 50), 50},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := listen(t, loopback4)
			b := c.NewBatch()
			for i, size := range tc.sizes {
				queue(b, size, byte('a'+i%26), AddrFrom(c.LocalAddr()))
			}
			if err := b.Flush(); err != nil {
				t.Fatal(err)
			}
			got, _ := receive(t, c, len(tc.sizes))
			for i, size := range tc.sizes {
				if want := bytes.Repeat([]byte{byte('a' + i%26)}, size); !bytes.Equal(got[i], want) {
					t.Errorf("datagram %d is %q, want %q", i, got[i], want)
				}
			}
			s := c.Stats()
			if s.Sent != uint64(len(tc.sizes)) || s.SendErrors+s.SendDrops != 0 {
				t.Errorf("%+v", s)
			}
			if c.sock.segments() && s.Segmented != tc.segmented {
				t.Errorf("segmented %d, want %d", s.Segmented, tc.segmented)
			}
		})
	}
}

// TestBatchProperties checks that whatever is queued arrives, each datagram whole and in order for its address.
func TestBatchProperties(t *testing.T) {
	from := listen(t, loopback4)
	var to []*Conn
	for range 3 {
		c, err := Listen(Config{Listen: loopback4, ReceiveBuffer: 1 << 20}) // 300 datagrams lie in it before they are read
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		to = append(to, c)
	}
	b := from.NewBatch()
	rapid.Check(t, func(t *rapid.T) {
		var sent [3][][]byte
		for i := range rapid.IntRange(0, 300).Draw(t, "datagrams") {
			who := rapid.IntRange(0, 2).Draw(t, "address")
			size := rapid.SampledFrom([]int{0, 1, 100, 1100, 1100, 1200}).Draw(t, "size")
			mem := b.Reserve(size + rapid.IntRange(0, 300).Draw(t, "unused"))
			for j := range size {
				mem[j] = byte(i)
			}
			sent[who] = append(sent[who], slices.Clone(mem[:size]))
			b.Queue(size, AddrFrom(to[who].LocalAddr()))
			if rapid.IntRange(0, 99).Draw(t, "flush") == 0 {
				if err := b.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
		ms := messages(64, 2048)
		for who, want := range sent {
			for len(want) > 0 {
				n, err := to[who].Read(ms)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range ms[:n] {
					switch {
					case m.From != AddrFrom(from.LocalAddr()): // for whoever had this port before
						continue
					case len(want) == 0:
						t.Fatalf("address %d got one too many, of %d bytes", who, m.N)
					case !bytes.Equal(m.Buf[:m.N], want[0]):
						t.Fatalf("address %d got %d bytes, want %d", who, m.N, len(want[0]))
					}
					want = want[1:]
				}
			}
		}
	})
}

func TestBatchMisuseIsDropped(t *testing.T) {
	c := listen(t, loopback4)
	self := AddrFrom(c.LocalAddr())
	b := c.NewBatch()
	if b.Reserve(-1) != nil || b.Reserve(maxDatagram+1) != nil {
		t.Error("Reserve gave memory for what is no datagram")
	}
	b.Queue(1, self) // nothing reserved
	b.Reserve(10)
	b.Queue(11, self)
	b.Reserve(10)
	b.Queue(-1, self)
	b.Reserve(10)
	b.Queue(10, Addr{})
	b.Reserve(10)
	b.Queue(10, AddrFrom(loopback6))
	copy(b.Reserve(4), "once")
	b.Queue(4, self)
	b.Queue(4, self) // already queued
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, _ := receive(t, c, 1); string(got[0]) != "once" {
		t.Errorf("got %q", got[0])
	}
	if s := c.Stats(); s.Sent != 1 || s.SendDrops != 6 {
		t.Errorf("%+v", s)
	}
	if err := b.Flush(); err != nil { // nothing queued
		t.Error(err)
	}
}

// TestManyPackets sends from four batches at once to one reader: every datagram arrives or the kernel says it dropped it.
func TestManyPackets(t *testing.T) {
	const batches, each, viewers = 4, 25_000, 5
	from, to := listen(t, loopback4), listen(t, loopback4)
	var got sync.WaitGroup
	seen := make([]uint32, batches) // next number expected at least
	got.Go(func() {
		ms := messages(64, 1500)
		for {
			n, err := to.Read(ms)
			if err != nil {
				return
			}
			for _, m := range ms[:n] {
				who, number := m.Buf[0], binary.BigEndian.Uint32(m.Buf[1:])
				if number < seen[who] {
					t.Errorf("batch %d: %d after %d", who, number, seen[who])
				}
				seen[who] = number + 1
			}
		}
	})
	var sending sync.WaitGroup
	for who := range batches {
		sending.Go(func() {
			b := from.NewBatch()
			for i := range each {
				mem := b.Reserve(600)
				mem[0] = byte(who)
				binary.BigEndian.PutUint32(mem[1:], uint32(i))
				b.Queue(300+i/7%viewers, AddrFrom(to.LocalAddr()))
			}
			if err := b.Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	sending.Wait()
	sent := from.Stats()
	if sent.Sent+sent.SendDrops != batches*each {
		t.Errorf("%d sent and %d dropped, want %d in all", sent.Sent, sent.SendDrops, batches*each)
	}
	drained(t, to, sent.Sent)
	if err := to.Close(); err != nil {
		t.Error(err)
	}
	got.Wait()
	s := to.Stats()
	t.Logf("%d received, %d dropped by the kernel, %.1f datagrams a call", s.Received, s.ReceiveDrops,
		float64(sent.Sent)/float64(sent.Syscalls))
}

func TestNoAllocations(t *testing.T) {
	from, to := listen(t, loopback4), listen(t, loopback4)
	b, addr, ms, single := from.NewBatch(), AddrFrom(to.LocalAddr()), messages(64, 1500), make([]byte, 100)
	for name, f := range map[string]func(){
		"Batch": func() {
			for i := range 100 {
				b.Reserve(1200)
				b.Queue(1000+i/10, addr)
			}
			_ = b.Flush()
		},
		"WriteTo": func() { _, _ = from.WriteTo(single, addr) },
		"WriteTo and Read": func() {
			_, _ = from.WriteTo(single, addr)
			_, _ = to.Read(ms)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// later queues its datagrams when the batch is flushed.
type later struct {
	to    Addr
	sizes []int
}

func (l *later) QueueOn(b *Batch) {
	for _, size := range l.sizes {
		queue(b, size, 'l', l.to)
	}
	l.sizes = nil
}

// TestWhatIsDeferredLeavesWithTheFlush: behind what was queued before, and once.
func TestWhatIsDeferredLeavesWithTheFlush(t *testing.T) {
	c := listen(t, loopback4)
	b, l := c.NewBatch(), &later{to: AddrFrom(c.LocalAddr()), sizes: []int{1200, 1200}}
	b.Defer(l)
	if b.Deferred() != l {
		t.Errorf("deferred is %v", b.Deferred())
	}
	queue(b, 100, 'q', l.to)
	if sent := c.Stats().Sent; sent != 0 {
		t.Errorf("%d were sent before the flush", sent)
	}
	for range 2 {
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := receive(t, c, 3)
	if sent := c.Stats().Sent; sent != 3 || got[0][0] != 'q' || got[1][0] != 'l' || len(got[2]) != 1200 {
		t.Errorf("%d were sent: %.1q", sent, got)
	}
}
