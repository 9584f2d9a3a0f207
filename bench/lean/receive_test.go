package lean

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/transport/v4/packetio"

	"github.com/parley-sfu/parley/internal/udp"
	"github.com/parley-sfu/parley/signal/client"
)

// stand is a viewer whose node exists only in the test: with 3 slots for sound and 25 for pictures.
type stand struct {
	*Viewer
	server *server
	from   udp.Addr
	seqs   [28]uint16
	time   uint32
	at     int64
}

func newStand(tb testing.TB, onPacket func(client.Packet)) *stand {
	tb.Helper()
	fleet, err := New(Config{})
	if err != nil {
		tb.Fatal(err)
	}
	v := fleet.newViewer(client.Ticket{}, Options{AudioSlots: 3, VideoSlots: 25, OnPacket: onPacket})
	if v.conn, err = udp.Listen(udp.Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { v.conn.Close() })
	s := &stand{Viewer: v, from: udp.AddrFrom(netip.MustParseAddrPort("127.0.0.1:9")), at: time.Now().Add(-time.Minute).UnixNano()}
	a := answer{ufrag: "node", password: "the node's own password", candidates: []udp.Addr{s.from}}
	v.path.to(&a)
	v.path.chosen = s.from
	for i := range v.slots {
		l := line{mid: v.slots[i].mid, ssrc: uint32(1000 + i)}
		if v.slots[i].video {
			l.repairSSRC = uint32(2000 + i)
		}
		a.lines = append(a.lines, l)
	}
	if err := v.bind(&a); err != nil {
		tb.Fatal(err)
	}
	v.keys, s.server = newServer(tb)
	return s
}

// frame is the next frame of a slot, in some packets. A keyframe of VP8 has a width of 320 and a height of 180.
func (s *stand) frame(tb testing.TB, slot, packets int, isKey bool) (sealed [][]byte) {
	tb.Helper()
	s.time += 3000
	for i := range packets {
		payload := append([]byte{0x80, 0x80, 0x80, 1}, make([]byte, 200)...)
		if i == 0 {
			payload[0] |= 0x10
		}
		payload[4] = 1
		if isKey {
			copy(payload[4:], []byte{0, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0})
		}
		s.seqs[slot]++
		sealed = append(sealed, s.server.seal(tb, rtp.Packet{Header: rtp.Header{
			SequenceNumber: s.seqs[slot], Timestamp: s.time, SSRC: uint32(1000 + slot), PayloadType: vp8, Marker: i == packets-1,
		}, Payload: payload}))
	}
	return sealed
}

// get has the viewer receive datagrams, a millisecond after those before. They are kept as they are.
func (s *stand) get(datagrams ...[]byte) {
	s.at += int64(time.Millisecond)
	for _, b := range datagrams {
		s.receive([]udp.Piece{{B: bytes.Clone(b), Size: len(b), At: s.at, From: s.from}})
	}
}

func TestCounts(t *testing.T) {
	const slot = 5
	for name, tc := range map[string]struct {
		play func(t *testing.T, s *stand)
		want client.SlotStats
	}{
		"whole frames in their order": {func(t *testing.T, s *stand) {
			s.get(s.frame(t, slot, 3, true)...)
			s.get(s.frame(t, slot, 2, false)...)
		}, client.SlotStats{Packets: 5, Frames: 2, Keyframes: 1}},
		"nothing is shown before a keyframe": {func(t *testing.T, s *stand) {
			s.get(s.frame(t, slot, 2, false)...)
			s.get(s.frame(t, slot, 2, true)...)
		}, client.SlotStats{Packets: 4, Frames: 1, Keyframes: 1}},
		"out of order": {func(t *testing.T, s *stand) {
			s.get(s.frame(t, slot, 2, true)...)
			f := s.frame(t, slot, 3, false)
			s.get(f[0], f[2], f[1])
		}, client.SlotStats{Packets: 5, Frames: 2, Keyframes: 1, Missed: 1, Repaired: 1, NACKs: 1}},
		"twice": {func(t *testing.T, s *stand) {
			f := s.frame(t, slot, 2, true)
			s.get(f[0], f[0], f[1], f[1])
		}, client.SlotStats{Packets: 2, Frames: 1, Keyframes: 1}},
		"a hole is jumped over with a keyframe": {func(t *testing.T, s *stand) {
			s.get(s.frame(t, slot, 2, true)...)
			f := s.frame(t, slot, 3, false)
			s.get(f[0], f[2])
			s.get(s.frame(t, slot, 2, false)...)
			s.get(s.frame(t, slot, 2, true)...)
			s.get(s.frame(t, slot, 2, false)...)
		}, client.SlotStats{Packets: 10, Frames: 3, Keyframes: 2, Missed: 1, NACKs: 1}},
		"repaired": {func(t *testing.T, s *stand) {
			s.get(s.frame(t, slot, 2, true)...)
			f := s.frame(t, slot, 2, false)
			s.get(f[1])
			payload := append([]byte{byte((s.seqs[slot] - 1) >> 8), byte(s.seqs[slot] - 1), 0x90, 0x80, 0x80, 1, 1}, make([]byte, 100)...)
			s.get(s.server.seal(t, rtp.Packet{Header: rtp.Header{
				SequenceNumber: 77, Timestamp: s.time, SSRC: 2000 + slot, PayloadType: vp8 | repairs,
			}, Payload: payload}))
		}, client.SlotStats{Packets: 4, Frames: 2, Keyframes: 1, Missed: 1, Repaired: 1, NACKs: 1}},
		"of a stranger": {func(t *testing.T, s *stand) {
			f := s.frame(t, slot, 2, true)
			s.from = udp.AddrFrom(netip.MustParseAddrPort("127.0.0.1:10"))
			s.get(f...)
		}, client.SlotStats{}},
	} {
		for _, verified := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", verified"}[verified], func(t *testing.T) {
				told := uint64(0)
				var on func(client.Packet)
				if verified {
					on = func(client.Packet) { told++ }
				}
				s := newStand(t, on)
				tc.play(t, s)
				got := s.SlotStats()[slot]
				if verified && told != got.Packets {
					t.Errorf("told of %d packets, want %d", told, got.Packets)
				}
				got = client.SlotStats{
					Packets: got.Packets, Frames: got.Frames, Keyframes: got.Keyframes, Missed: got.Missed, Repaired: got.Repaired, NACKs: got.NACKs,
				}
				if got != tc.want {
					t.Errorf("counted %+v, want %+v", got, tc.want)
				}
			})
		}
	}
}

