package node

import (
	"math"
	"math/bits"
	"slices"

	"github.com/parley-sfu/parley/internal/allocation"
)

// assign decides what each of a peer's slots shows, tells the slots, asks for the keyframes that takes, and tells the
// peer's owner what changed.
func (r *room) assign(p *Peer, now int64) {
	r.mu.Lock()
	if r.peers[p.id] != p {
		r.mu.Unlock()
		return
	}
	slots := p.slotList()
	bound := r.bindLocked(p, slots)
	changed := false
	r.divideLocked(p, slots, func(s *slot) *published { return bound[s] }, now)
	var waiting []*slot
	for _, s := range slots {
		t := bound[s]
		best, target, reason := s.choose(t, now)
		if r.showLocked(s, t, best, target) {
			waiting = append(waiting, s)
		}
		s.reason = reason
		if view := s.view(); view != s.told {
			s.told, changed = view, true
		}
	}
	var views []Slot
	if changed {
		views = viewsLocked(slots)
	}
	r.mu.Unlock()
	if p.transport.Ready() {
		for _, s := range waiting {
			if target := s.state().target; target != nil {
				s.start(target, now)
			}
		}
	}
	if changed {
		p.tell.Post(func() { p.events.SlotsChanged(views) })
	}
}

func viewsLocked(slots []*slot) []Slot {
	views := make([]Slot, len(slots))
	for i, s := range slots {
		views[i] = s.told
	}
	return views
}

// bindLocked decides which track goes into which slot. A track that stays keeps its slot.
func (r *room) bindLocked(p *Peer, slots []*slot) map[*slot]*published {
	bound := map[*slot]*published{}
	var audio, free []*slot
	video := r.candidatesLocked(p, Video)
	for _, s := range slots {
		switch {
		case s.kind == Audio:
			audio = append(audio, s)
		case p.auto || s.wish.MID != "" && s.wish.TrackID == "":
			free = append(free, s)
		case s.wish.TrackID != "":
			if i := slices.IndexFunc(video, func(t *published) bool { return t.ID == s.wish.TrackID }); i >= 0 {
				bound[s] = video[i]
			}
		}
	}
	for _, t := range bound {
		video = slices.DeleteFunc(video, func(o *published) bool { return o == t })
	}
	fill(bound, free, video)
	fill(bound, audio, r.candidatesLocked(p, Audio))
	return bound
}

// fill puts the first of the candidates into slots, moving none that is in one of them already.
func fill(bound map[*slot]*published, slots []*slot, candidates []*published) {
	chosen := candidates[:min(len(slots), len(candidates))]
	var free []*slot
	placed := map[*published]bool{}
	for _, s := range slots {
		i := -1
		if t := s.state().bound; t != nil { // by id: a stream may have been succeeded by another
			i = slices.IndexFunc(chosen, func(o *published) bool { return o.ID == t.ID && !placed[o] })
		}
		if i < 0 {
			free = append(free, s)
			continue
		}
		bound[s], placed[chosen[i]] = chosen[i], true
	}
	for _, t := range chosen {
		if !placed[t] {
			bound[free[0]], free = t, free[1:]
		}
	}
}

// choose picks the layer of a track that a slot is to show, or none with the reason, and the best layer that it could
// use if the publisher sent it, within its share of what the way to the viewer carries.
func (s *slot) choose(t *published, now int64) (best, target *layer, reason string) {
	if t == nil {
		return nil, nil, ""
	}
	if reason = s.hindrance(t); reason != "" {
		return nil, nil, reason
	}
	step := t.fit(s.wish.MaxWidth, s.wish.MaxHeight)
	lacks := s.limited && s.grant.Reason != allocation.Satisfied
	if lacks {
		if !s.grant.Shown {
			return nil, nil, reasonBandwidth
		}
		step, reason = min(int(s.grant.Spatial), step), reasonBandwidth
	}
	best = t.stream(step)
	target = best
	if !best.live(now) {
		near := t.nearestLive(best, now)
		if tooMuch := near.rank > best.rank && lacks && s.peer.pacer.narrow.Load(); !tooMuch { // to wait for what fits takes less time than what does not
			target = near
		}
	}
	if !s.knows(codec(target.format.Load())) {
		return nil, nil, "unsupported_codec"
	}
	if t.silence.silent.Load() {
		reason = reasonNoPackets
	}
	return best, target, reason
}

