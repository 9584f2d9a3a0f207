package node

import (
	"time"

	"github.com/parley-sfu/parley/internal/allocation"
	"github.com/parley-sfu/parley/internal/packet"
)

const (
	// divideEvery is how often the share of each viewer who lacks something is looked at again, in ticks of the node.
	divideEvery = 10

	// plenty is how many times what is wanted a budget must be for nobody to look at it more than once a second.
	plenty = 1.25

	// answerFor is how long a layer may take to come that its publisher has been asked for. Later it does not count as one to be had.
	answerFor = 1500 * time.Millisecond

	// expectedMost bounds what a picture is counted with before it has been measured: sizes are guessed then, too.
	expectedMost = 2_500_000

	// expectedVoice is what a voice is counted with, in bit/s, before it has been measured.
	expectedVoice = 50_000
)

// reasonBandwidth is why a slot shows less than it could use.
const reasonBandwidth = "bandwidth"

// share is how what the way to one viewer carries is divided among the slots. The room's mutex guards it.
type share struct {
	solver allocation.Solver
	dip    dip
	of     []*slot            // that have a part in it
	places []allocation.Slot  // theirs
	layers []allocation.Layer // behind the places
	short  bool               // somebody could use more
	wanted int64              // bit/s: all that could be used
	at     int64              // when it was last divided
}

// divideLocked divides what the way to a peer carries among its slots, each of which is to show what of tells, and reports whether
// that has changed anything.
func (r *room) divideLocked(p *Peer, slots []*slot, of func(*slot) *published, now int64) (changed bool) {
	budget, limited := p.way.budget()
	if !p.way.measured.Load() {
		return false
	}
	sh := &p.share
	sh.gather(r, slots, of, now)
	if !limited {
		for _, s := range slots {
			changed = changed || s.limited
			s.limited = false
		}
		p.way.divided(0, sh.wanted, sh.wanted)
		return changed
	}
	p.pacer.brief(&sh.solver, &sh.dip, budget, now)
	plan := sh.solver.Solve(budget, now, sh.places)
	for _, s := range slots {
		s.limited = false
	}
	sh.short = false
	for i, s := range sh.of {
		grant := sh.places[i].Grant
		changed = changed || s.grant.Shown != grant.Shown || s.grant.Spatial != grant.Spatial ||
			s.grant.Temporal != grant.Temporal || s.grant.Reason != grant.Reason
		sh.short = sh.short || grant.Reason != allocation.Satisfied
		s.grant, s.limited = grant, true
		if s.behind.Store(0); sh.places[i].Kind == allocation.Other {
			s.behind.Store(int32(100 * i / len(sh.of)))
		}
	}
	p.way.divided(budget, plan.Used, sh.wanted)
	if p.pacer.set(p.way.narrow(), p.way.pacing(now), now) {
		p.node.probes.add(p)
	}
	return changed
}

// gather lists what the slots could use.
func (sh *share) gather(r *room, slots []*slot, of func(*slot) *published, now int64) {
	sh.of, sh.places, sh.wanted, sh.at = sh.of[:0], sh.places[:0], 0, now
	if need := len(slots) * packet.MaxSpatial * packet.MaxTemporal; cap(sh.layers) < need {
		sh.layers = make([]allocation.Layer, 0, need)
	}
	sh.layers = sh.layers[:0]
	for _, s := range slots {
		t := of(s)
		if t == nil || s.hindrance(t) != "" {
			s.grant, s.granted = allocation.Grant{}, ""
			continue
		}
		if s.granted != t.ID {
			s.grant, s.granted = allocation.Grant{}, t.ID
		}
		from := len(sh.layers)
		sh.layers = t.offer(sh.layers, t.fit(s.wish.MaxWidth, s.wish.MaxHeight), now)
		place := allocation.Slot{
			Kind: r.standingLocked(s, t), Priority: s.wish.Priority, Width: s.wish.MaxWidth, Height: s.wish.MaxHeight,
			Layers: sh.layers[from:len(sh.layers):len(sh.layers)], Grant: s.grant,
		}
		if last := len(place.Layers) - 1; last >= 0 {
			sh.wanted += place.Layers[last].Bitrate
		}
		sh.of, sh.places = append(sh.of, s), append(sh.places, place)
	}
}

