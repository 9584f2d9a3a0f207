package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/parley-sfu/parley/internal/lab/network"
)

const (
	tapBuffer = 64 << 20               // bytes that the kernel keeps for a reader that is late
	tapPoll   = 100 * time.Millisecond // for which Stop waits at most
	vnetSize  = 10                     // of the header that says how a packet was segmented (struct virtio_net_hdr)

	ethernetSize = 14 // of an Ethernet header
)

// Sighting is one RTP packet (RFC 3550) that passed a device of a region.
type Sighting struct {
	At        time.Time // by the kernel's clock
	Out       bool      // given to a device; else taken from one
	From, To  netip.AddrPort
	Type      uint8 // payload type
	Sequence  uint16
	Timestamp uint32
	SSRC      uint32
	Size      int // of the datagram
}

// Tap sees all RTP packets that pass the devices of a region. What goes from one address of the region to another is seen
// twice: going out, and coming in.
type Tap struct {
	fd    int
	wg    sync.WaitGroup
	until time.Time     // what came later is left out
	stop  chan struct{} // closed when until is set

	seen []Sighting // the reader's, until Stop
	err  error
}

// Tap begins to watch the region.
func (r *Region) Tap(tb testing.TB) *Tap {
	tb.Helper()
	t := &Tap{stop: make(chan struct{})}
	err := r.space.do(func() (err error) {
		const all = unix.ETH_P_ALL << 8 // in network byte order; what goes out is shown to those alone who want all
		t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
		return err
	})
	if err != nil {
		tb.Fatalf("lab: tap: %v", err)
	}
	poll := unix.NsecToTimeval(int64(tapPoll))
	err = errors.Join(
		unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, tapBuffer),
		unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(t.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptTimeval(t.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &poll),
	)
	if err != nil {
		tb.Fatalf("lab: tap: %v", err)
	}
	if err := awaitArrivals(); err != nil {
		tb.Fatalf("lab: tap: %v", err)
	}
	t.wg.Go(t.read)
	tb.Cleanup(func() { _, _ = t.end() })
	return t
}

// Stop returns what was seen, and fails the test if anything was missed.
func (t *Tap) Stop(tb testing.TB) []Sighting {
	tb.Helper()
	stats, statsErr := unix.GetsockoptTpacketStats(t.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	seen, err := t.end()
	if err := errors.Join(err, statsErr); err != nil {
		tb.Fatalf("lab: tap: %v", err)
	}
	if stats.Drops > 0 {
		tb.Errorf("lab: the tap missed %d packets", stats.Drops)
	}
	return seen
}

func (t *Tap) end() ([]Sighting, error) {
	select {
	case <-t.stop:
		return t.seen, t.err
	default:
	}
	t.until = time.Now()
	close(t.stop)
	t.wg.Wait()
	return t.seen, errors.Join(t.err, unix.Close(t.fd))
}

func (t *Tap) read() {
	data, control := make([]byte, vnetSize+65536), make([]byte, 128)
	for {
		last := t.stopped(time.Now()) // before it is known that nothing waits: what comes in between is read
		n, controls, _, from, err := unix.Recvmsg(t.fd, data, control, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if last {
				return
			}
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			t.err = fmt.Errorf("read: %w", err)
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok {
			continue
		}
		frame := vnetSize
		if link.Hatype != unix.ARPHRD_NONE { // loopback plays Ethernet, a TUN device nothing
			frame += ethernetSize
		}
		if n < frame {
			continue
		}
		at, err := kernelTime(control[:controls])
		if err != nil {
			t.err = err
			return
		}
		if t.stopped(at) {
			return
		}
		segment := int(binary.NativeEndian.Uint16(data[4:])) // gso_size; 0: not segmented
		t.seen = appendRTP(t.seen, data[frame:n], segment, Sighting{At: at, Out: link.Pkttype == unix.PACKET_OUTGOING})
	}
}

// awaitArrivals returns when the kernel notes when packets arrive. Once somebody wants to know, it begins to from a work queue, tells nobody,
// and until then gives packets the time at which they are read. Who has asked before calls this.
func awaitArrivals() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	patience := unix.NsecToTimeval(int64(time.Second))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
	)
	if err != nil {
		return err
	}
	self, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	data, control := make([]byte, 1), make([]byte, 128)
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		if err := unix.Sendto(fd, data, 0, self); err != nil {
			return err
		}
		sent := time.Now() // it has arrived
		_, n, _, _, err := unix.Recvmsg(fd, data, control, 0)
		if err != nil {
			return err
		}
		if at, err := kernelTime(control[:n]); err != nil || !at.After(sent) {
			return err
		}
	}
	return errors.New("the kernel does not note when packets arrive")
}

// stopped says whether the tap was to stop at that moment or before.
func (t *Tap) stopped(at time.Time) bool {
	select {
	case <-t.stop:
		return at.After(t.until)
	default:
		return false
	}
}

// kernelTime is when the kernel saw the packet.
func kernelTime(control []byte) (time.Time, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))), nil
		}
	}
	return time.Time{}, errors.New("a packet has no time")
}

// appendRTP adds the RTP packets in an IP packet, which are several when the kernel has yet to segment it.
func appendRTP(seen []Sighting, ip []byte, segment int, s Sighting) []Sighting {
	f, ok := network.FlowOf(ip)
	header := 0
	if ok {
		header = int(ip[0]&0x0f)*4 + 8
	}
	if !ok || f.Protocol != UDP || len(ip) < header {
		return seen
	}
	s.From, s.To = f.From, f.To
	for payload := ip[header:]; len(payload) > 0; {
		size := len(payload)
		if segment > 0 {
			size = min(size, segment)
		}
		if b := payload[:size]; isRTP(b) {
			s.Type, s.Sequence = b[1]&0x7f, binary.BigEndian.Uint16(b[2:])
			s.Timestamp, s.SSRC, s.Size = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), size
			seen = append(seen, s)
		}
		payload = payload[size:]
	}
	return seen
}

// isRTP tells RTP from STUN, DTLS and RTCP (RFC 7983, RFC 5761).
func isRTP(b []byte) bool {
	return len(b) >= 12 && b[0]>>6 == 2 && (b[1]&0x7f < 64 || b[1]&0x7f > 95)
}
