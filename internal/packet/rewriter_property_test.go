package packet

import (
	"testing"

	"pgregory.net/rapid"
)

// TestRewriterModel sends sources through a network that loses, reorders and duplicates, drops temporal layers and
// padding, switches at any time, and compares every answer with a model that keeps everything and counts it out anew.
func TestRewriterModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := new(model)
		for range rapid.IntRange(1, 6).Draw(t, "sources") {
			m.play(t, newFeed(t, uint32(m.gen+1)))
		}
	})
}

// fed is one packet with the numbers that its source would give it if none wrapped.
type fed struct {
	*Packet
	seq, picture int64
	drop         bool // its temporal layer is not forwarded, or it only pads
}

// newFeed returns the packets of one source in the order that the network delivers them.
func newFeed(t *rapid.T, ssrc uint32) []fed {
	seq := int64(rapid.Uint16().Draw(t, "first sequence"))
	picture := int64(rapid.Uint16Range(0, 0x7FFF).Draw(t, "first picture"))
	ts, tl0 := rapid.Uint32().Draw(t, "first timestamp"), rapid.Byte().Draw(t, "first tl0")
	wide := rapid.Bool().Draw(t, "wide")
	highestLayer := rapid.Uint8Range(0, 2).Draw(t, "highest layer")
	var sent []fed
	send := func(f fed, v VP8) {
		f.seq = seq
		f.Packet = &Packet{Header: Header{SSRC: ssrc, Sequence: uint16(seq), Timestamp: ts}, VP8: v}
		sent = append(sent, f)
		seq++
	}
	for range rapid.IntRange(1, 60).Draw(t, "pictures") {
		tid := rapid.SampledFrom([]uint8{0, 2, 1, 2}).Draw(t, "temporal layer")
		if tid == 0 {
			tl0++
		}
		v := VP8{HasPictureID: true, Wide: wide, PictureID: uint16(picture) & 0x7F, HasTL0: true, TL0: tl0, HasTID: true, TID: tid}
		if wide {
			v.PictureID = uint16(picture) & 0x7FFF
		}
		for range rapid.IntRange(1, 4).Draw(t, "packets") {
			send(fed{picture: picture, drop: tid > highestLayer}, v)
		}
		for range rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(t, "padding") {
			send(fed{drop: true}, VP8{})
		}
		picture, ts = picture+1, ts+3000
	}
	return network(t, sent)
}

// network loses, duplicates and delays.
func network(t *rapid.T, sent []fed) []fed {
	later := make(map[int][]fed)
	var delivered []fed
	for i := range len(sent) + 40 {
		delivered = append(delivered, later[i]...)
		if i >= len(sent) {
			continue
		}
		switch rapid.SampledFrom([]string{"", "", "", "", "", "", "lost", "late", "twice", "twice, late"}).Draw(t, "network") {
		case "":
			delivered = append(delivered, sent[i])
		case "late":
			at := i + rapid.IntRange(1, 40).Draw(t, "delay")
			later[at] = append(later[at], sent[i])
		case "twice":
			delivered = append(delivered, sent[i], sent[i])
		case "twice, late":
			at := i + rapid.IntRange(1, 40).Draw(t, "delay")
			delivered = append(delivered, sent[i])
			later[at] = append(later[at], sent[i])
		}
	}
	return delivered
}

// model remembers all there is to know about one Rewriter.
type model struct {
	r       Rewriter
	gen     int
	now     int64
	start   int64 // extended output number of the first packet of all
	nextSeq int64 // outputs so far: the next source starts there
	nextPic int64 // likewise, once pictured

	pictured bool
	lastTL0  uint8
	lastTS   uint32
	history  []sentPacket
}

type sentPacket struct {
	gen uint32
	fed fed
	out Out
	seq int64
}

// playing is the model of the present source.
type playing struct {
	first, highest fed            // by sequence number
	newest         int64          // picture
	gonePackets    map[int64]bool // skipped in time to leave no hole
	gonePictures   map[int64]bool
	firstPicture   int64
	pictured       bool
	done           map[int64]bool
	offset         uint32
	tl0            uint8
	tl0Known       bool
}

// play forwards what a source delivers from its first packet on.
func (m *model) play(t *rapid.T, delivered []fed) {
	if len(delivered) == 0 {
		return
	}
	m.now += rapid.Int64Range(0, 1e9).Draw(t, "pause")
	first := delivered[0]
	first.Arrival = m.now
	hint := TimestampHint{ClockRate: 90000, Aligned: rapid.Bool().Draw(t, "aligned"), Timestamp: rapid.Uint32().Draw(t, "hint")}
	m.r.Switch(first.Packet, hint)
	m.gen++
	s := &playing{first: first, done: map[int64]bool{}, gonePackets: map[int64]bool{}, gonePictures: map[int64]bool{}}
	s.offset = m.r.TimestampOffset()
	s.highest.seq = first.seq - 1
	if len(m.history) > 0 && TimestampDiff(first.Timestamp+s.offset, m.lastTS) <= 0 {
		t.Fatalf("time stands still at switch %d", m.gen)
	}
	for _, f := range delivered {
		m.now += 1e6
		f.Arrival = m.now
		if f.drop {
			m.skip(s, f)
		} else {
			m.forward(t, s, f)
		}
	}
	m.places(t, s)
	m.nextSeq = m.seqOf(s, s.highest.seq+1)
	if s.pictured {
		m.nextPic = m.pictureOf(s, s.newest+1)
	}
	m.remember(t)
}

