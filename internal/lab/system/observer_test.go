package system_test

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// observer sees all that passes the loopback device, and sends what it likes under any address: an attacker beside the way.
type observer struct {
	tb      testing.TB
	see, do int
	done    chan struct{}
	wg      sync.WaitGroup
	media   netip.AddrPort // the node's

	mu      sync.Mutex
	reached map[netip.Addr]int        // packets of whatever kind that went to an address which was to get none
	clients map[netip.AddrPort][]byte // who sends media to the node, and the last check of each
}

func newObserver(tb testing.TB, media netip.AddrPort, victims ...netip.Addr) *observer {
	tb.Helper()
	o := &observer{tb: tb, media: media, done: make(chan struct{}), reached: map[netip.Addr]int{}, clients: map[netip.AddrPort][]byte{}}
	for _, v := range victims {
		o.reached[v] = 0
	}
	var err error
	const all = unix.ETH_P_ALL << 8 // in network byte order
	if o.see, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all); err != nil {
		tb.Fatalf("watch the loopback device, which takes root: %v", err)
	}
	if o.do, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
		tb.Fatal(err)
	}
	poll := unix.NsecToTimeval(50e6)
	_ = unix.SetsockoptTimeval(o.see, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &poll)
	_ = unix.SetsockoptInt(o.see, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	o.wg.Go(o.watch)
	tb.Cleanup(func() {
		close(o.done)
		o.wg.Wait()
		_, _ = unix.Close(o.see), unix.Close(o.do)
	})
	return o
}

func (o *observer) watch() {
	b := make([]byte, 1<<16)
	for {
		select {
		case <-o.done:
			return
		default:
		}
		n, _, err := unix.Recvfrom(o.see, b, 0)
		if err == nil && n >= 20 && b[0] == 0x45 {
			o.packet(b[:n])
		}
	}
}

// packet looks at an IPv4 packet.
func (o *observer) packet(b []byte) {
	from, to := netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, victim := o.reached[to]; victim {
		o.reached[to]++
	}
	if b[9] != unix.IPPROTO_UDP || len(b) < 29 || to != o.media.Addr() || binary.BigEndian.Uint16(b[22:]) != o.media.Port() {
		return
	}
	source, payload := netip.AddrPortFrom(from, binary.BigEndian.Uint16(b[20:])), b[28:]
	switch check, known := o.clients[source]; {
	case payload[0]>>6 == 2 && !known:
		o.clients[source] = nil
	case payload[0] == 0 && len(payload) > 24 && binary.BigEndian.Uint32(payload[4:]) == 0x2112A442 && known:
		o.clients[source] = append(check[:0:0], payload...)
	}
}

// count is how many packets an address got.
func (o *observer) count(victim netip.Addr) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reached[victim]
}

// overheard is who speaks with the node, and a check of each that had one.
func (o *observer) overheard() map[netip.AddrPort][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[netip.AddrPort][]byte{}
	for source, check := range o.clients {
		if check != nil {
			all[source] = check
		}
	}
	return all
}

// forge sends the node a datagram under somebody's address.
func (o *observer) forge(from netip.AddrPort, payload []byte) {
	b := make([]byte, 28, 28+len(payload))
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP // the kernel fills in length and checksum
	source, to := from.Addr().As4(), o.media.Addr().As4()
	copy(b[12:], source[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[20:], from.Port())
	binary.BigEndian.PutUint16(b[22:], o.media.Port())
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload))) // no checksum
	_ = unix.Sendto(o.do, append(b, payload...), 0, &unix.SockaddrInet4{Addr: to})
}
