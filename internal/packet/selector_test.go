package packet

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// viewing is one viewer's selector of any sort over an encoder's stream.
type viewing struct {
	e       *encoder
	want    func(spatial, temporal int)
	current func() (spatial, temporal int)
	// take selects one packet of a frame.
	take func(h *Header, f *coded, start, end bool) (forward, marker bool)
}

// byDescriptor, byVP9 and byVP8 read the same stream as different codecs tell of it.
func byDescriptor(t *rapid.T, e *encoder) *viewing {
	var s Selector
	var r DescriptorReader
	return &viewing{
		e:    e,
		want: func(spatial, temporal int) { s.Want(uint8(spatial), uint8(temporal)) },
		current: func() (int, int) {
			spatial, temporal, _ := s.Current()
			return int(spatial), int(temporal)
		},
		take: func(h *Header, f *coded, start, end bool) (bool, bool) {
			var d Descriptor
			if err := r.Read(e.describe(f, start, end), &d); err != nil {
				t.Fatal(err)
			}
			return s.Select(h, &d)
		},
	}
}

func byVP9(_ *rapid.T, e *encoder) *viewing {
	var s VP9Selector
	return &viewing{
		e:    e,
		want: func(spatial, temporal int) { s.Want(uint8(spatial), uint8(temporal)) },
		current: func() (int, int) {
			spatial, temporal := s.Current()
			return int(spatial), int(temporal)
		},
		take: func(h *Header, f *coded, start, end bool) (bool, bool) {
			return s.Select(h, &VP9{
				Start: start, End: end, Inter: !f.key, HasLayers: true, TID: uint8(f.temporal), SID: uint8(f.spatial),
				SwitchUp: f.switchUp || f.key, InterLayer: f.spatial > 0 && (f.key || !e.keyOnly),
			})
		},
	}
}

func byVP8(_ *rapid.T, e *encoder) *viewing {
	var s TemporalSelector
	e.spatial = 1
	return &viewing{
		e:       e,
		want:    func(_, temporal int) { s.Want(uint8(temporal)) },
		current: func() (int, int) { return 0, int(s.Current()) },
		take: func(h *Header, f *coded, start, _ bool) (bool, bool) {
			forward := s.Select(h, &VP8{Start: start, Keyframe: start && f.key, HasTID: true, TID: uint8(f.temporal), Sync: f.sync})
			return forward, h.Marker
		},
	}
}

// sentFrame is a packet with what it is of.
type sentFrame struct {
	Header
	place      int
	start, end bool
}

// packets cuts the stream into one to three packets a frame.
func (v *viewing) packets(t *rapid.T, pictures int) (all []sentFrame) {
	seq := rapid.Uint16().Draw(t, "seq")
	for place := range v.e.encode(pictures) {
		f := &v.e.frames[place]
		n := rapid.IntRange(1, 3).Draw(t, "packets")
		for i := range n {
			h := Header{Sequence: seq, Timestamp: uint32(f.picture * 3000), Marker: f.last && i == n-1}
			all = append(all, sentFrame{h, place, i == 0, i == n-1})
			seq++
		}
	}
	return all
}

func selectors() map[string]func(*rapid.T, *encoder) *viewing {
	return map[string]func(*rapid.T, *encoder) *viewing{"descriptor": byDescriptor, "VP9": byVP9, "VP8": byVP8}
}

// TestSelectorsDecodable lets a viewer change their mind at any time: all that a forwarded frame needs was forwarded in front
// of it, frames are forwarded whole, and each picture ends with its one marker bit. Nothing is forwarded above what is
// wanted from the next picture on, where the stream allows that.
func TestSelectorsDecodable(t *testing.T) {
	for name, view := range selectors() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				v := view(t, anyEncoder(t))
				forwarded := map[int]bool{}
				spatial, temporal, picture, begun, ended := 2, 2, -1, false, false
				v.want(spatial, temporal)
				for _, p := range v.packets(t, 60) {
					f := &v.e.frames[p.place]
					if rapid.IntRange(0, 15).Draw(t, "change") == 0 {
						spatial, temporal = rapid.IntRange(0, 2).Draw(t, "spatial"), rapid.IntRange(0, 2).Draw(t, "temporal")
						v.want(spatial, temporal)
					}
					if f.picture != picture {
						if begun && !ended {
							t.Fatalf("picture %d has no end", picture)
						}
						picture, begun, ended = f.picture, false, false
					}
					forward, marker := v.take(&p.Header, f, p.start, p.end)
					atOnce := name != "descriptor" || !v.e.keyOnly
					if s, tid := v.current(); p.start && f.spatial == 0 && atOnce && (s > spatial || tid > temporal) {
						t.Fatalf("at picture %d still shows %d, %d, wanted %d, %d", picture, s, tid, spatial, temporal)
					}
					if was := forwarded[p.place]; !p.start && was != forward {
						t.Fatalf("frame %d is not whole", p.place)
					}
					if !forward {
						continue
					}
					if ended {
						t.Fatalf("picture %d goes on behind its end", picture)
					}
					begun, ended = true, marker
					forwarded[p.place] = true
					for _, ref := range f.refs {
						if !forwarded[ref] {
							t.Fatalf("frame %d (%d, %d) refers to %d, which was left out", p.place, f.spatial, f.temporal, ref)
						}
					}
				}
			})
		})
	}
}

