package packet

import (
	"testing"
	"time"
)

// video returns a packet that looks like VP8 to the Rewriter; it owns no memory of the pool.
func video(ssrc uint32, seq uint16, ts uint32, arrival time.Duration, pic uint16, tl0 uint8) *Packet {
	return &Packet{
		Header:  Header{SSRC: ssrc, Sequence: seq, Timestamp: ts},
		Arrival: int64(arrival),
		VP8:     VP8{HasPictureID: true, Wide: true, PictureID: pic, HasTL0: true, TL0: tl0},
	}
}

func mustRewrite(t *testing.T, r *Rewriter, p *Packet) Out {
	t.Helper()
	out, ok := r.Rewrite(p)
	if !ok {
		t.Fatalf("packet %d refused", p.Sequence)
	}
	return out
}

func TestRewriterInOrder(t *testing.T) {
	var r Rewriter
	seq, ts, pic, tl0 := uint16(65500), uint32(1<<32-90_000), uint16(32_700), uint8(250)
	first := video(1, seq, ts, 0, pic, tl0)
	r.Switch(first, TimestampHint{ClockRate: 90000})
	before := mustRewrite(t, &r, first)
	if before.Timestamp != ts || before.PictureID != pic || before.TL0 != tl0 || before.Sequence >= maxStart {
		t.Errorf("first packet %+v", before)
	}
	for i := range uint16(300) { // over the wraps of all four
		seq, ts, pic, tl0 = seq+1, ts+3000, (pic+1)&0x7FFF, tl0+1
		out := mustRewrite(t, &r, video(1, seq, ts, 0, pic, tl0))
		if out.Sequence != before.Sequence+1 || out.Timestamp != before.Timestamp+3000 ||
			out.PictureID != (before.PictureID+1)&0x7FFF || out.TL0 != before.TL0+1 {
			t.Fatalf("packet %d: %+v behind %+v", i, out, before)
		}
		before = out
	}
}

// TestRewriterLayers: what frames, pictures of VP9 and their lowest layer count goes on with another source, and within one keeps its gaps, to which
// distances refer. Retransmissions have the same numbers.
func TestRewriterLayers(t *testing.T) {
	var r Rewriter
	structure := &Structure{}
	at := func(ssrc uint32, n uint16) *Packet {
		return &Packet{
			Header:     Header{SSRC: ssrc, Sequence: n, Timestamp: uint32(n) * 3000},
			VP9:        VP9{HasPictureID: true, Wide: true, PictureID: n & 0x7FFF, HasTL0: true, TL0: uint8(n)},
			Descriptor: Descriptor{Frame: n, Structure: structure},
		}
	}
	var last Out
	for ssrc, from := range []uint16{65_500, 30_000, 65_400, 100} {
		p := at(uint32(ssrc), from)
		r.Switch(p, TimestampHint{ClockRate: 90000})
		for i := range uint16(200) { // over the wraps of all
			p := at(uint32(ssrc), from+i)
			if i%5 == 3 {
				r.Skip(p)
				continue
			}
			out := mustRewrite(t, &r, p)
			step := uint16(1)
			if i%5 == 4 {
				step = 2
			}
			want := Out{
				Sequence: last.Sequence + 1, Timestamp: out.Timestamp,
				Frame: last.Frame + step, PictureID: (last.PictureID + step) & 0x7FFF, TL0: last.TL0 + uint8(step),
			}
			if again, ok := r.RewriteAgain(r.Generation(), p); !ok || again != out {
				t.Fatalf("%d of source %d: %+v, and then %+v", i, ssrc, out, again)
			}
			if last != (Out{}) && out != want {
				t.Fatalf("%d of source %d: %+v behind %+v", i, ssrc, out, last)
			}
			last = out
		}
	}
}

