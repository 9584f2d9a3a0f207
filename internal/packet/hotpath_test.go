package packet

import (
	"testing"
	"time"
)

// hotPath is everything that happens to a packet between two sockets, one entry a function, over packets of one stream
// in order. Each entry returns a function that handles the n-th packet.
//
// TestHotPathAllocates holds all of them to no allocation, BenchmarkHotPath measures them.
func hotPath(tb testing.TB) map[string]func(n int) {
	var ext Extensions
	fill := func() {
		ext.Reset()
		ext.Add(3, []byte{0x12, 0x34})
		ext.Add(4, []byte("0"))
		ext.Add(10, []byte{0x80 | 30})
	}
	fill()
	payload := append([]byte{0x90, 0xE0, 0x85, 0x39, 7, 0x40}, make([]byte, 1100)...)
	base := build(tb, 1, 1, 5, &ext, payload)
	raw := base.Buf
	d, err := ParseVP8(payload)
	if err != nil {
		tb.Fatal(err)
	}
	at := func(p *Packet, n int) *Packet {
		p.SSRC, p.Sequence, p.Timestamp, p.Arrival = 5, uint16(n), uint32(n/3*3000), int64(n)*1e6
		p.VP8 = d
		p.VP8.PictureID, p.VP8.TL0 = uint16(n/3)&0x7FFF, uint8(n/3)
		return p
	}
	fresh := func() *Packet { return at(new(Packet), 0) }

	var h Header
	out := make([]byte, 0, MaxSize+MaxHeader)
	one := fresh()
	paths := map[string]func(n int){
		"Header.Parse":     func(int) { _ = h.Parse(raw) },
		"Header.Extension": func(int) { h.Extension(raw, 10) },
		"AppendHeader": func(n int) {
			fill()
			out = AppendHeader(out[:0], true, 96, uint16(n), uint32(n), 5, &ext)
		},
		"ParseVP8":     func(int) { _, _ = ParseVP8(payload) },
		"RewriteVP8":   func(n int) { RewriteVP8(out[:cap(out)], payload, &d, uint16(n), uint8(n)) },
		"H264Keyframe": func(int) { H264Keyframe(payload) },
		"Get+Release":  func(int) { Get().Release() },
		"UnwrapRTX": func(int) {
			one.Buf = append(one.memory[:0], raw...)
			_ = one.Unmarshal()
			_ = UnwrapRTX(one, 6, 97)
		},
	}
	addStreams(paths, at, fresh)
	addScalable(paths)
	return paths
}

// addStreams adds the parts that remember the packets before.
func addStreams(paths map[string]func(n int), at func(*Packet, int) *Packet, fresh func() *Packet) {
	rewrite := fresh()
	var all Rewriter
	all.Switch(rewrite, TimestampHint{ClockRate: 90000})
	paths["Rewriter.Rewrite"] = func(n int) { all.Rewrite(at(rewrite, n)) }

	var asked Rewriter
	ask := fresh()
	asked.Switch(ask, TimestampHint{ClockRate: 90000})
	paths["Rewriter, every 8th asked again"] = func(n int) {
		out, _ := asked.Rewrite(at(ask, n))
		if n%8 == 7 {
			gen, seq, _ := asked.Source(out.Sequence - 5)
			at(ask, n-5).Sequence = seq
			asked.RewriteAgain(gen, ask)
		}
	}

	var skipping Rewriter
	skip := fresh()
	skipping.Switch(skip, TimestampHint{ClockRate: 90000})
	paths["Rewriter, every 2nd picture skipped"] = func(n int) {
		if at(skip, n); n/3%2 == 1 {
			skipping.Skip(skip)
		} else {
			skipping.Rewrite(skip)
		}
	}

	cache := NewCache(512)
	paths["Cache.Put+Get"] = func(n int) {
		p := Get()
		p.Sequence = uint16(n)
		cache.Put(p)
		p.Release()
		if p := cache.Get(uint16(n - 100)); p != nil {
			p.Release()
		}
	}

	var loss Loss
	due := make([]uint16, 0, lossBound)
	paths["Loss, every 16th lost"] = func(n int) {
		now := int64(n) * 1e6
		if n%16 != 0 {
			loss.Received(uint16(n), now)
		}
		if n%10 == 0 {
			due = loss.Due(now, 50*time.Millisecond, due[:0])
		}
	}

	var reception Reception
	h := Header{}
	paths["Reception.Update"] = func(n int) {
		h.Sequence, h.Timestamp = uint16(n), uint32(n*960)
		reception.Update(&h, int64(n)*20*ms, 48000)
	}

	addSpeakers(paths)
}

func addSpeakers(paths map[string]func(n int)) {
	var speakers Speakers
	ids := []string{"pt_a", "pt_b", "pt_c", "pt_d", "pt_e"}
	paths["Speakers.Update"] = func(n int) {
		speakers.Update(ids[n%len(ids)], uint8(n%127), true, int64(n)*ms)
	}
	var asked Speakers
	paths["Speakers.Order+Loudest of 5"] = func(n int) {
		now := int64(n) * ms
		asked.Update(ids[n%len(ids)], uint8(n*37%127), true, now)
		asked.Order(now)
		asked.Loudest(3, now)
	}
}

func TestHotPathAllocates(t *testing.T) {
	for name, f := range hotPath(t) {
		t.Run(name, func(t *testing.T) {
			n := 0
			for ; n < 2000; n++ { // fill what is filled once
				f(n)
			}
			if allocs := testing.AllocsPerRun(2000, func() { f(n); n++ }); allocs != 0 {
				t.Errorf("%v allocations a packet", allocs)
			}
		})
	}
}

func BenchmarkHotPath(b *testing.B) {
	for name, f := range hotPath(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				f(n)
				n++
			}
		})
	}
}