// standingLocked says how important a slot with a track is to its viewer.
func (r *room) standingLocked(s *slot, t *published) allocation.Kind {
	switch {
	case t.Kind == Audio:
		return allocation.Audio
	case t.Source == Screen:
		return allocation.Screen
	case s.wish.TrackID != "" && s.wish.Priority > 0:
		return allocation.Pinned
	case len(r.recent) > 0 && r.recent[0] == t.ParticipantID:
		return allocation.Speaking
	}
	return allocation.Other
}

// offer appends the steps up to one that are to be had, those that come and those that would if somebody wanted them, each at all frame
// rates. The room's mutex is held.
func (t *published) offer(dst []allocation.Layer, top int, now int64) []allocation.Layer {
	if t.Kind == Audio {
		return append(dst, allocation.Layer{Bitrate: t.layers[0].expect(Audio, 0, 0, now)})
	}
	scales := t.scales()
	for step := range top + 1 {
		l := t.stream(step)
		of := &l.scale
		if scales != nil {
			of = &scales[step]
		}
		if l.live(now) || !t.refused(l.rank, now) {
			dst = of.rungs(dst, t.wholeStep(step, of, now), uint8(l.temporal.Load()))
		}
	}
	return dst
}

// wholeStep is a step with all its pictures. The room's mutex is held.
func (t *published) wholeStep(step int, of *scale, now int64) allocation.Layer {
	w, h := t.dimensions(step)
	return allocation.Layer{Spatial: uint8(step), Temporal: everything, Width: w, Height: h, Bitrate: of.expect(t.Kind, w, h, now)}
}

// streams appends the streams up to a rank that are to be had, as wholes. The room's mutex is held.
func (t *published) streams(dst []allocation.Layer, top int, now int64) []allocation.Layer {
	for rank, l := range t.layers[:top+1] {
		if l.live(now) || !t.refused(rank, now) {
			whole := t.wholeStep(t.steps()-len(t.layers)+rank, &l.scale, now)
			whole.Spatial = uint8(rank)
			dst = append(dst, whole)
		}
	}
	return dst
}

// refused reports whether a layer has been asked for, and should have come since.
func (t *published) refused(rank int, now int64) bool {
	t.toldMu.Lock()
	defer t.toldMu.Unlock()
	return t.told&(1<<rank) != 0 && now-t.asked[rank] > int64(answerFor)
}

// expect is how many bit/s it takes on its way: as measured, now or when it last came, or what pictures of its size usually do.
func (s *scale) expect(kind Kind, width, height int, now int64) int64 {
	s.profile.measure(&s.meter, now)
	if rate := s.profile.rates[everything]; rate > 0 {
		return rate
	}
	if kind == Audio {
		return expectedVoice
	}
	return min(allocation.Expect(width, height, 0), expectedMost)
}

// divide looks at the shares of one group of viewers again, and at what is due on the way to them.
func (r *room) divide(group uint64, now int64) {
	for _, p := range r.measured(group) {
		if p.way.tick(now) {
			p.node.probes.add(p)
		}
		r.mu.Lock()
		changed := p.share.due(&p.way, now) && r.peers[p.id] == p &&
			r.divideLocked(p, p.slotList(), func(s *slot) *published { return s.state().bound }, now)
		r.mu.Unlock()
		if changed {
			r.wake(p)
		}
	}
}

// due reports whether dividing anew may change anything.
func (sh *share) due(w *way, now int64) bool {
	budget, limited := w.budget()
	return sh.short || limited && float64(budget) < plenty*float64(sh.wanted) || now-sh.at >= int64(time.Second)
}

// measured returns the peers of one in divideEvery of the room's groups whose way is measured. It touches no others: this is for each tick.
func (r *room) measured(group uint64) (peers []*Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ; group < reportGroups; group += divideEvery {
		for p := range r.groups[group] {
			if p.way.measured.Load() {
				peers = append(peers, p)
			}
		}
	}
	return peers
}