func TestRewriterHoles(t *testing.T) {
	var r Rewriter
	p := func(seq, pic uint16) *Packet { return video(1, seq, uint32(pic)*3000, 0, pic, 0) }
	r.Switch(p(10, 1), TimestampHint{})
	base := mustRewrite(t, &r, p(10, 1))
	r.Skip(p(11, 2))
	r.Skip(p(12, 2))
	if _, ok := r.Rewrite(p(13, 2)); ok {
		t.Error("the rest of a skipped picture passed")
	}
	check := func(what string, got Out, seq, pic uint16) {
		t.Helper()
		if got.Sequence-base.Sequence != seq || got.PictureID-base.PictureID != pic {
			t.Errorf("%s: seq +%d, picture +%d, want +%d, +%d", what,
				got.Sequence-base.Sequence, got.PictureID-base.PictureID, seq, pic)
		}
	}
	check("behind the skipped", mustRewrite(t, &r, p(14, 3)), 1, 1)
	check("behind a loss", mustRewrite(t, &r, p(17, 6)), 4, 4)
	r.Skip(p(18, 7))
	check("behind both", mustRewrite(t, &r, p(19, 8)), 5, 5)
	check("late", mustRewrite(t, &r, p(16, 5)), 3, 3)
	r.Skip(p(15, 4)) // too late to close its place
	check("in order again", mustRewrite(t, &r, p(20, 9)), 6, 6)
	for _, seq := range []uint16{10, 14, 16, 17, 19, 20} {
		if _, ok := r.Rewrite(p(seq, 9)); ok {
			t.Errorf("duplicate of %d passed", seq)
		}
	}
	if _, seq, ok := r.Source(base.Sequence + 2); !ok || seq != 15 {
		t.Errorf("the hole is for packet %d, %v, want 15", seq, ok)
	}
	if out, ok := r.RewriteAgain(1, p(15, 4)); !ok {
		t.Error("what came too late cannot be retransmitted")
	} else {
		check("what came too late", out, 2, 2)
	}
	r.Skip(p(21, 10))
	r.Skip(p(23, 10)) // between them one was lost, and is asked for: a picture of which nothing was sent cannot be completed
	if out, ok := r.RewriteAgain(1, p(22, 10)); !ok || !out.Empty || out.Sequence-base.Sequence != 7 {
		t.Errorf("a hole in a picture that was left out: %+v, %v", out, ok)
	}
	if _, _, ok := r.Source(base.Sequence + 8); ok {
		t.Error("the future has a source")
	}
}

func TestRewriterRefuses(t *testing.T) {
	var r Rewriter
	if _, ok := r.Rewrite(video(1, 1, 0, 0, 1, 1)); ok {
		t.Error("before the first switch")
	}
	r.Skip(video(1, 1, 0, 0, 1, 1))
	if _, _, ok := r.Source(0); ok {
		t.Error("source before the first switch")
	}
	r.Switch(video(1, 100, 0, 0, 1, 1), TimestampHint{})
	mustRewrite(t, &r, video(1, 100, 0, 0, 1, 1))
	if _, ok := r.Rewrite(video(1, 99, 0, 0, 0, 1)); ok {
		t.Error("from before the switch")
	}
	if _, ok := r.Rewrite(video(2, 101, 0, 0, 0, 1)); ok {
		t.Error("of another source")
	}
	r.Skip(video(2, 101, 0, 0, 0, 1))
	mustRewrite(t, &r, video(1, 102, 0, 0, 70, 1))
	if _, ok := r.Rewrite(video(1, 101, 0, 0, 3, 1)); ok {
		t.Error("of a picture too long ago to number")
	}
	mustRewrite(t, &r, video(1, 102+sentMemory, 0, 0, 71, 1))
	if _, ok := r.Rewrite(video(1, 101, 0, 0, 69, 1)); ok {
		t.Error("too old")
	}
}