// TestSelectorsArrive: a viewer who stays with what they want gets it behind the next keyframe, and what is left out on
// a lower layer is left out as a whole.
func TestSelectorsArrive(t *testing.T) {
	for name, view := range selectors() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				e := anyEncoder(t)
				v := view(t, e)
				e.keys = []int{30}
				spatial, temporal := rapid.IntRange(0, e.spatial-1).Draw(t, "spatial"), rapid.IntRange(0, e.temporal-1).Draw(t, "temporal")
				v.want(rapid.IntRange(0, 2).Draw(t, "first spatial"), rapid.IntRange(0, 2).Draw(t, "first temporal"))
				for _, p := range v.packets(t, 60) {
					f := &v.e.frames[p.place]
					if f.picture == 15 {
						v.want(spatial, temporal)
					}
					forward, _ := v.take(&p.Header, f, p.start, p.end)
					// Temporal layers need no keyframe: the stream has places to switch up at. VP8 climbs them one by one.
					if s, tid := v.current(); name != "VP8" && f.picture == 29 && f.spatial == 0 && s == spatial && tid != temporal {
						t.Fatalf("shows %d, %d, wanted %d, %d", s, tid, spatial, temporal)
					}
					if f.picture < 31 {
						continue
					}
					want := f.spatial <= spatial && f.temporal <= temporal
					if name == "descriptor" {
						want = f.indications[spatial*e.temporal+temporal] != Absent
					}
					if forward != want {
						t.Fatalf("frame %d (%d, %d) forwarded: %v", p.place, f.spatial, f.temporal, forward)
					}
				}
			})
		})
	}
}

// TestSelectorsLoss: over a network that loses and reorders, frames still share one fate, and no frame is forwarded after one
// it refers to was left out, as far as that had come.
func TestSelectorsLoss(t *testing.T) {
	for name, view := range selectors() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				v := view(t, anyEncoder(t))
				v.want(2, 2)
				packets := v.packets(t, 60)
				for i := len(packets) - 1; i > 3; i-- { // the first packets come, or nothing begins
					switch rapid.IntRange(0, 9).Draw(t, "network") {
					case 0:
						packets = slices.Delete(packets, i, i+1)
					case 1:
						to := min(i+rapid.IntRange(1, 12).Draw(t, "late"), len(packets)-1)
						p := packets[i]
						packets = slices.Insert(slices.Delete(packets, i, i+1), to, p)
					}
				}
				fate := map[int]bool{}
				for _, p := range packets {
					f := &v.e.frames[p.place]
					if rapid.IntRange(0, 15).Draw(t, "change") == 0 {
						v.want(rapid.IntRange(0, 2).Draw(t, "spatial"), rapid.IntRange(0, 2).Draw(t, "temporal"))
					}
					forward, _ := v.take(&p.Header, f, p.start, p.end)
					was, known := fate[p.place]
					if known && was != forward {
						t.Fatalf("frame %d (%d, %d) is not whole", p.place, f.spatial, f.temporal)
					}
					fate[p.place] = forward
					for _, ref := range f.refs {
						if sent, came := fate[ref]; forward && !known && came && !sent {
							t.Fatalf("frame %d (%d, %d) refers to %d, which was left out", p.place, f.spatial, f.temporal, ref)
						}
					}
				}
			})
		})
	}
}

// TestSelectorKeyframeLost: where the first frame of a later keyframe is lost, those that refer to it are forwarded all the same: it will be asked for.
func TestSelectorKeyframeLost(t *testing.T) {
	e := &encoder{spatial: 3, temporal: 1, keyOnly: true, every: 1, keys: []int{4}}
	e.encode(6)
	var s Selector
	var r DescriptorReader
	s.Want(2, 2)
	take := func(place int) bool {
		f := &e.frames[place]
		var d Descriptor
		if err := r.Read(e.describe(f, true, true), &d); err != nil {
			t.Fatal(err)
		}
		forward, _ := s.Select(&Header{Sequence: uint16(place), Timestamp: uint32(f.picture)}, &d)
		return forward
	}
	for place := range 12 {
		take(place)
	}
	for _, place := range []int{13, 14, 12, 17} {
		if !take(place) {
			t.Errorf("frame %d was left out", place)
		}
	}
}
