package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// After a partition gossip knows the other nodes again at once, and links are there half a second later, but NATS servers try each other
// every two seconds only. Until then updates do not cross. So the parts that rooms had dropped are fetched directly as soon as gossip
// knows their nodes again; what changes from then on comes over the bus, and with it what it has lost meanwhile.

// Direct reaches another node without the bus. *placement.Cluster is one, and says what the methods promise.
type Direct interface {
	Fetch(ctx context.Context, node string, question []byte) ([]byte, error)
	Supply(f func(from string, question []byte) ([]byte, error))
}

// regainAtOnce is how many rooms' parts are asked for in one question: their answer must fit into one of Direct's, large rooms' too.
const regainAtOnce = 16

// missing asks a node for its parts of some rooms.
type missing struct {
	Meetings []string `json:"meetings"`
}

// found is the parts of those rooms that the node has, by meeting.
type found struct {
	Parts map[string]*part `json:"parts"`
}

// supply answers another node's missing.
func (s *Service) supply(_ string, question []byte) ([]byte, error) {
	var m missing
	if err := json.Unmarshal(question, &m); err != nil {
		return nil, err
	}
	if len(m.Meetings) > regainAtOnce {
		return nil, fmt.Errorf("%d rooms are asked for at once, at most %d may be", len(m.Meetings), regainAtOnce)
	}
	answer := found{map[string]*part{}}
	for _, meeting := range m.Meetings {
		if r := s.room(meeting); r != nil {
			answer.Parts[meeting] = r.state().Part
		}
	}
	return json.Marshal(answer)
}

// missLocked drops the part of a node of which nothing is heard any more.
func (r *room) missLocked(name, why string) {
	r.log.Info(why+": its participants have left", "node", name)
	r.home.Forfeit(name)
	r.missed[name] = true
	r.changedLocked(r.roster.forget(name))
}

// regain fetches a node's parts of the rooms that had dropped them. What fails is left to the bus.
func (f *fabric) regain(ctx context.Context, from string) {
	rooms := map[string]*room{}
	for _, r := range f.svc.allRooms() {
		r.mu.Lock()
		if r.missed[from] && r.roster.parts[from] == nil {
			rooms[r.meeting] = r
		}
		delete(r.missed, from)
		r.mu.Unlock()
	}
	for meetings := range slices.Chunk(slices.Sorted(maps.Keys(rooms)), regainAtOnce) {
		answer, err := f.fetch(ctx, from, missing{meetings})
		if err != nil {
			f.log.Debug("parts of rosters could not be fetched", "from", from, "error", err)
		}
		for meeting, p := range answer.Parts {
			if r := rooms[meeting]; r != nil && p != nil && p.Node == from {
				closeAll(r.regained(*p))
				f.svc.sweep(r)
			}
		}
	}
}

// regained takes over a part that was fetched, unless the bus has brought a newer one meanwhile.
func (r *room) regained(p part) []Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	return r.mergedLocked(r.roster.replace(p, time.Now()))
}

func (f *fabric) fetch(ctx context.Context, from string, m missing) (answer found, err error) {
	question, err := json.Marshal(m)
	if err != nil {
		return found{}, err
	}
	data, err := f.svc.deps.Direct.Fetch(ctx, from, question)
	if err != nil {
		return found{}, err
	}
	return answer, json.Unmarshal(data, &answer)
}
