package node

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"github.com/parley-sfu/parley/internal/allocation"
	"github.com/parley-sfu/parley/internal/bandwidth"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/udp"
)

// linkShare is how what a link carries beside voices is divided among the tracks that the other node pulls. Only the node's ticker uses it.
type linkShare struct {
	solver  allocation.Solver
	dip     dip
	of      []*outlet // that have a part in it, in the order in which viewers are shown them
	places  []allocation.Slot
	limited bool // something was, the last time
}

// divide looks again at what goes over the link.
func (r *relay) divide(now int64) {
	w := r.way.Load()
	if w == nil || r.current() == nil {
		return
	}
	if w.tick(now) {
		r.node.probes.add(r)
	}
	sh := &r.share
	defer sh.forget()
	budget, limited := w.linkBudget(now)
	wanted := sh.gather(r.served(), w, now)
	if r.pacer.set(limited, w.pacing(now), now) {
		r.node.probes.add(r)
	}
	if !limited {
		w.linkDivided(false, wanted, wanted)
		if sh.limited {
			sh.limited = false
			r.node.log.Info("link wide again", "peer_node", r.peer)
			r.grant(allocation.Grant{}, false, now)
		}
		return
	}
	if !sh.limited {
		sh.limited = true
		r.node.log.Info("link narrow", "peer_node", r.peer, "estimated_bits", budget, "wanted_bits", wanted)
	}
	r.pacer.brief(&sh.solver, &sh.dip, budget, now)
	plan := sh.solver.Solve(budget, now, sh.places)
	w.linkDivided(true, plan.Used, wanted)
	for i, o := range sh.of {
		o.take(sh.places[i].Grant, true, now)
	}
	r.pacer.useless.Store(true)
}

// forget lets go of tracks that may end.
func (sh *linkShare) forget() {
	clear(sh.of)
	clear(sh.places)
	sh.of, sh.places = sh.of[:0], sh.places[:0]
}

// grant gives all tracks the same.
func (r *relay) grant(g allocation.Grant, limited bool, now int64) {
	for _, o := range r.served() {
		o.take(g, limited, now)
	}
}

// gather lists what the other node wants of pictures, which is all that is estimated and divided, and returns how many bit/s that is.
func (sh *linkShare) gather(served []*outlet, w *way, now int64) (wanted int64) {
	for _, o := range served {
		o.standing = o.track.standing()
	}
	slices.SortFunc(served, func(a, b *outlet) int {
		return cmp.Or(a.standing.compare(b.standing), strings.Compare(a.key.track+a.key.origin, b.key.track+b.key.origin))
	})
	sh.of, sh.places = sh.of[:0], sh.places[:0]
	for _, o := range served {
		asked := uint8(o.asked.Load())
		if asked == 0 || o.way != w || o.track.Kind != Video || o.track.muted.Load() {
			continue
		}
		place := o.place(asked, now)
		if last := len(place.Layers) - 1; last >= 0 {
			wanted += place.Layers[last].Bitrate
		}
		sh.of, sh.places = append(sh.of, o), append(sh.places, place)
	}
	return wanted
}

// place is the outlet's in the division.
func (o *outlet) place(asked uint8, now int64) allocation.Slot {
	r := o.track.room
	r.mu.Lock()
	defer r.mu.Unlock()
	place := allocation.Slot{Kind: allocation.Other, Priority: int(o.priority.Load()), Grant: o.granted}
	switch {
	case o.track.Source == Screen:
		place.Kind = allocation.Screen
	case slices.Contains(r.recent[:min(1, len(r.recent))], o.track.ParticipantID):
		place.Kind = allocation.Speaking
	}
	if o.sizes.Load() != 0 && o.track.scales() != nil {
		place.Layers = o.sizeSteps(now)
		return place
	}
	place.Layers = allocation.Union(nil, o.track.streams(nil, bits.Len8(asked)-1, now), asked)
	return place
}

