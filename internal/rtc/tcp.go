package rtc

import (
	"fmt"
	"net"

	"github.com/pion/ice/v4"

	"github.com/parley-sfu/parley/internal/udp"
)

// tapped accepts ICE-TCP connections whose media frames go to the endpoint and whose STUN goes to pion.
type tapped struct {
	*udp.FramedListener
	e *Endpoint
}

// Accept implements net.Listener.
func (l tapped) Accept() (net.Conn, error) {
	conn, err := l.FramedListener.Accept()
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(*udp.FramedConn); ok {
		f := &frames{e: l.e, from: source{addr: udp.AddrFrom(c.Remote()), tcp: true}}
		c.OnFrame(f.frame)
	}
	return conn, nil
}

// frames works off one connection, on the goroutine that reads it.
type frames struct {
	e    *Endpoint
	from source
}

// frame takes one whole frame before pion sees it, and leaves STUN to pion.
func (f *frames) frame(b []byte) (consumed bool) {
	e := f.e
	if b[0] < 4 {
		if msg, ok := parseSTUN(b); ok && msg.request {
			e.mu.RLock()
			t := e.byUfrag[msg.ufrag]
			e.mu.RUnlock()
			if t != nil {
				e.bind(t, f.from, false) // a connection cannot be forged
			}
		}
		return false
	}
	if t := e.lookup(f.from); t != nil {
		r := e.takeReader()
		r.packet(t, b)
		r.flush()
		e.idle.Put(r)
	}
	return true
}

// muxTCP has ICE-TCP connections accepted from l.
func (e *Endpoint) muxTCP(l *net.TCPListener) (err error) {
	if e.listener, err = udp.NewFramedListener(l, udp.FramedDefaults()); err != nil {
		return fmt.Errorf("listen for ICE-TCP: %w", err)
	}
	e.tcpMux = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: tapped{e.listener, e}, Logger: e.quiet.NewLogger("ice-tcp"), ReadBufferSize: checkQueue,
	})
	return nil
}
