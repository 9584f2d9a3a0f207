package udp

import (
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWaited: a datagram says how long it has been in the socket, and a reader how far behind it is: while it works off what came long ago, and
// not while it waits.
func TestWaited(t *testing.T) {
	const long, soon = 50 * time.Millisecond, 20 * time.Millisecond
	c, err := Listen(Config{Listen: loopback4, Stamp: true})
	if err != nil {
		t.Fatal(err)
	}
	from, to := listen(t, loopback4), AddrFrom(c.LocalAddr())
	ms := messages(8, 100)
	ms[0].Waited = time.Hour // of another read
	send := func() {
		t.Helper()
		if _, err := from.WriteTo([]byte("datagram"), to); err != nil {
			t.Fatal(err)
		}
	}
	send()
	time.Sleep(long)
	send()
	if n, err := c.Read(ms); n != 2 || err != nil {
		t.Fatalf("%d datagrams, %v", n, err)
	}
	if late, fresh := ms[0].Waited, ms[1].Waited; late < long || late-fresh < long || late > longestWait {
		t.Errorf("the datagrams waited for %v and %v, and were sent %v apart", late, fresh, long)
	}
	if got := c.Behind(); got < long {
		t.Errorf("who works off what came %v ago is %v behind", long, got)
	}
	read := make(chan error)
	go func() {
		_, err := c.Read(ms)
		read <- err
	}()
	for began := time.Now(); c.Behind() != 0; runtime.Gosched() {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("who waits is %v behind", c.Behind())
		}
	}
	send()
	if err := <-read; err != nil || ms[0].Waited > time.Second/2 {
		t.Errorf("a datagram that was waited for: %v, %v", ms[0].Waited, err)
	}
	if got := c.Behind(); got == 0 || got > 5*time.Second {
		t.Errorf("who works off what has just come is %v behind", got)
	}
	began, before := time.Now(), c.Behind()
	for time.Since(began) < soon {
		runtime.Gosched()
	}
	if got := c.Behind(); got-before < soon {
		t.Errorf("who has worked for %v more is %v behind, and was %v", soon, got, before)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(ms); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
}

// TestStamps: how long ago a stamp is, whatever the system's clock does.
func TestStamps(t *testing.T) {
	now := time.Now().UnixNano()
	for name, tc := range map[string]struct {
		ago  time.Duration
		want time.Duration
	}{
		"just now":                  {0, 0},
		"a while ago":               {30 * time.Millisecond, 30 * time.Millisecond},
		"the clock was put back":    {-time.Hour, 0},
		"the clock was put forward": {time.Hour, longestWait},
	} {
		t.Run(name, func(t *testing.T) {
			s := stampAt(now - tc.ago.Nanoseconds())
			if got := s.waited(now); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
	if got := (&stamp{}).waited(now); got != 0 {
		t.Errorf("no stamp: %v", got)
	}
}

// stampAt is a stamp as the kernel writes it.
func stampAt(nanoseconds int64) *stamp {
	s := &stamp{at: unix.NsecToTimespec(nanoseconds)}
	s.header.Level, s.header.Type = unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS
	return s
}
