package signal

import (
	"slices"
	"time"

	"github.com/parley-sfu/parley/signal/wire"
)

// bulletin gathers the joins and leaves of a burst. The first of a burst goes out at once; what follows within the time
// of a burst goes out together at its end. The order is kept: neighbours of one kind share a message, nothing overtakes.
type bulletin struct {
	items []notice
	last  uint64 // number of the newest notice ever
	sent  time.Time
	timer *time.Timer
}

// notice is one join or leave.
type notice struct {
	number uint64
	typ    string
	who    wire.Identity
}

func (b *bulletin) add(typ string, who wire.Identity) {
	b.last++
	b.items = append(b.items, notice{b.last, typ, who})
}

// mentions says whether a join or leave of id has not been sent yet.
func (b *bulletin) mentions(id string) bool {
	return slices.ContainsFunc(b.items, func(n notice) bool { return n.who.ID == id })
}

// messages turns notices into as few messages as their order allows.
func messages(items []notice) []wire.ParticipantEvent {
	var out []wire.ParticipantEvent
	for run := range runs(items) {
		e := wire.ParticipantEvent{Participant: run[0].who}
		if len(run) > 1 {
			for _, n := range run {
				e.Participants = append(e.Participants, n.who)
			}
		}
		out = append(out, e)
	}
	return out
}

// runs yields the longest stretches of one type.
func runs(items []notice) func(yield func([]notice) bool) {
	return func(yield func([]notice) bool) {
		for len(items) > 0 {
			n := slices.IndexFunc(items, func(n notice) bool { return n.typ != items[0].typ })
			if n < 0 {
				n = len(items)
			}
			if !yield(items[:n]) {
				return
			}
			items = items[n:]
		}
	}
}

// newsLocked tells everybody of a join or a leave, now or with the rest of the burst.
func (r *room) newsLocked(typ string, who wire.Identity) {
	r.news.add(typ, who)
	if r.news.timer != nil {
		return
	}
	wait := burst - time.Since(r.news.sent)
	if wait <= 0 {
		r.flushLocked()
		return
	}
	r.news.timer = time.AfterFunc(wait, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.flushLocked()
	})
}

// flushLocked sends the gathered news. A member who came during the burst knows the older part from its snapshot, and
// gets the rest; each such rest is encoded once.
func (r *room) flushLocked() {
	if r.news.timer != nil {
		r.news.timer.Stop()
		r.news.timer = nil
	}
	items := r.news.items
	if len(items) == 0 {
		return
	}
	r.news.items, r.news.sent = nil, time.Now()
	encoded := map[int][]event{}
	for _, m := range r.members {
		start := slices.IndexFunc(items, func(n notice) bool { return n.number > m.upTo })
		if !m.synced || start < 0 {
			continue
		}
		if _, done := encoded[start]; !done {
			encoded[start] = r.encodeNews(items[start:])
		}
		for _, e := range encoded[start] {
			m.emitLocked(e)
		}
	}
}

func (r *room) encodeNews(items []notice) []event {
	var events []event
	bodies := messages(items)
	i := 0
	for run := range runs(items) {
		if e, ok := r.encode(run[0].typ, bodies[i]); ok {
			events = append(events, e)
		}
		i++
	}
	return events
}

// stop forgets what has not been sent.
func (b *bulletin) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
	b.items, b.timer = nil, nil
}