func TestRewriterFarJump(t *testing.T) {
	var r Rewriter
	p := func(seq uint16) *Packet { return &Packet{Header: Header{Sequence: seq}} }
	r.Switch(p(65000), TimestampHint{})
	before := mustRewrite(t, &r, p(65000))
	after := mustRewrite(t, &r, p(4000))
	if got := after.Sequence - before.Sequence; got != 4536 {
		t.Errorf("sequence +%d, want +4536", got)
	}
	if late := mustRewrite(t, &r, p(3900)); after.Sequence-late.Sequence != 100 {
		t.Errorf("late: %d behind, want 100", after.Sequence-late.Sequence)
	}
	for _, seq := range []uint16{65001, 2000, 4000 - sentMemory} {
		if _, ok := r.Rewrite(p(seq)); ok {
			t.Errorf("packet %d passed, out of memory", seq)
		}
	}
}

func TestRewriterPictureRestart(t *testing.T) {
	narrow := func(seq, pic uint16) *Packet {
		p := video(1, seq, 0, 0, pic, 0)
		p.VP8.Wide = false
		return p
	}
	wide := func(seq, pic uint16) *Packet { return video(1, seq, 0, 0, pic, 0) }
	for name, tc := range map[string]struct {
		packets []*Packet
		steps   []uint16 // of the picture id, from the first on
	}{
		"7 bits wrap":      {[]*Packet{narrow(1, 126), narrow(2, 127), narrow(3, 0), narrow(4, 2)}, []uint16{0, 1, 2, 4}},
		"ids go back":      {[]*Packet{wide(1, 900), wide(2, 901), wide(3, 17), wide(4, 17), wide(5, 18)}, []uint16{0, 1, 2, 2, 3}},
		"ids widen":        {[]*Packet{narrow(1, 127), wide(2, 128), wide(3, 129)}, []uint16{0, 1, 2}},
		"late, wide again": {[]*Packet{wide(1, 5), wide(3, 7), wide(2, 6)}, []uint16{0, 2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Rewriter
			r.Switch(tc.packets[0], TimestampHint{})
			for i, p := range tc.packets {
				if out := mustRewrite(t, &r, p); out.PictureID-tc.packets[0].VP8.PictureID != tc.steps[i] {
					t.Errorf("packet %d: picture +%d, want +%d", i, out.PictureID-tc.packets[0].VP8.PictureID, tc.steps[i])
				}
			}
		})
	}
}

func TestRewriterSwitchTime(t *testing.T) {
	const rate = 90000
	for name, tc := range map[string]struct {
		hint    TimestampHint
		elapsed time.Duration
		want    uint32 // ticks from the last packet of the first source, which has timestamp 1000
	}{
		"by arrival":                {TimestampHint{ClockRate: rate}, 100 * time.Millisecond, 9000},
		"a day later":               {TimestampHint{ClockRate: rate}, 24 * time.Hour, uint32(24 * 3600 * rate % (1 << 32))},
		"at once":                   {TimestampHint{ClockRate: rate}, 0, rate / 50},
		"from the cache, backwards": {TimestampHint{ClockRate: rate}, -time.Second, rate / 50},
		"no rate":                   {TimestampHint{}, time.Second, 1},
		"aligned":                   {TimestampHint{ClockRate: rate, Aligned: true, Timestamp: 1000 + 2800}, 40 * time.Millisecond, 2800},
		"aligned to the same frame": {TimestampHint{ClockRate: rate, Aligned: true, Timestamp: 1000}, 40 * time.Millisecond, 1},
		"aligned to an older frame": {TimestampHint{ClockRate: rate, Aligned: true, Timestamp: 400}, 40 * time.Millisecond, 1},
		"aligned by a lie":          {TimestampHint{ClockRate: rate, Aligned: true, Timestamp: 1 << 30}, 40 * time.Millisecond, 3600},
		"aligned by an old lie":     {TimestampHint{ClockRate: rate, Aligned: true, Timestamp: 1 << 31}, 40 * time.Millisecond, 3600},
	} {
		t.Run(name, func(t *testing.T) {
			var r Rewriter
			first := video(1, 1, 1000, 0, 1, 1)
			r.Switch(first, TimestampHint{})
			a := mustRewrite(t, &r, first)
			second := video(2, 500, 777_777, tc.elapsed, 9, 9)
			r.Switch(second, tc.hint)
			b := mustRewrite(t, &r, second)
			if got := b.Timestamp - a.Timestamp; got != tc.want {
				t.Errorf("timestamp +%d, want +%d", got, tc.want)
			}
			if r.TimestampOffset() != b.Timestamp-second.Timestamp {
				t.Errorf("offset = %d", r.TimestampOffset())
			}
			if b.Sequence != a.Sequence+1 || b.PictureID != a.PictureID+1 || b.TL0 != a.TL0+1 || r.Generation() != 2 {
				t.Errorf("%+v behind %+v", b, a)
			}
		})
	}
}

