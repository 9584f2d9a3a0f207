package packet

import "slices"

// bitWriter is the other end of bitReader.
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) bits(v uint64, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
}

func (w *bitWriter) flag(v bool) {
	if v {
		w.bits(1, 1)
	} else {
		w.bits(0, 1)
	}
}

func (w *bitWriter) nonSymmetric(v, n int) {
	width := 0
	for 1<<width <= n {
		width++
	}
	if few := 1<<width - n; v < few {
		w.bits(uint64(v), width-1)
	} else {
		w.bits(uint64(v+few), width)
	}
}

// coded is one layer frame that an encoder has made, and what it truly needs.
type coded struct {
	number            uint16
	picture           int
	spatial, temporal int
	key               bool  // of a keyframe picture
	refs              []int // places in the stream
	sync              bool  // refers to the lowest temporal layer only
	switchUp          bool  // later pictures of higher temporal layers refer to nothing in front of this one
	indications       []Indication
	chains            []int
	last              bool // of its picture
}

// encoder makes scalable streams: up to three spatial by three temporal layers, whose upper spatial layers refer to the
// lower ones in each picture or, with keyOnly, in keyframes only. Frames of upper temporal layers refer to the one before of
// their layer too, but for one cycle in every.
type encoder struct {
	spatial, temporal int
	keyOnly           bool
	every             int
	from              uint16 // number of the first frame
	keys              []int  // pictures that are keyframes

	frames []coded
	chain  []int   // place of the last frame of each chain; -1 before the first
	made   []coded // templates
	latest [][]int // place of the last frame by spatial and temporal layer; -1
}

func (e *encoder) encode(pictures int) []coded {
	e.chain, e.latest = make([]int, e.spatial), make([][]int, e.spatial)
	for s := range e.spatial {
		e.latest[s] = []int{-1, -1, -1}
	}
	cycle, at := 0, 0
	pattern := [][]int{{0}, {0, 1}, {0, 2, 1, 2}}[e.temporal-1]
	for picture := range pictures {
		key := picture == 0 || slices.Contains(e.keys, picture)
		if key || at == len(pattern) {
			cycle, at = cycle+1, 0
			if key {
				cycle = 0
			}
		}
		for s := range e.spatial {
			e.add(picture, s, pattern[at], key, cycle%e.every == 0)
		}
		at++
	}
	return e.frames
}

func (e *encoder) add(picture, s, t int, key, sync bool) {
	place := len(e.frames)
	f := coded{number: e.from + uint16(place), picture: picture, spatial: s, temporal: t, key: key, last: s == e.spatial-1}
	if key {
		e.latest[s] = []int{-1, -1, -1}
		if s == 0 {
			for c := range e.chain {
				e.chain[c] = -1
			}
		}
	} else {
		newest := e.latest[s][0]
		for lower := 1; lower < t; lower++ {
			newest = max(newest, e.latest[s][lower])
		}
		f.refs = append(f.refs, newest)
		f.sync = newest == e.latest[s][0]
		if own := e.latest[s][t]; t > 0 && !sync && own > 0 {
			f.refs, f.sync = append(f.refs, own), false
		}
	}
	if s > 0 && (key || !e.keyOnly) {
		f.refs = append(f.refs, place-1)
	}
	f.switchUp = t == 0 && sync
	for target := range e.spatial * e.temporal {
		f.indications = append(f.indications, e.indication(&f, target/e.temporal, target%e.temporal))
	}
	for c := range e.chain {
		diff := 0
		if e.chain[c] >= 0 {
			diff = place - e.chain[c]
		}
		f.chains = append(f.chains, diff)
		if t == 0 && (s == c || s < c && (key || !e.keyOnly)) {
			e.chain[c] = place
		}
	}
	if t == 0 { // nothing of upper layers in front of it is referred to when the cycle begins anew
		e.latest[s][0] = place
	} else {
		e.latest[s][t] = place
	}
	e.frames = append(e.frames, f)
}