// take has the outlet send what is granted.
func (o *outlet) take(g allocation.Grant, limited bool, now int64) {
	r := o.track.room
	r.mu.Lock()
	changed := limited != o.limited || g.Shown != o.granted.Shown || g.Spatial != o.granted.Spatial
	o.granted, o.limited = g, limited
	begin := uint8(0)
	if changed {
		begin = o.reviewLocked(now)
	}
	r.mu.Unlock()
	if changed {
		o.begin(begin, nil, now)
		r.wakeAll()
	}
}

// affordableLocked returns of what is asked what the link carries: all that is granted, and in place of what is above that the highest
// that is. The room's mutex is held.
func (o *outlet) affordableLocked(asked uint8) (layers uint8) {
	if !o.limited || o.track.Kind == Audio || asked == 0 {
		return asked
	}
	if !o.granted.Shown {
		return 0
	}
	top := uint8(1) << o.granted.Spatial
	layers = asked & (top<<1 - 1)
	if layers != asked {
		layers |= top
	}
	return layers
}

// numberLocked makes room for a transport-wide sequence number, in front of all other extensions, where a packet gets one.
func (s *outletStream) numberLocked(number bool) {
	if s.numbered = number; number {
		s.ext.Add(linkNumber, []byte{0, 0})
	}
}

// placeLocked is where a packet written with the extensions of this moment has its number; 0 if it has none.
func (s *outletStream) placeLocked() int {
	if !s.numbered {
		return 0
	}
	return s.ext.First()
}

// leaves notes a packet of n bytes that leaves at now, and writes its number where it is to have one: at a place in it, 0 is none.
func (o *outlet) leaves(buf []byte, place, n int, kind bandwidth.Kind, now int64) {
	switch w := o.way; {
	case o.track.Kind != Video:
	case place != 0:
		w.left(buf[place:][:2], n+int(w.unnumbered.Swap(0)), kind, now)
	default:
		w.unnumbered.Add(int64(n + overhead))
	}
}

// fillProbe implements prober.
func (r *relay) fillProbe(now int64, out *udp.Batch) bool {
	w := r.way.Load()
	if w == nil {
		return false
	}
	waits := r.node.release(&r.pacer, w, out, now)
	lacks, running := w.lacks(now)
	if lacks > 0 {
		r.node.count.probed.Add(r.fill(w, lacks, now, out))
	}
	return running || waits
}

// fill sends about as many bytes of padding as are lacking, in the streams of retransmissions of what is asked for, whether it is sent or not: where nothing
// is, probes alone find out that there is room again. It returns how many.
func (r *relay) fill(w *way, lacks int, now int64, out *udp.Batch) (sent int) {
	for _, o := range r.served() {
		if o.way != w || o.track.Kind != Video {
			continue
		}
		for left := o.wanted(); left != 0 && sent < lacks; left &= left - 1 {
			sent += o.streams[bits.TrailingZeros8(left)].pad(o.link.Transport(), lacks-sent, now, out)
		}
	}
	return sent
}

// pad sends up to about lacks bytes of padding.
func (s *outletStream) pad(t *rtc.Transport, lacks int, now int64, out *udp.Batch) (sent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.outlet.formats[s.layer.format.Load()]
	if f.rtx == 0 || !t.Ready() {
		return 0
	}
	for sent < lacks {
		buf := t.Reserve(out, headerRoom+mostPadding)
		if buf == nil {
			break
		}
		s.ext.Reset()
		s.numberLocked(true)
		head, n := putPadding(buf, f.rtx, s.repairAt, 0, s.repair.SSRC, &s.ext)
		s.repairAt++
		s.outlet.leaves(buf, s.placeLocked(), n, bandwidth.Padding, now)
		bytes := t.Send(out, &s.repair, buf, head, n)
		if bytes == 0 {
			break
		}
		sent += bytes
	}
	return sent
}
