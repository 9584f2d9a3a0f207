package sfu

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/parley-sfu/parley/internal/mailbox"
	"github.com/parley-sfu/parley/node"
)

// listing is what a media node is told of one room's tracks on other media nodes. Changes of a burst go together.
type listing struct {
	remote *Remote
	room   string
	sends  mailbox.Mailbox

	mu      sync.Mutex
	tracks  map[string]farTrack
	changed map[string]bool // ids that the node is not told of yet
	queued  bool            // a send is on its way
	whole   bool            // it must be the whole list
	version uint64          // the room's last step
}

// AddRemote implements Media.
func (r *Remote) AddRemote(room string, t node.Track, from string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.rooms[room]
	if l == nil {
		l = &listing{remote: r, room: room, tracks: map[string]farTrack{}, changed: map[string]bool{}, whole: true}
		r.rooms[room] = l
	}
	r.where[t.ID], r.used = l, true
	l.change(t.ID, func() {
		l.tracks[t.ID] = farTrack{Track: track(t), From: from, Muted: l.tracks[t.ID].Muted}
	})
}

// RemoveRemote implements Media.
func (r *Remote) RemoveRemote(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.where[id]
	delete(r.where, id)
	if l != nil {
		l.change(id, func() { delete(l.tracks, id) })
	}
}

// MuteRemote implements Media.
func (r *Remote) MuteRemote(id string, muted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.where[id]; l != nil {
		l.change(id, func() {
			t := l.tracks[id]
			t.Muted = muted
			l.tracks[id] = t
		})
	}
}

func (l *listing) change(id string, alter func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	alter()
	l.changed[id] = true
	l.sendLocked()
}

// again sends the whole list: the node knows another.
func (l *listing) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = true
	l.sendLocked()
}

func (l *listing) standing() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.version
}

func (l *listing) sendLocked() {
	if !l.queued {
		l.queued = true
		l.sends.Post(l.send)
	}
}

// send tells the node what has changed. What does not arrive is noticed by the version.
func (l *listing) send() {
	for range 2 { // the second time all of it
		got, err := l.remote.ask(context.Background(), callTimeout, request{Op: opTracks, Room: l.room, Tracks: l.step()})
		if err != nil {
			l.remote.fleet.log.Debug("a media node is not told of tracks yet", "peer_node", l.remote.node, "error", err)
			return
		}
		if !got.Behind {
			break
		}
		l.mu.Lock()
		l.whole = true
		l.mu.Unlock()
	}
	l.remote.drop(l)
}

// step takes what is to be told.
func (l *listing) step() *step {
	version := l.remote.steps.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &step{Version: version, After: l.version, Whole: l.whole}
	l.version = version
	ids := l.changed
	if l.whole {
		ids = map[string]bool{}
		for id := range l.tracks {
			ids[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if t, is := l.tracks[id]; is {
			s.Set = append(s.Set, t)
		} else {
			s.Gone = append(s.Gone, id)
		}
	}
	l.changed, l.queued, l.whole = map[string]bool{}, false, false
	return s
}

// drop forgets a list that is empty and that the node knows to be.
func (r *Remote) drop(l *listing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tracks) == 0 && !l.queued && r.rooms[l.room] == l {
		delete(r.rooms, l.room)
	}
}