func (e *encoder) indication(f *coded, spatial, temporal int) Indication {
	switch {
	case f.spatial > spatial || f.temporal > temporal || f.spatial < spatial && e.keyOnly && !f.key:
		return Absent
	case f.key || f.spatial == spatial && f.switchUp:
		return Switch
	case f.spatial == spatial && f.temporal == temporal && temporal > 0 && e.every == 1:
		return Discardable
	}
	return Required
}

// describe writes the dependency descriptor of one packet. Templates are the frames of the second cycle, as far as there are any;
// where a frame differs it says so.
func (e *encoder) describe(f *coded, start, end bool) []byte {
	const offset = 50
	templates := e.templates()
	index := slices.IndexFunc(templates, func(t coded) bool { return t.spatial == f.spatial && t.temporal == f.temporal })
	t := templates[index]
	attached := f.key && f.spatial == 0 && start
	own := struct{ indications, diffs, chains bool }{
		!slices.Equal(t.indications, f.indications), !slices.Equal(e.diffs(&t), e.diffs(f)), !slices.Equal(t.chains, f.chains),
	}
	w := new(bitWriter)
	w.flag(start)
	w.flag(end)
	w.bits(uint64(index+offset)%64, 6)
	w.bits(uint64(f.number), 16)
	if !attached && own == (struct{ indications, diffs, chains bool }{}) {
		return w.b
	}
	for _, set := range []bool{attached, false, own.indications, own.diffs, own.chains} {
		w.flag(set)
	}
	if attached {
		w.bits(offset, 6)
		e.structure(w, templates)
	}
	if own.indications {
		for _, i := range f.indications {
			w.bits(uint64(i), 2)
		}
	}
	if own.diffs {
		for _, d := range e.diffs(f) {
			size := 1
			for d-1 >= 1<<(4*size) {
				size++
			}
			w.bits(uint64(size), 2)
			w.bits(uint64(d-1), 4*size)
		}
		w.bits(0, 2)
	}
	if own.chains {
		for _, c := range f.chains {
			w.bits(uint64(c), 8)
		}
	}
	return w.b
}

func (e *encoder) diffs(f *coded) (diffs []int) {
	for _, ref := range f.refs {
		diffs = append(diffs, int(f.number-e.frames[ref].number))
	}
	return diffs
}

// templates are one frame of each layer, made up so that they fit a template's narrow fields.
func (e *encoder) templates() (all []coded) {
	if e.made != nil {
		return e.made
	}
	defer func() { e.made = all }()
	for s := range e.spatial {
		for t := range e.temporal {
			f := coded{spatial: s, temporal: t}
			for _, g := range e.frames {
				fits := !slices.ContainsFunc(e.diffs(&g), func(d int) bool { return d > 16 }) && slices.Max(g.chains) < 16
				if g.spatial == s && g.temporal == t && fits && (f.chains == nil || !g.key) {
					f = g
				}
			}
			if f.chains == nil {
				f.chains, f.indications = make([]int, e.spatial), make([]Indication, e.spatial*e.temporal)
				f.indications[len(f.indications)-1] = Required
			}
			all = append(all, f)
		}
	}
	return all
}

func (e *encoder) structure(w *bitWriter, templates []coded) {
	targets := e.spatial * e.temporal
	w.bits(uint64(targets-1), 5)
	for i := range templates {
		switch {
		case i == len(templates)-1:
			w.bits(3, 2)
		case templates[i+1].spatial > templates[i].spatial:
			w.bits(2, 2)
		default:
			w.bits(1, 2)
		}
	}
	for _, t := range templates {
		for _, i := range t.indications {
			w.bits(uint64(i), 2)
		}
	}
	for _, t := range templates {
		for _, d := range e.diffs(&t) {
			w.flag(true)
			w.bits(uint64(d-1), 4)
		}
		w.flag(false)
	}
	w.nonSymmetric(e.spatial, targets+1)
	for target := range targets {
		w.nonSymmetric(target/e.temporal, e.spatial)
	}
	for _, t := range templates {
		for _, c := range t.chains {
			w.bits(uint64(c), 4)
		}
	}
	w.flag(true)
	for s := range e.spatial {
		w.bits(uint64(320<<s-1), 16)
		w.bits(uint64(180<<s-1), 16)
	}
}
