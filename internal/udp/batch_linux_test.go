package udp

import (
	"bytes"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// drained waits until the reader of c has all that was sent, less what the kernel counts as dropped.
func drained(t *testing.T, c *Conn, sent uint64) {
	t.Helper()
	for {
		s := c.Stats()
		if s.Received+s.ReceiveDrops >= sent {
			return
		}
		runtime.Gosched()
	}
}

func TestKernelSegments(t *testing.T) {
	if c := listen(t, loopback4); !c.sock.segments() {
		t.Fatal("no UDP_SEGMENT: every supported kernel has it")
	}
}

// TestRefusedSegmentation uses that Linux segments nothing for sockets without checksums.
func TestRefusedSegmentation(t *testing.T) {
	from, to := listen(t, loopback4), listen(t, loopback4)
	noChecksums := func(on int) {
		if err := unix.SetsockoptInt(from.sock.fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, on); err != nil {
			t.Fatal(err)
		}
	}
	b := from.NewBatch()
	addr := AddrFrom(to.LocalAddr())
	noChecksums(1)
	for _, size := range []int{100, 100, 30} {
		queue(b, size, 'r', addr)
	}
	queue(b, 200, 's', addr)
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	got, _ := receive(t, to, 4)
	for i, size := range []int{100, 100, 30, 200} {
		if len(got[i]) != size {
			t.Errorf("datagram %d has %d bytes, want %d", i, len(got[i]), size)
		}
	}
	if s := from.Stats(); s.Unsegmented != 1 || s.Segmented != 0 || s.Sent != 4 || s.SendDrops != 0 {
		t.Errorf("%+v", s)
	}
	noChecksums(0)
	queue(b, 100, 'u', addr)
	queue(b, 100, 'v', addr)
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if s := from.Stats(); s.Segmented != 2 {
		t.Errorf("one refused run has ended segmentation for all: %+v", s)
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name        string
		errno       unix.Errno
		sizes       []int
		sent, drops int
		still       bool // segmentation is tried again
	}{
		{"device cannot", unix.EIO, []int{50, 50}, 2, 0, false},
		{"path too narrow", unix.EINVAL, []int{50, 50}, 2, 0, true},
		{"path too narrow, newer kernels", unix.EMSGSIZE, []int{50, 50}, 2, 0, true},
		{"no room for a run", unix.EAGAIN, []int{50, 50}, 0, 2, true},
		{"no room for one", unix.ENOBUFS, []int{50}, 0, 1, true},
		{"forbidden", unix.EPERM, []int{50, 50, 50}, 0, 3, true},
		{"one invalid", unix.EINVAL, []int{50}, 0, 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := listen(t, loopback4)
			b := c.NewBatch()
			for _, size := range tc.sizes {
				queue(b, size, 'x', AddrFrom(c.LocalAddr()))
			}
			var got tally
			b.sender = newSender(c.sock)
			b.sender.point(b.arena, b.runs)
			b.sender.refused(0, b.arena, &b.runs[0], tc.errno, &got)
			if got.sent != tc.sent || got.drops != tc.drops || got.errors != 1 {
				t.Errorf("%+v, want %d sent and %d dropped", got, tc.sent, tc.drops)
			}
			if c.sock.segments() != tc.still {
				t.Errorf("segments = %v, want %v", c.sock.segments(), tc.still)
			}
		})
	}
}

func TestWithoutSegmentation(t *testing.T) {
	c := listen(t, loopback6)
	c.sock.segment.Store(false)
	b := c.NewBatch()
	for i := range 200 {
		queue(b, 500, byte(i), AddrFrom(c.LocalAddr()))
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	got, _ := receive(t, c, 200)
	for i := range got {
		if !bytes.Equal(got[i], bytes.Repeat([]byte{byte(i)}, 500)) {
			t.Fatalf("datagram %d is %x", i, got[i][:1])
		}
	}
	if s := c.Stats(); s.Sent != 200 || s.Segmented != 0 || s.Syscalls != 4 {
		t.Errorf("%+v", s)
	}
}

// TestErrorsStopNothing puts a datagram that no interface can carry between two good ones.
func TestErrorsStopNothing(t *testing.T) {
	c := listen(t, loopback4)
	self := AddrFrom(c.LocalAddr())
	nobody := self
	nobody.port = [2]byte{} // the kernel refuses port 0
	b := c.NewBatch()
	for _, to := range []Addr{self, nobody, self, nobody, nobody, self} {
		queue(b, 10, 'e', to)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	receive(t, c, 3)
	if s := c.Stats(); s.Sent != 3 || s.SendDrops != 3 || s.SendErrors == 0 {
		t.Errorf("%+v", s)
	}
}

func TestReceiveBufferFull(t *testing.T) {
	c, err := Listen(Config{Listen: loopback4, SendBuffer: 1, ReceiveBuffer: 1}) // the kernel makes of it what it can do with
	if err != nil {
		t.Fatal(err)
	}
	b := c.NewBatch()
	for i := range 200 {
		queue(b, 1200+i%2, 'f', AddrFrom(c.LocalAddr()))
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	open := c.Stats()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if closed := c.Stats(); open.ReceiveDrops == 0 || open.ReceiveDrops > 200 || closed != open {
		t.Errorf("dropped %d of 200, and %d after Close", open.ReceiveDrops, closed.ReceiveDrops)
	}
}