// seqOf counts out the output of the input seq.
func (m *model) seqOf(s *playing, seq int64) int64 {
	out := m.nextSeq + seq - s.first.seq
	for gone := range s.gonePackets {
		if gone < seq {
			out--
		}
	}
	return out
}

func (m *model) pictureOf(s *playing, picture int64) int64 {
	out := m.nextPic + picture - s.firstPicture
	for gone := range s.gonePictures {
		if gone < picture {
			out--
		}
	}
	return out
}

// see notes the newest packet and picture, and whether f is among them.
func (m *model) see(s *playing, f fed) (newPacket, newPicture bool) {
	if newPacket = f.seq > s.highest.seq; newPacket {
		s.highest = f
	}
	if !f.VP8.HasPictureID {
		return newPacket, false
	}
	if !s.pictured {
		s.pictured, s.firstPicture, s.newest = true, f.picture, f.picture-1
		if !m.pictured {
			m.pictured, m.nextPic = true, int64(f.VP8.PictureID)
		}
	}
	if newPicture = f.picture > s.newest; newPicture {
		s.newest = f.picture
	}
	return newPacket, newPicture
}

func (m *model) skip(s *playing, f fed) {
	m.r.Skip(f.Packet)
	if f.seq < s.first.seq && !f.VP8.HasPictureID {
		return
	}
	newPacket, newPicture := m.see(s, f)
	if newPacket {
		s.gonePackets[f.seq] = true
	}
	if newPicture {
		s.gonePictures[f.picture] = true
	}
}

func (m *model) forward(t *rapid.T, s *playing, f fed) {
	out, ok := m.r.Rewrite(f.Packet)
	if want := f.seq >= s.first.seq && !s.done[f.seq]; ok != want {
		t.Fatalf("packet %d, first %d, done %v: ok = %v", f.seq, s.first.seq, s.done[f.seq], ok)
	}
	if !ok {
		return
	}
	s.done[f.seq] = true
	m.see(s, f)
	seq := m.seqOf(s, f.seq)
	if len(m.history) == 0 {
		m.start = int64(out.Sequence) - seq
	}
	if out.Sequence != uint16(m.start+seq) {
		t.Fatalf("packet %d of source %d: sequence %d, want %d", f.seq, m.gen, out.Sequence, uint16(m.start+seq))
	}
	if want := uint16(m.pictureOf(s, f.picture)) & 0x7FFF; out.PictureID != want {
		t.Fatalf("packet %d of source %d: picture %d, want %d", f.seq, m.gen, out.PictureID, want)
	}
	if out.Timestamp != f.Timestamp+s.offset {
		t.Fatalf("timestamp %d, want %d", out.Timestamp, f.Timestamp+s.offset)
	}
	m.checkTL0(t, s, f, out)
	m.history = append(m.history, sentPacket{uint32(m.gen), f, out, seq})
	if TimestampDiff(out.Timestamp, m.lastTS) > 0 || len(m.history) == 1 {
		m.lastTS = out.Timestamp
	}
}

func (m *model) checkTL0(t *rapid.T, s *playing, f fed, out Out) {
	if !s.tl0Known {
		s.tl0Known = true
		if len(m.history) > 0 {
			s.tl0 = m.lastTL0 + 1 - f.VP8.TL0
		} else {
			m.lastTL0 = f.VP8.TL0
		}
	}
	if out.TL0 != f.VP8.TL0+s.tl0 {
		t.Fatalf("tl0 %d, want %d", out.TL0, f.VP8.TL0+s.tl0)
	}
	if int8(out.TL0-m.lastTL0) > 0 {
		m.lastTL0 = out.TL0
	}
}

// remember asks for everything sent so far again.
func (m *model) remember(t *rapid.T) {
	used := make(map[int64]bool)
	for _, h := range m.history {
		if used[h.seq] {
			t.Fatalf("output %d sent twice", h.out.Sequence)
		}
		used[h.seq] = true
		if m.nextSeq-h.seq > sentMemory || int(h.gen)+sourceMemory <= m.gen {
			continue
		}
		gen, seq, ok := m.r.Source(h.out.Sequence)
		if !ok || gen != h.gen || seq != h.fed.Sequence {
			t.Fatalf("output %d comes from %d, %d, %v, want %d, %d", h.out.Sequence, gen, seq, ok, h.gen, h.fed.Sequence)
		}
		if again, ok := m.r.RewriteAgain(h.gen, h.fed.Packet); !ok || again != h.out {
			t.Fatalf("again: %+v, %v, want %+v", again, ok, h.out)
		}
	}
}

// places checks that every output number of the source leads back to its input, holes included.
func (m *model) places(t *rapid.T, s *playing) {
	for in := s.first.seq; in <= s.highest.seq; in++ {
		out := m.seqOf(s, in)
		if s.gonePackets[in] || len(m.history) == 0 {
			continue
		}
		gen, seq, ok := m.r.Source(uint16(m.start + out))
		if !ok || int(gen) != m.gen || seq != uint16(in) {
			t.Fatalf("output %d is for %d, %d, %v, want %d, %d", uint16(m.start+out), gen, seq, ok, m.gen, uint16(in))
		}
	}
}
