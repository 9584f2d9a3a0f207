package rtc

import (
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

const (
	// A TCP connection lives this long after a signed check, or an answer to one, came over it: clients check every few seconds.
	tcpIdle = 30 * time.Second
	// Messages that a connection may send before one of them shows that it belongs to a transport.
	tcpStrays = 16
)

// accept serves ICE-TCP connections (RFC 6544) until the listener is closed.
func (e *Endpoint) accept() {
	var mu sync.Mutex
	open := map[*udp.FramedConn]struct{}{}
	var wg sync.WaitGroup
	for {
		c, err := e.listener.Accept()
		if err != nil {
			break
		}
		mu.Lock()
		open[c] = struct{}{}
		mu.Unlock()
		wg.Go(func() {
			e.serve(c)
			mu.Lock()
			delete(open, c)
			mu.Unlock()
		})
	}
	mu.Lock()
	for c := range open {
		go c.Close() //nolint:errcheck // it may have gone by itself
	}
	mu.Unlock()
	wg.Wait()
}

// serve works off one connection until it ends, or has shown for too long no sign of belonging to a transport.
func (e *Endpoint) serve(c *udp.FramedConn) {
	defer c.Close() //nolint:errcheck // it may have gone by itself
	from := source{addr: udp.AddrFrom(c.Remote()), tcp: true}
	for strays := 0; strays < tcpStrays; {
		b, err := c.ReadFrame()
		switch {
		case err != nil:
			return
		case b[0] < 4:
			if e.mux.deliver(b, from, 0) {
				c.Vouch(tcpIdle)
				strays = 0
				continue
			}
			strays++
		default:
			bound := e.lookup(from)
			if bound.t == nil {
				strays++
				continue
			}
			r := e.takeReader()
			r.packet(bound, b, from)
			r.flush()
			e.idle.Put(r)
		}
	}
}
