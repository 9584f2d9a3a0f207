package rtc

import (
	"runtime"
	"testing"
	"time"
)

// TestManySockets: whatever sockets a remote's packets come on, and it is another after it has moved, checks, handshake and media
// reach its transport; and packets of one remote that come on two at once are taken once each.
func TestManySockets(t *testing.T) {
	e := startEndpointWith(t, "127.0.0.1:0", func(cfg *Config) { cfg.Sockets = 4 })
	if want := 4; len(e.shards) != want && runtime.GOOS == "linux" {
		t.Fatalf("%d sockets, want %d", len(e.shards), want)
	}
	used := map[int]bool{}
	for range 8 {
		c := newCaller(t, e)
		c.connect(false)
		for range 3 { // lines
			before := e.received()
			c.speak()
			if !wait(10*time.Second, func() bool { return c.heard.rtp.Load() > 0 }) {
				t.Fatal("the server has not taken the caller's packet")
			}
			for i, n := range e.received() {
				if n > before[i] {
					used[i] = true
				}
			}
			if !c.get(10 * time.Second) {
				t.Fatal("the caller has not received the server's packet")
			}
			c.heard.rtp.Store(0)
			c.dial(false)
			c.agree()
		}
		c.everyLineAtOnce()
	}
	if len(used) < 2 && runtime.GOOS == "linux" {
		t.Errorf("all packets came on sockets %v", used)
	}
}

// received counts the datagrams of each socket.
func (e *Endpoint) received() []uint64 {
	var n []uint64
	for _, c := range e.shards {
		n = append(n, c.Stats().Received)
	}
	return n
}

// everyLineAtOnce sends each of many packets over every line.
func (c *caller) everyLineAtOnce() {
	c.tb.Helper()
	const packets = 200
	c.mu.Lock()
	lines := c.lines
	c.mu.Unlock()
	before := c.heard.rtp.Load()
	for range packets {
		b := c.speak()
		for _, l := range lines {
			l.send(b)
		}
	}
	if !wait(10*time.Second, func() bool { return c.heard.rtp.Load() >= before+packets }) {
		c.tb.Errorf("%d of %d packets were taken", c.heard.rtp.Load()-before, packets)
	}
	if !c.get(10 * time.Second) { // whatever came since has been worked off by then
		c.tb.Error("the caller receives no more")
	}
	if got := c.heard.rtp.Load() - before; got != packets {
		c.tb.Errorf("%d packets were taken of %d that were sent %d times", got, packets, len(lines)+1)
	}
}
