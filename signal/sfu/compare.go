package sfu

import (
	"maps"
	"slices"
	"time"
)

// compare tells a signalling node where it errs, and ends what it has ended without this node's hearing of it.
func (s *Server) compare(q request) *verdict {
	c := q.Sync
	listed := map[uint64]mark{}
	for _, m := range c.Peers {
		listed[m.Peer] = m
	}
	s.mu.Lock()
	var v verdict
	theirs := map[uint64]*carried{}
	for _, p := range s.peersLocked() {
		if o := p.owner(); o.node == q.From && o.session == q.Session && o.peer > c.After && o.peer <= c.UpTo {
			theirs[o.peer] = p
		}
	}
	forgotten := s.compareRoomsLocked(q, &v)
	s.mu.Unlock()
	for id, p := range theirs {
		m, is := listed[id]
		switch {
		case !is:
			s.end(p)
		case !m.New && p.compare(m):
			v.Behind = append(v.Behind, id)
		}
	}
	for id, m := range listed {
		if theirs[id] == nil && !m.New {
			v.Gone = append(v.Gone, id)
		}
	}
	for _, room := range forgotten {
		s.dropTracks(q.From, room)
	}
	return &v
}

func (s *Server) compareRoomsLocked(q request, v *verdict) (forgotten []string) {
	e := s.edges[q.From]
	if e == nil || q.Sync.Rooms == nil {
		return nil
	}
	for room, version := range q.Sync.Rooms {
		if e.rooms[room] != version {
			v.Rooms = append(v.Rooms, room)
		}
	}
	for room, version := range e.rooms {
		if _, is := q.Sync.Rooms[room]; !is && version <= q.Sync.Steps {
			delete(e.rooms, room)
			forgotten = append(forgotten, room)
		}
	}
	return forgotten
}

func (s *Server) peersLocked() (all []*carried) {
	for _, peers := range s.rooms {
		all = slices.AppendSeq(all, maps.Values(peers))
	}
	return all
}

// sweep ends what belongs to signalling nodes that have been dead for so long that nobody will come for it.
func (s *Server) sweep(now time.Time) {
	nodes := s.cluster.Nodes()
	var over []*carried
	var silent []string
	s.mu.Lock()
	for id, e := range s.edges {
		incarnation, lives := incarnationOf(id, nodes)
		lives = lives && incarnation == e.session || now.Sub(e.heard) < 2*syncEvery // gossip can err about who talks to us
		switch {
		case lives:
			e.silent = time.Time{}
		case e.silent.IsZero():
			e.silent = now
		case now.Sub(e.silent) >= orphanGrace:
			delete(s.edges, id)
			silent = append(silent, id)
		}
	}
	for _, c := range s.peersLocked() {
		o := c.owner()
		e := s.edges[o.node]
		switch {
		case e != nil && e.session == o.session && e.silent.IsZero():
			c.orphaned = time.Time{}
		case c.orphaned.IsZero():
			c.orphaned = now
		case now.Sub(c.orphaned) >= orphanGrace:
			over = append(over, c)
		}
	}
	s.mu.Unlock()
	for _, c := range over {
		s.log.Info("nobody came for a peer of a dead signalling node", "meeting_id", c.key.room, "participant_id", c.key.participant)
		s.end(c)
	}
	for _, id := range silent {
		s.dropTracks(id, "")
	}
}