// hindrance says why nothing of a track is to be shown, whatever the way carries; empty if nothing stands against it.
func (s *slot) hindrance(t *published) string {
	switch {
	case t.muted.Load():
		return "muted"
	case s.wish.Paused:
		return "requested"
	}
	return ""
}

// fit returns the lowest step that fills a picture of the given size, within a tolerance: a picture
// stretched by an eighth looks like one that is not, and costs a quarter as much. Zero means no limit.
func (t *published) fit(width, height int) int {
	top := t.steps() - 1
	if width <= 0 && height <= 0 {
		return top
	}
	for step := range top {
		if t.fills(step, width, height) {
			return step
		}
	}
	return top
}

// fills reports whether a step's pictures fill one of the given size, within the tolerance of fit.
func (t *published) fills(step, width, height int) bool {
	w, h := t.dimensions(step)
	return width > 0 && w*9 >= width*8 || height > 0 && h*9 >= height*8
}

// nearestLive returns the layer to show while best is not being sent: the next lower one that is, else the next higher.
// When nothing comes at all, it is best itself.
func (t *published) nearestLive(best *layer, now int64) *layer {
	for rank := best.rank - 1; rank >= 0; rank-- {
		if t.layers[rank].live(now) {
			return t.layers[rank]
		}
	}
	for rank := best.rank + 1; rank < len(t.layers); rank++ {
		if t.layers[rank].live(now) {
			return t.layers[rank]
		}
	}
	return best
}

// showLocked tells a slot what to show, and has it given the packets of what it shows and is to show. It reports whether a keyframe is
// needed.
func (r *room) showLocked(s *slot, t *published, best, target *layer) (needsKeyframe bool) {
	var before *published
	if t != nil {
		before = t.before
	}
	needsKeyframe = s.show(t, before, best, target, s.extent(target), urgency(s.wish.Priority))
	s.drawLocked([len(s.drawn)]*layer{target, s.state().current})
	return needsKeyframe
}

// drawLocked has the slot given the packets of these layers and no others. The room's mutex is held.
func (s *slot) drawLocked(from [2]*layer) {
	for i, l := range s.drawn {
		if l != nil && !slices.Contains(from[:], l) && !slices.Contains(s.drawn[:i], l) {
			l.detach(s)
		}
	}
	for i, l := range from {
		if l != nil && !slices.Contains(s.drawn[:], l) && !slices.Contains(from[:i], l) {
			l.attach(s)
		}
	}
	s.drawn = from
}

// view is what the slot's owner is told. The room's mutex is held, for reason.
func (s *slot) view() Slot {
	now := s.state()
	v := Slot{MID: s.mid, Kind: s.kind, State: SlotEmpty}
	if now.bound == nil {
		return v
	}
	v.TrackID, v.ParticipantID, v.Source = now.bound.ID, now.bound.ParticipantID, now.bound.Source
	if now.target == nil {
		v.State, v.Reason = SlotPaused, s.reason
		return v
	}
	v.State, v.Reason = SlotActive, s.reason
	if now.current != nil && s.kind == Video {
		v.Layer = now.current.name()
	}
	return v
}

// tellWanted tells publishers which layers anybody wants, when that has changed: more at once, less after a while.
func (r *room) tellWanted(now int64) {
	watched, shown := r.watched(), r.published()
	for _, t := range r.carried() {
		t.substitute(now)
		if t.remote() || t.Kind == Video { // of microphones the levels are needed
			// Who is not heard here cannot be found to be the loudest.
			heard := watched && t.Kind == Audio && !t.muted.Load() && t.remote() && slices.Contains(shown, t)
			if t.heard.Swap(heard) != heard {
				t.demand.stale.Store(true)
			}
			t.tellWanted(now)
		}
	}
}

// wanted returns what all want together.
func (t *published) wanted() (all wanted) {
	for _, l := range t.layers {
		for _, s := range *l.subs.Load() {
			all.add(s.wants(t))
		}
	}
	if t.heard.Load() {
		return wanted{layers: 1, viewers: 1} // of a microphone
	}
	return all
}

