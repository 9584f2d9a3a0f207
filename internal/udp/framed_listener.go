package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// FramedListener accepts FramedConns from a net.Listener, within the bounds of its FramedConfig, and finds them by the
// peer's address. All methods are safe for concurrent use.
type FramedListener struct {
	inner  net.Listener
	cfg    FramedConfig
	closed *latch

	mu    sync.Mutex
	conns map[netip.AddrPort]*FramedConn
	open  int
	from  map[netip.Addr]int // connections open for each address, see addrKey
}

// NewFramedListener wraps l, which from then on belongs to the FramedListener.
func NewFramedListener(l net.Listener, cfg FramedConfig) (*FramedListener, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("udp: framed listener: %w", err)
	}
	return &FramedListener{
		inner:  l,
		cfg:    cfg.withDefaults(),
		closed: newLatch(),
		conns:  make(map[netip.AddrPort]*FramedConn),
		from:   make(map[netip.Addr]int),
	}, nil
}

// Addr is the address that is listened on.
func (l *FramedListener) Addr() net.Addr { return l.inner.Addr() }

// Accept waits for a connection. Connections beyond the caps are closed at once and never
// seen. Accept outlasts moments when the system is short of descriptors or memory; an error means that it is over.
func (l *FramedListener) Accept() (*FramedConn, error) {
	var pause time.Duration
	for {
		conn, err := l.inner.Accept()
		switch {
		case err == nil:
			if c := l.admit(conn); c != nil {
				return c, nil
			}
			_ = conn.Close()
			pause = 0
		case !shortage(err):
			return nil, err
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-l.closed.done:
				return nil, net.ErrClosed
			}
		}
	}
}

// shortage tells errors of the moment from errors of the listener.
func shortage(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// admit registers a connection, or returns nil when a cap is reached.
func (l *FramedListener) admit(conn net.Conn) *FramedConn {
	remote := addrPortOf(conn.RemoteAddr())
	key := addrKey(remote.Addr())
	l.mu.Lock()
	if l.open >= l.cfg.MaxConns || l.from[key] >= l.cfg.MaxConnsPerAddr {
		l.mu.Unlock()
		return nil
	}
	l.open++
	l.from[key]++
	l.mu.Unlock()

	limitUnsent(conn)
	c := NewFramedConn(conn, l.cfg)
	c.onClose = sync.OnceFunc(func() { l.forget(c, key) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[remote] = c
	return c
}

func (l *FramedListener) forget(c *FramedConn, key netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.from[key]--; l.from[key] == 0 {
		delete(l.from, key)
	}
	if l.conns[c.remote] == c {
		delete(l.conns, c.remote)
	}
}

// addrKey counts an IPv6 /64 as one: whoever has one address of it has them all.
func addrKey(a netip.Addr) netip.Addr {
	if p, err := a.Prefix(64); err == nil && a.Is6() {
		return p.Addr()
	}
	return a
}

// Conn returns the open connection with the peer at an address, or nil.
func (l *FramedListener) Conn(remote netip.AddrPort) *FramedConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns[unmapped(remote)]
}

// Len is the number of open connections.
func (l *FramedListener) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Close ends Accept. Connections stay open: they belong to whoever accepted them.
func (l *FramedListener) Close() error {
	l.closed.set()
	return l.inner.Close()
}