// TestRewriterAlignedDoesNotDrift switches to and fro between two layers that tick alike, by turns to a frame already
// shown and to a fresh one: the pushes of the former must not add up.
func TestRewriterAlignedDoesNotDrift(t *testing.T) {
	var r Rewriter
	for i := range uint32(100) {
		ts, now := i/2*3000, time.Duration(i/2)*33*time.Millisecond
		p := video(i%3, uint16(i), ts, now, uint16(i), 0)
		r.Switch(p, TimestampHint{ClockRate: 90000, Aligned: true, Timestamp: ts})
		if out := mustRewrite(t, &r, p); out.Timestamp != ts+i%2 {
			t.Fatalf("frame %d: timestamp %d, want %d", i, out.Timestamp, ts+i%2)
		}
	}
}

func TestRewriterMemory(t *testing.T) {
	var r Rewriter
	type sent struct {
		gen uint32
		p   *Packet
		out Out
	}
	var all []sent
	for gen := range uint32(6) {
		for i := range uint16(200) {
			p := video(gen, 65500+i, uint32(i), time.Duration(gen)*time.Second, i, 0)
			if i == 0 {
				r.Switch(p, TimestampHint{ClockRate: 90000})
			}
			all = append(all, sent{r.Generation(), p, mustRewrite(t, &r, p)})
		}
	}
	for i, s := range all {
		known := i >= len(all)-4*200
		gen, seq, ok := r.Source(s.out.Sequence)
		if ok != known || ok && (gen != s.gen || seq != s.p.Sequence) {
			t.Fatalf("source of packet %d: %d, %d, %v", i, gen, seq, ok)
		}
		again, ok := r.RewriteAgain(s.gen, s.p)
		if recent := s.p.VP8.PictureID >= 200-pictureMemory; ok != (known && recent) || ok && again != s.out {
			t.Fatalf("packet %d again: %+v, %v, want %+v", i, again, ok, s.out)
		}
	}
	if _, ok := r.RewriteAgain(7, all[0].p); ok {
		t.Error("a generation to come")
	}
	if _, ok := r.RewriteAgain(0, all[0].p); ok {
		t.Error("generation 0")
	}
}

// TestRewriterSparse sends one packet in a hundred, so that the remembered outputs reach back over whole wraps of the
// input: no packet may be taken for the one a wrap before it.
func TestRewriterSparse(t *testing.T) {
	var r Rewriter
	audio := func(n int) *Packet { return &Packet{Header: Header{Sequence: uint16(n), Timestamp: uint32(n)}} }
	sent := make(map[int]Out)
	for n := range 200_000 {
		if n == 0 {
			r.Switch(audio(n), TimestampHint{})
		}
		if n%100 != 0 {
			r.Skip(audio(n))
			continue
		}
		sent[n] = mustRewrite(t, &r, audio(n))
		if len(sent) > 1 && sent[n].Sequence != sent[n-100].Sequence+1 {
			t.Fatalf("packet %d: a hole", n)
		}
		for _, age := range []int{100, 150, 32_700, 40_000, 60_000} {
			got, ok := r.RewriteAgain(1, audio(n-age))
			if known := age <= n && age < 1<<15 && age%100 == 0; ok != known || ok && got != sent[n-age] {
				t.Fatalf("packet %d at %d: %+v, %v", n-age, n, got, ok)
			}
		}
	}
}