// demanded is wanted, as it was counted when it last changed. No slot's mutex is held.
func (t *published) demanded() wanted {
	d := &t.demand
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stale.Swap(false) {
		d.wanted = t.wanted()
	}
	return d.wanted
}

// needed reports whether anybody wants anything of the track right now.
func (t *published) needed() bool {
	return t.wanted().layers != 0
}

// wants implements subscriber: what the slot could use, is to show or still shows.
func (s *slot) wants(t *published) (w wanted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range [...]*layer{s.best, s.target, s.current} {
		if of != nil && of.track == t {
			w.layers |= 1 << of.rank
			w.priority = s.priority
		}
	}
	if s.target != nil && s.target.track == t {
		w.sizes |= 1 << s.upTo.spatial
	}
	if s.current != nil && s.current.track == t && s.thinned {
		w.sizes |= 1 << s.thin.sends() // until what is to be shown has begun
	}
	w.viewers, w.viewerSizes = w.layers, w.sizes
	return w
}

func (t *published) tellWanted(now int64) {
	all := t.demanded()
	if !t.remote() {
		all.priority = 0 // there is one publisher to be told, and nothing to be divided
	}
	t.toldMu.Lock()
	defer t.toldMu.Unlock()
	all.layers = lasting(t.keep[:len(t.layers)], all.layers, all.viewers, t.told, now)
	if all.sizes = lasting(t.keepSizes[:], all.sizes, all.viewerSizes, t.toldSizes, now); t.scales() == nil {
		all.sizes = 0
	}
	sizes := all.sizes != t.toldSizes && (t.remote() || t.spatial(all.sizes) != t.spatial(t.toldSizes))
	t.toldSizes = all.sizes
	t.spare(t.spatial(all.sizes) != 0, now)
	if all.layers == t.told && all.priority == t.urged && !sizes {
		return
	}
	for rank := range t.layers {
		if all.layers&^t.told&(1<<rank) != 0 {
			t.asked[rank] = now
		}
	}
	t.told, t.urged = all.layers, all.priority
	t.sender.layersWanted(t, all)
}

// spare notes whether some sizes of a single stream are not asked for. Those that its publisher is asked for anew take it a while to send.
func (t *published) spare(some bool, now int64) {
	switch until := t.spared.Load(); {
	case some:
		t.spared.Store(math.MaxInt64)
	case until == math.MaxInt64:
		t.spared.Store(now + int64(answerFor))
	}
}

// lasting adds to what is wanted, as bits, what was told and may not be given up yet. What viewers here want may not for a while.
func lasting(keep []int64, wanted, viewers, told uint8, now int64) uint8 {
	for i := range keep {
		if bit := uint8(1) << i; viewers&bit != 0 {
			keep[i] = max(keep[i], now+int64(unwantedFor))
		} else if told&bit != 0 && now < keep[i] {
			wanted |= bit
		}
	}
	return wanted
}

// spatial is how many spatial layers have what is wanted of them, as bits; 0 for all there are.
func (t *published) spatial(sizes uint8) int {
	if n := bits.Len8(sizes); n < t.steps() {
		return n
	}
	return 0
}

// hold keeps what is wanted from being given up before a time.
func (t *published) hold(w wanted, until int64) {
	t.toldMu.Lock()
	defer t.toldMu.Unlock()
	for rank := range t.layers {
		if w.layers&(1<<rank) != 0 {
			t.keep[rank] = max(t.keep[rank], until)
		}
	}
	for s := range t.keepSizes {
		if w.sizes&(1<<s) != 0 {
			t.keepSizes[s] = max(t.keepSizes[s], until)
		}
	}
}

// layersWanted implements publisher: a participant is told the layers by name.
func (p *Peer) layersWanted(t *published, w wanted) {
	names := []string{}
	for rank, l := range t.layers {
		if w.layers&(1<<rank) != 0 {
			names = append(names, l.name())
		}
	}
	p.tell.Post(func() { p.events.LayersWanted(t.ID, names, t.spatial(w.sizes)) })
}
