package signal

import (
	"slices"
	"sync"
	"time"
)

const (
	purseRooms   = 4096                   // for which this node has lots, or asks for some
	purseAsking  = 256                    // questions ahead that are out at the same time
	purseTimeout = 300 * time.Millisecond // for the answer of a question that is asked ahead
)

// purse is the lots that a node has of one room. See lot.
type purse struct {
	home   process // that gave them, or that took back those there were
	since  time.Time
	voided uint64 // lots of that home up to this one are not to be used, also those that are still on their way
	lots   []ownLot
	asked  time.Time // when the home was asked last
	asking bool      // a question ahead is out
}

// ownLot is a lot on the node that may use it.
type ownLot struct {
	number         uint64
	seats, cameras int
	revision       uint64 // of the settings
	until          time.Time
}

// process is a node in one of its lives.
type process struct {
	node        string
	incarnation uint64
}

// process returns the life that a node has now.
func (e electorate) process(id string) process {
	l := e.of(id)
	return process{l.Node, l.Incarnation}
}

// purses is what this node may give away without asking, in all rooms, also in those where nobody has come yet. Nothing here
// waits. It is safe for concurrent use.
type purses struct {
	mu     sync.Mutex
	rooms  map[string]*purse
	asking int
}

func newPurses() *purses { return &purses{rooms: map[string]*purse{}} }

// spent says which lots places were taken of. Zero is none.
type spent struct {
	Seat   uint64 `json:"seat,omitempty"`
	Camera uint64 `json:"camera,omitempty"`
}

// take takes places, all that are wanted or none. Home is the room's home as this node knows it now: lots of another are
// not used. Revision is that of the settings that the node knows.
func (p *purses) take(room string, home process, revision uint64, seat, camera bool, now time.Time) (s spent, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.rooms[room]
	if own == nil || own.home != home {
		return s, false
	}
	own.lapse(now)
	find := func(has func(l ownLot) int) int {
		return slices.IndexFunc(own.lots, func(l ownLot) bool { return l.revision == revision && has(l) > 0 })
	}
	seats := find(func(l ownLot) int { return l.seats })
	cameras := find(func(l ownLot) int { return l.cameras })
	if seat && seats < 0 || camera && cameras < 0 {
		return s, false
	}
	if seat {
		own.lots[seats].seats--
		s.Seat = own.lots[seats].number
	}
	if camera {
		own.lots[cameras].cameras--
		s.Camera = own.lots[cameras].number
	}
	return s, true
}

// lapse forgets lots that are over or empty.
func (p *purse) lapse(now time.Time) {
	p.lots = slices.DeleteFunc(p.lots, func(l ownLot) bool { return !now.Before(l.until) || l.seats+l.cameras == 0 })
}

// ask notes that the home is asked now, and names the lots whose life may begin anew.
func (p *purses) ask(room string, now time.Time) (named []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	named = []uint64{} // which is not nil on the wire either
	own := p.rooms[room]
	if own == nil {
		return named
	}
	own.asked = now
	own.lapse(now)
	for _, l := range own.lots {
		named = append(named, l.number)
	}
	return named
}

// put takes over what the home gave when it was asked at a moment. What has been called back since is refused, and so is what
// comes from a home that another has followed a moment ago.
func (p *purses) put(room string, home process, a allowance, asked, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.rooms[room]
	switch {
	case own == nil && (a.Number == 0 || len(p.rooms) >= purseRooms):
		return
	case own == nil:
		own = &purse{home: home, asked: asked}
		p.rooms[room] = own
	case own.home == home:
	case now.Sub(own.since) < leaseSettles:
		return
	default:
		own.home, own.since, own.voided, own.lots = home, now, 0, nil
	}
	own.asked = now
	until := asked.Add(lotLife)
	for i, l := range own.lots {
		if slices.Contains(a.Extended, l.number) && l.until.Before(until) {
			own.lots[i].until = until
		}
	}
	if a.Number > own.voided && a.Seats >= 0 && a.Cameras >= 0 {
		own.lots = append(own.lots, ownLot{a.Number, a.Seats, a.Cameras, a.Revision, until})
	}
	own.lapse(now)
}

// void gives everything back to a home that calls for it, and names what it was. From now on only what that home hands out
// after the number counts.
func (p *purses) void(room string, home process, upTo uint64, now time.Time) (named []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.rooms[room]
	if own == nil {
		if len(p.rooms) >= purseRooms {
			return nil
		}
		own = &purse{}
		p.rooms[room] = own
	}
	for _, l := range own.lots {
		named = append(named, l.number)
	}
	if own.home != home {
		own.voided = 0
	}
	own.home, own.since, own.voided, own.lots = home, now, max(own.voided, upTo), nil
	return named
}

// back empties the purse of a room that is closed, and names what was in it, and whose it is.
func (p *purses) back(room string) (home process, named []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.rooms[room]
	if own == nil {
		return home, nil
	}
	for _, l := range own.lots {
		named = append(named, l.number)
	}
	own.lots = nil
	return own.home, named
}

// begin says whether the home is to be asked ahead now: nobody does already, and what there is is not enough or does not
// last. Whoever is told so calls end.
func (p *purses) begin(room string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.rooms[room]
	switch {
	case p.asking >= purseAsking || own == nil && len(p.rooms) >= purseRooms:
		return false
	case own == nil:
		own = &purse{}
		p.rooms[room] = own
	case own.asking || now.Sub(own.asked) < lotLife/2:
		return false
	}
	p.asking++
	own.asked, own.asking = now, true
	return true
}

func (p *purses) end(room string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own := p.rooms[room]; own != nil && own.asking {
		own.asking = false
		p.asking--
	}
}

// tidy forgets purses that are empty and that nothing was heard of for the life of a lot: nothing is on its way any more.
func (p *purses) tidy(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for room, own := range p.rooms {
		own.lapse(now)
		if len(own.lots) == 0 && !own.asking && now.Sub(own.since) > lotLife && now.Sub(own.asked) > lotLife {
			delete(p.rooms, room)
		}
	}
}
