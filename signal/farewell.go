package signal

import (
	"sync"
	"time"
)

// farewells are rooms that this node has closed a short while ago. It goes on saying so for as long as its silence would
// not have told the others: the word that the last participant left may have been lost. It is safe for concurrent use.
type farewells struct {
	mu    sync.Mutex
	rooms map[string]farewell // by meeting
}

type farewell struct {
	word  update
	until time.Time
}

// add notes a closed room.
func (f *farewells) add(meetingID string, last update, until time.Time) update {
	word := update{Node: last.Node, Incarnation: last.Incarnation, Version: last.Version, Closed: true}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rooms == nil {
		f.rooms = map[string]farewell{}
	}
	f.rooms[meetingID] = farewell{word, until}
	return word
}

// remove forgets a room that is open again.
func (f *farewells) remove(meetingID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.rooms, meetingID)
}

// due returns what is still to be said.
func (f *farewells) due(now time.Time) map[string]update {
	f.mu.Lock()
	defer f.mu.Unlock()
	words := map[string]update{}
	for meetingID, one := range f.rooms {
		if now.After(one.until) {
			delete(f.rooms, meetingID)
			continue
		}
		words[meetingID] = one.word
	}
	return words
}

// closed tells the other nodes that this one has closed a room.
func (f *fabric) closed(r *room) {
	r.mu.Lock()
	last := r.roster.standing()
	r.mu.Unlock()
	f.tell(r.meeting, f.gone.add(r.meeting, last, time.Now().Add(f.svc.cfg.NodeSilence)))
}