// TestEarlyPackets: what comes before the keys is told of by the reader, as what comes after them is, and in front of it.
func TestEarlyPackets(t *testing.T) {
	const slot = 5
	var told []uint16
	s := newStand(t, func(p client.Packet) { told = append(told, p.RTP.SequenceNumber) })
	k := s.keys
	s.keys = nil
	s.get(s.frame(t, slot, 2, true)...)
	s.unlock(k)
	if len(told) > 0 {
		t.Errorf("who joins tells of %v: the reader may be telling of later ones", told)
	}
	if now := time.Now().UnixNano(); s.due.Load() > now {
		t.Errorf("the reader is not called for %s", time.Duration(s.due.Load()-now))
	}
	s.get(s.frame(t, slot, 1, false)...)
	s.tend(time.Now())
	if want := []uint16{1, 2, 3}; !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}

// rounds are packets of all slots for a viewer that is not verified, which leaves them as they are: a keyframe each, and then
// enough rounds of frames.
func (s *stand) rounds(tb testing.TB, n int) (all [][]udp.Piece) {
	tb.Helper()
	for i := range n {
		var round []udp.Piece
		for slot := 3; slot < len(s.slots); slot++ {
			for _, b := range s.frame(tb, slot, 1, i == 0) {
				round = append(round, udp.Piece{B: b, Size: len(b), At: s.at + int64(i)*int64(33*time.Millisecond), From: s.from})
			}
		}
		all = append(all, round)
	}
	return all
}

func TestCountingDoesNotAllocate(t *testing.T) {
	s := newStand(t, nil)
	rounds := s.rounds(t, 202)
	s.receive(rounds[0])
	i := 0
	if n := testing.AllocsPerRun(200, func() {
		i++
		s.receive(rounds[i])
	}); n > 0 {
		t.Errorf("%v allocations for %d packets, want none", n, len(rounds[0]))
	}
	if got := sum(s.Viewer, "video"); got.Frames != 25*202 || got.Missed != 0 {
		t.Errorf("counted %+v", got)
	}
}

// BenchmarkCounting is the time that a packet takes once it has left the kernel, by a viewer of 25 pictures.
func BenchmarkCounting(b *testing.B) {
	s := newStand(b, nil)
	rounds := s.rounds(b, 2)
	s.receive(rounds[0])
	seq, packets := uint16(2), 0
	for b.Loop() {
		for i := range rounds[1] {
			binary.BigEndian.PutUint16(rounds[1][i].B[2:], seq)
		}
		s.receive(rounds[1])
		seq, packets = seq+1, packets+len(rounds[1])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
	if got := sum(s.Viewer, "video"); got.Packets != uint64(25+packets) || got.Missed > 0 {
		b.Errorf("counted %+v of %d", got, packets)
	}
}

// FuzzDatagram: whatever comes, from the node or from elsewhere, is counted or dropped.
func FuzzDatagram(f *testing.F) {
	s := newStand(f, nil)
	for _, b := range s.frame(f, 3, 2, true) {
		f.Add(b, true)
	}
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, false)
	f.Add([]byte{22, 254, 253, 0, 0}, true)
	f.Fuzz(func(t *testing.T, b []byte, verified bool) {
		var on func(client.Packet)
		if verified {
			on = func(client.Packet) {}
		}
		s := newStand(t, on)
		s.dtls = packetio.NewBuffer()
		defer s.dtls.Close()
		s.get(b, b)
		if got := sum(s.Viewer, "video").Packets + sum(s.Viewer, "audio").Packets; verified && got > 0 {
			t.Errorf("%d packets are authentic that nobody sealed", got)
		}
	})
}
