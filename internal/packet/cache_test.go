package packet

import (
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// stored returns a packet for caches. The caller holds it.
func stored(seq uint16) *Packet {
	p := Get()
	p.Sequence = seq
	return p
}

func put(c *Cache, seqs ...uint16) {
	for _, seq := range seqs {
		p := stored(seq)
		c.Put(p)
		p.Release()
	}
}

func from(c *Cache, seq uint16) (seqs []uint16) {
	c.EachFrom(seq, func(p *Packet) bool {
		seqs = append(seqs, p.Sequence)
		return true
	})
	return seqs
}

func TestCacheWindow(t *testing.T) {
	for name, tc := range map[string]struct {
		put  []uint16
		want []uint16
	}{
		"nothing":               {nil, nil},
		"in order":              {[]uint16{1, 2, 3}, []uint16{1, 2, 3}},
		"out of order":          {[]uint16{3, 1, 2}, []uint16{1, 2, 3}},
		"over a wrap":           {[]uint16{65535, 1, 0}, []uint16{65535, 0, 1}},
		"the oldest falls out":  {[]uint16{1, 2, 3, 4, 5, 6, 7, 8, 9}, []uint16{2, 3, 4, 5, 6, 7, 8, 9}},
		"a gap pushes them out": {[]uint16{1, 2, 3, 9}, []uint16{2, 3, 9}},
		"a jump clears":         {[]uint16{1, 2, 3, 1000}, []uint16{1000}},
		"too old":               {[]uint16{10, 2}, []uint16{10}},
		"just not too old":      {[]uint16{10, 3}, []uint16{3, 10}},
		"twice":                 {[]uint16{1, 1, 2}, []uint16{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCache(7) // rounded up to 8
			defer c.Close()
			put(c, tc.put...)
			if got := from(c, 60_000); !slices.Equal(got, tc.want) {
				t.Errorf("cached = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestCacheReferences(t *testing.T) {
	c := NewCache(4)
	var all []*Packet
	for seq := range uint16(10) {
		p := stored(seq)
		if !c.Put(p) || c.Put(p) {
			t.Errorf("packet %d: want it stored once", seq)
		}
		all = append(all, p)
	}
	got := c.Get(8)
	if got != all[8] || got.refs.Load() != 3 {
		t.Fatalf("got %v", got)
	}
	got.Release()
	if !c.Has(8) || c.Has(5) {
		t.Error("has not what it stores, or has what it does not")
	}
	if p := c.Get(5); p != nil {
		t.Error("packet 5 is still there")
	}
	c.Close()
	if c.Put(all[9]) || c.Get(9) != nil || from(c, 0) != nil {
		t.Error("a closed cache has packets")
	}
	for seq, p := range all {
		if n := p.refs.Load(); n != 1 {
			t.Errorf("packet %d has %d references", seq, n)
		}
		p.Release()
	}
}

func TestCacheKeyframe(t *testing.T) {
	key := func(c *Cache, seq uint16, ts uint32) {
		p := stored(seq)
		p.Timestamp, p.Keyframe, p.StartOfFrame = ts, true, true
		c.Put(p)
		p.Release()
	}
	for name, tc := range map[string]struct {
		fill func(*Cache)
		want uint16
		ok   bool
	}{
		"none":                      {func(c *Cache) { put(c, 1, 2) }, 0, false},
		"one":                       {func(c *Cache) { put(c, 1); key(c, 2, 9); put(c, 3) }, 2, true},
		"two":                       {func(c *Cache) { key(c, 2, 9); put(c, 3); key(c, 5, 10) }, 5, true},
		"the older one late":        {func(c *Cache) { key(c, 5, 10); key(c, 2, 9) }, 5, true},
		"two starts of one":         {func(c *Cache) { key(c, 2, 9); key(c, 3, 9) }, 2, true},
		"two starts, reordered":     {func(c *Cache) { key(c, 3, 9); key(c, 2, 9) }, 2, true},
		"fallen out":                {func(c *Cache) { key(c, 2, 9); put(c, 10) }, 0, false},
		"fallen out, another since": {func(c *Cache) { key(c, 2, 9); put(c, 10); key(c, 11, 30) }, 11, true},
		"cleared by a jump":         {func(c *Cache) { key(c, 2, 9); put(c, 2000) }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCache(8)
			defer c.Close()
			tc.fill(c)
			seq, ok := c.LastKeyframe()
			if ok != tc.ok || ok && seq != tc.want {
				t.Errorf("keyframe at %d, %v, want %d, %v", seq, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestCacheExpire(t *testing.T) {
	c := NewCache(16)
	defer c.Close()
	for seq := range uint16(6) {
		p := stored(seq)
		p.Arrival = int64(seq) * 10
		p.Keyframe, p.StartOfFrame = seq == 1, seq == 1
		c.Put(p)
		p.Release()
	}
	c.Expire(30)
	if got := from(c, 0); !slices.Equal(got, []uint16{3, 4, 5}) {
		t.Errorf("left %v", got)
	}
	if _, ok := c.LastKeyframe(); ok {
		t.Error("the keyframe is still there")
	}
	c.Expire(1000)
	put(c, 6)
	if got := from(c, 0); !slices.Equal(got, []uint16{6}) {
		t.Errorf("then %v", got)
	}
	put(c, 2) // retransmitted though it was here: forwarding it again would seal its number twice
	if got := from(c, 0); !slices.Equal(got, []uint16{6}) {
		t.Errorf("at last %v", got)
	}
}

func TestCacheTakesWhatWasMissingWhenItsElderExpired(t *testing.T) {
	c := NewCache(16)
	defer c.Close()
	for seq, arrival := range map[uint16]int64{1: 0, 3: 100} {
		p := stored(seq)
		p.Arrival = arrival
		c.Put(p)
		p.Release()
	}
	c.Expire(50)
	put(c, 2)
	if got := from(c, 0); !slices.Equal(got, []uint16{2, 3}) {
		t.Errorf("left %v", got)
	}
}

// TestCacheTakesNoNumberTwice: whatever is put, expires and wraps, a number is taken once in each turn of the circle.
func TestCacheTakesNoNumberTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCache(16)
		defer c.Close()
		taken := map[int64]bool{}
		var unwrap Unwrapper
		at, now := rapid.Uint16().Draw(t, "first"), int64(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now++
			if rapid.IntRange(0, 4).Draw(t, "expire") == 0 {
				c.Expire(now - int64(rapid.IntRange(0, 10).Draw(t, "age")))
				continue
			}
			at += rapid.SampledFrom([]uint16{1, 1, 1, 2, 5, 20, 0xffff, 0xfffc, 0xfff0}).Draw(t, "step")
			p := stored(at)
			p.Arrival = now
			ok := c.Put(p)
			p.Release()
			number := unwrap.Unwrap(at)
			if ok && taken[number] {
				t.Fatalf("%d was taken twice", number)
			}
			taken[number] = taken[number] || ok
		}
	})
}

func TestCacheEachFromStops(t *testing.T) {
	c := NewCache(16)
	defer c.Close()
	put(c, 1, 2, 3)
	n := 0
	c.EachFrom(2, func(p *Packet) bool {
		n++
		put(c, 4) // f may use the cache
		return p.Sequence < 3
	})
	if n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// TestCacheModel compares with a map that forgets by the same rule.
func TestCacheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 16
		c := NewCache(size)
		defer c.Close()
		model := make(map[int64]*Packet)
		highest := int64(rapid.Uint16().Draw(t, "start")) + 1<<20
		first := true
		for range 150 {
			seq := highest + rapid.Int64Range(-20, 6).Draw(t, "step")
			if rapid.IntRange(0, 30).Draw(t, "jump") == 0 {
				seq += rapid.Int64Range(0, 32_000).Draw(t, "far")
			}
			p := stored(uint16(seq))
			if first || seq > highest {
				first, highest = false, seq
			}
			want := model[seq] == nil && highest-seq < size
			if got := c.Put(p); got != want {
				t.Fatalf("put %d: %v, want %v", seq, got, want)
			}
			if want {
				model[seq] = p
			}
			p.Release()
			for seq := highest - size*2; seq <= highest; seq++ {
				want := model[seq]
				if highest-seq >= size {
					want = nil
				}
				got := c.Get(uint16(seq))
				if got != want {
					t.Fatalf("get %d: %v, want %v", seq, got, want)
				}
				if got != nil {
					got.Release()
				}
			}
		}
	})
}

func TestCacheConcurrent(t *testing.T) {
	c := NewCache(64)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 5000 {
				if p := c.Get(uint16(i)); p != nil {
					if p.Sequence != uint16(i) {
						t.Errorf("packet %d for %d", p.Sequence, i)
					}
					p.Release()
				}
				c.LastKeyframe()
			}
		})
	}
	for seq := range uint16(5000) {
		put(c, seq)
	}
	wg.Wait()
	c.Close()
}
