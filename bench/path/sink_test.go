package path

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

// A handshake's datagrams may come in one piece, as media do: pion gets each by itself, and media are counted.
func TestSink(t *testing.T) {
	w := newSweeper()
	s, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	server, err := udp.Listen(udp.Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	out := server.NewBatch()
	send := func(first, second byte) {
		b := out.Reserve(100)
		b[0], b[1] = first, second
		out.Queue(100, udp.AddrFrom(s.address()))
	}
	const flight, frame = 3, 5
	for range flight {
		send(22, 254)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	for range frame {
		send(0x80, 96)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); w.sweep() < frame; {
		if time.Now().After(deadline) {
			t.Fatalf("%d packets of media were read, want %d", w.sweep(), frame)
		}
	}
	b := make([]byte, 1500)
	for i := range flight {
		n, from, err := s.ReadFrom(b)
		if err != nil || n != 100 || !bytes.HasPrefix(b, []byte{22, 254}) || from.String() != server.LocalAddr().String() {
			t.Errorf("datagram %d of the handshake: %d bytes from %v, %v", i, n, from, err)
		}
	}
	if got := w.tally(); got != (tallies{read: frame}) || w.silent(frame) != 0 || w.silent(frame+1) != 1 {
		t.Errorf("tally %+v, silent %d and %d", got, w.silent(frame), w.silent(frame+1))
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := s.ReadFrom(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading a closed one: %v", err)
	}
	if got := w.sweep(); got != frame {
		t.Errorf("%d packets after closing, want %d", got, frame)
	}
}
