package packet

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func anyEncoder(t *rapid.T) *encoder {
	e := &encoder{
		spatial: rapid.IntRange(1, 3).Draw(t, "spatial"), temporal: rapid.IntRange(1, 3).Draw(t, "temporal"),
		keyOnly: rapid.Bool().Draw(t, "key only"), every: rapid.IntRange(1, 3).Draw(t, "every"), from: rapid.Uint16().Draw(t, "from"),
	}
	e.keys = rapid.SliceOfN(rapid.IntRange(1, 80), 0, 3).Draw(t, "keys")
	return e
}

// TestDescriptorReader reads what an encoder wrote: every field comes back.
func TestDescriptorReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEncoder(t)
		e.encode(90)
		var r DescriptorReader
		var d Descriptor
		for i := range e.frames {
			f := &e.frames[i]
			start, end := rapid.Bool().Draw(t, "start"), rapid.Bool().Draw(t, "end")
			if f.key {
				start = true
			}
			if err := r.Read(e.describe(f, start, end), &d); err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
			if d.Start != start || d.End != end || d.Frame != f.number || int(d.Spatial) != f.spatial || int(d.Temporal) != f.temporal {
				t.Fatalf("frame %d: %+v", i, d)
			}
			if d.Attached != (f.key && f.spatial == 0) || d.Active != 1<<(e.spatial*e.temporal)-1 {
				t.Fatalf("frame %d: attached %v, active %b", i, d.Attached, d.Active)
			}
			var diffs []int
			for _, diff := range d.Diffs() {
				diffs = append(diffs, int(diff))
			}
			if !slices.Equal(diffs, e.diffs(f)) {
				t.Fatalf("frame %d: diffs %v, want %v", i, diffs, e.diffs(f))
			}
			for target, want := range f.indications {
				chain, ok := d.ChainDiff(target)
				if d.Indication(target) != want || !ok || int(chain) != f.chains[target/e.temporal] {
					t.Fatalf("frame %d, target %d: %v, chain %v", i, target, d.Indication(target), chain)
				}
				s, tid := d.Structure.Layers(target)
				if int(s) != target/e.temporal || int(tid) != target%e.temporal {
					t.Fatalf("target %d is layers %d, %d", target, s, tid)
				}
			}
		}
		if size := d.Structure.Sizes[e.spatial-1]; size != (Size{320 << (e.spatial - 1), 180 << (e.spatial - 1)}) {
			t.Fatalf("size %v", size)
		}
	})
}

// written spells out a descriptor: pairs of a value and its width.
func written(pairs ...int) []byte {
	w := new(bitWriter)
	for i := 0; i < len(pairs); i += 2 {
		w.bits(uint64(pairs[i]), pairs[i+1])
	}
	return w.b
}

// smallest is the structure of a stream without layers: one target, one template, one chain.
func smallest(offset int) []int {
	return []int{offset, 6, 0, 5, 3, 2, 2, 2, 0, 1, 1, 1, 0, 4, 0, 1}
}

func TestDescriptorFaults(t *testing.T) {
	key := written(append([]int{1, 1, 1, 1, 7, 6, 100, 16, 1, 1, 0, 4}, smallest(7)...)...)
	var r DescriptorReader
	var d Descriptor
	for _, tc := range []struct {
		name string
		ext  []byte
		err  error
	}{
		{"nothing", nil, ErrDescriptor},
		{"too short", []byte{0, 0}, ErrDescriptor},
		{"before the structure", []byte{0xC7, 0, 99}, ErrNoStructure},
		{"a structure cut off", key[:5], ErrDescriptor},
		{"a keyframe", key, nil},
		{"its template", []byte{0xC7, 0, 101}, nil},
		{"another template", []byte{0xC8, 0, 102}, ErrDescriptor},
		{"more references than any codec has", written(1, 1, 1, 1, 7, 6, 103, 16, 0, 3, 1, 1, 0, 1,
			1, 2, 0, 4, 1, 2, 0, 4, 1, 2, 0, 4, 1, 2, 0, 4, 1, 2, 0, 4, 1, 2, 0, 4, 1, 2, 0, 4, 1, 2, 0, 4, 1, 2, 0, 4, 0, 2), ErrDescriptor},
		{"differences without an end", written(1, 1, 1, 1, 7, 6, 103, 16, 0, 3, 1, 1, 0, 1, 3, 2), ErrDescriptor},
		{"too many spatial layers", written(append([]int{1, 1, 1, 1, 7, 6, 100, 16, 1, 1, 0, 4, 7, 6, 0, 5}, slices.Repeat([]int{2, 2}, 40)...)...), ErrDescriptor},
		{"no end of templates", written(append([]int{1, 1, 1, 1, 7, 6, 100, 16, 1, 1, 0, 4, 7, 6, 0, 5}, slices.Repeat([]int{0, 2}, 99)...)...), ErrDescriptor},
	} {
		if err := r.Read(tc.ext, &d); !errors.Is(err, tc.err) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.err)
		}
	}
}

// TestDescriptorOrder: what comes late brings neither an older structure nor an older choice of targets back.
func TestDescriptorOrder(t *testing.T) {
	key := func(frame, offset int) []byte {
		return written(append([]int{1, 1, 1, 1, offset, 6, frame, 16, 1, 1, 0, 4}, smallest(offset)...)...)
	}
	active := func(frame, mask int) []byte {
		return written(1, 1, 1, 1, 9, 6, frame, 16, 0, 1, 1, 1, 0, 3, mask, 1)
	}
	var r DescriptorReader
	var d Descriptor
	read := func(ext []byte) *Descriptor {
		t.Helper()
		if err := r.Read(ext, &d); err != nil {
			t.Fatal(err)
		}
		return &d
	}
	read(key(65530, 7))
	first := d.Structure
	if read(key(65533, 7)); d.Structure != first {
		t.Error("the same structure is another one")
	}
	read(key(3, 9))
	second := d.Structure
	read(key(65535, 7))
	if read([]byte{0xC9, 0, 4}); d.Structure != second || d.Active != 1 {
		t.Error("an older structure came back")
	}
	read(active(6, 0))
	read(active(5, 1))
	if read([]byte{0xC9, 0, 7}); d.Active != 0 {
		t.Error("an older choice of targets came back")
	}
}

func FuzzDescriptor(f *testing.F) {
	e := &encoder{spatial: 2, temporal: 2, every: 2}
	e.encode(8)
	for i := range e.frames {
		f.Add(e.describe(&e.frames[0], true, false), e.describe(&e.frames[i], true, true))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var r DescriptorReader
		var s Selector
		for n, ext := range [][]byte{first, second, first} {
			var d Descriptor
			if r.Read(ext, &d) != nil {
				continue
			}
			if d.Structure == nil || d.Spatial >= MaxSpatial || len(d.Diffs()) > maxDiffs || d.Structure.Targets > maxTargets {
				t.Fatalf("%+v", d)
			}
			if target, ok := d.Structure.Target(1, 1, d.Active); ok && target >= d.Structure.Targets {
				t.Fatalf("target %d", target)
			}
			s.Want(d.Spatial, d.Temporal)
			if forward, _ := s.Select(&Header{Sequence: uint16(n)}, &d); s.LeftOut(&d) == forward {
				t.Fatalf("forwarded %v, and left out likewise", forward)
			}
			s.Lacks()
			if spatial, _ := d.Top(); spatial >= MaxSpatial || d.Serves()>>MaxSpatial != 0 {
				t.Fatalf("layers up to %d, of use to %b", spatial, d.Serves())
			}
		}
	})
}
