package node

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// witness is a subscriber that tells what it is given.
type witness struct {
	of   uint64
	note func(to uint64, l *layer, run []*packet.Packet)
}

func (w *witness) destination() uint64 { return w.of }

func (w *witness) forward(l *layer, run []*packet.Packet, _ *udp.Batch) int {
	w.note(w.of, l, run)
	return len(run)
}

func (*witness) wants(*published) wanted { return wanted{} }
func (*witness) waitsFor(*layer) bool    { return false }

// given is one call of forward.
type given struct {
	to    uint64
	layer *layer
	seqs  []uint16
}

// TestSpreadGivesEverybodyTheirs: whoever shows a layer gets all of its packets once, in order, and in one go with those of the room's
// other layers.
func TestSpreadGivesEverybodyTheirs(t *testing.T) {
	n := startNode(t)
	conn := openBatch(t)
	rapid.Check(t, func(t *rapid.T) {
		var got []given
		note := func(to uint64, l *layer, run []*packet.Packet) {
			g := given{to: to, layer: l}
			for _, p := range run {
				g.seqs = append(g.seqs, p.Sequence)
			}
			got = append(got, g)
		}
		layers := drawLayers(t, n, note)
		want := map[*layer][]uint16{}
		out := conn.NewBatch()
		for seq, of := range rapid.SliceOfN(rapid.IntRange(0, len(layers)-1), 0, 64).Draw(t, "packets") {
			l, p := layers[of], packet.Get()
			p.Sequence, p.Buf = uint16(seq), p.Buf[:rapid.IntRange(20, 1000).Draw(t, "size")]
			want[l] = append(want[l], p.Sequence)
			spreadOf(out).add(l, p)
		}
		if err := out.Flush(); err != nil {
			t.Fatal(err)
		}
		checkGiven(t, got, want)
		got = nil
		if err := out.Flush(); err != nil || len(got) != 0 {
			t.Fatalf("flushing again: %v, %v", got, err)
		}
	})
}

// drawLayers makes layers in two rooms, with subscribers attached in any order.
func drawLayers(t *rapid.T, n *Node, note func(uint64, *layer, []*packet.Packet)) (layers []*layer) {
	rooms := []*room{newRoom(n, "a"), newRoom(n, "b")}
	for range rapid.IntRange(1, 6).Draw(t, "layers") {
		in := rapid.IntRange(0, 1).Draw(t, "room")
		track := &published{room: rooms[in]}
		track.makeLayers([]string{""})
		for _, to := range rapid.SliceOfN(rapid.Uint64Range(1, 8), 0, 12).Draw(t, "destinations") {
			track.layers[0].attach(&witness{to*2 + uint64(in), note}) // nobody is in both rooms
		}
		layers = append(layers, track.layers[0])
	}
	return layers
}

// checkGiven compares with what was received, and says where a destination comes up twice in a room.
func checkGiven(t *rapid.T, got []given, want map[*layer][]uint16) {
	count := map[*layer]int{}
	over := map[uint64]bool{}
	for i, g := range got {
		if count[g.layer]++; !slices.Equal(g.seqs, want[g.layer]) {
			t.Errorf("%d was given %v of %v", g.to, g.seqs, want[g.layer])
		}
		if i > 0 && got[i-1].to != g.to {
			over[got[i-1].to] = true
		}
		if over[g.to] {
			t.Errorf("%d was given something again after others", g.to)
		}
	}
	for l, seqs := range want {
		if subs := len(*l.subs.Load()); count[l] != subs {
			t.Errorf("%d subscribers of %d were given %v", count[l], subs, seqs)
		}
	}
}

func openBatch(t *testing.T) *udp.Conn {
	t.Helper()
	c, err := udp.Listen(udp.Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
