package signal

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/signal/wire"
)

// mesh is some nodes with a roster each, and a network that loses, repeats and reorders.
type mesh struct {
	rosters []*roster
	flying  []flight
	seen    []map[string]bool // by node: who is in the room, from the changes alone
	clock   int64
}

type flight struct {
	to int
	u  update
}

func newMesh(nodes int) *mesh {
	m := &mesh{}
	for i := range nodes {
		m.rosters = append(m.rosters, newRoster(fmt.Sprint("n", i), int64(i+1)))
		m.seen = append(m.seen, map[string]bool{})
	}
	return m
}

func (m *mesh) publish(from int, u update) {
	data, _ := json.Marshal(u)
	for to := range m.rosters {
		var copied update
		if json.Unmarshal(data, &copied) == nil && to != from {
			m.flying = append(m.flying, flight{to, copied})
		}
	}
}

// watch follows a node's changes the way its clients do.
func (m *mesh) watch(at int, changes []change) error {
	for _, c := range changes {
		switch {
		case !c.before.seated() && c.after.seated():
			if m.seen[at][c.after.ID] {
				return fmt.Errorf("%s joined twice", c.after.ID)
			}
			m.seen[at][c.after.ID] = true
		case c.before.seated() && !c.after.seated():
			if !m.seen[at][c.before.ID] {
				return fmt.Errorf("%s left without having been there", c.before.ID)
			}
			delete(m.seen[at], c.before.ID)
		}
	}
	return nil
}

// deliver hands one update over, and pulls when the receiver asks for it.
func (m *mesh) deliver(f flight) error {
	changes, _, inStep := m.rosters[f.to].apply(f.u, time.Now())
	if err := m.watch(f.to, changes); err != nil || inStep {
		return err
	}
	for _, writer := range m.rosters {
		if writer.self.Node != f.u.Node {
			continue
		}
		var p part
		data, _ := json.Marshal(writer.self)
		if err := json.Unmarshal(data, &p); err != nil {
			return err
		}
		changes, _ := m.rosters[f.to].replace(p, time.Now())
		return m.watch(f.to, changes)
	}
	return nil
}

func TestRostersConvergeOverABadNetwork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMesh(rapid.IntRange(2, 4).Draw(t, "nodes"))
		node := rapid.IntRange(0, len(m.rosters)-1)
		id := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		check := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				at := node.Draw(t, "at")
				m.clock++
				e := entry{Participant: wire.Participant{ID: id.Draw(t, "id"), HandRaised: rapid.Bool().Draw(t, "hand")}, Since: m.clock}
				e.State = rapid.SampledFrom([]State{Joined, Waiting, Reconnecting}).Draw(t, "state")
				u, changes := m.rosters[at].put(e)
				check(m.watch(at, changes))
				m.publish(at, u)
			},
			"drop": func(t *rapid.T) {
				at := node.Draw(t, "at")
				u, changes := m.rosters[at].drop(id.Draw(t, "id"))
				check(m.watch(at, changes))
				m.publish(at, u)
			},
			"deliver": func(t *rapid.T) {
				if len(m.flying) == 0 {
					return
				}
				i := rapid.IntRange(0, len(m.flying)-1).Draw(t, "which")
				f := m.flying[i]
				if !rapid.Bool().Draw(t, "again later") {
					m.flying = slices.Delete(m.flying, i, i+1)
				}
				check(m.deliver(f))
			},
			"lose": func(t *rapid.T) {
				if len(m.flying) > 0 {
					i := rapid.IntRange(0, len(m.flying)-1).Draw(t, "which")
					m.flying = slices.Delete(m.flying, i, i+1)
				}
			},
		})
		// The network heals: one round of digests must be enough.
		m.flying = nil
		for at, r := range m.rosters {
			m.publish(at, r.standing())
		}
		for _, f := range m.flying {
			check(m.deliver(f))
		}
		for at, r := range m.rosters {
			if !reflect.DeepEqual(r.view, m.rosters[0].view) {
				t.Fatalf("node %d sees %v, node 0 sees %v", at, r.view, m.rosters[0].view)
			}
			for id, e := range r.view {
				if e.seated() != m.seen[at][id] {
					t.Fatalf("clients of node %d were told wrongly of %s", at, id)
				}
			}
		}
	})
}

func TestRosterOfARestartedNode(t *testing.T) {
	r := newRoster("n0", 1)
	writer := newRoster("n1", 10)
	first, _ := writer.put(entry{Participant: wire.Participant{ID: "a"}, State: Joined})
	r.apply(first, time.Now())
	again := newRoster("n1", 20)
	u, _ := again.put(entry{Participant: wire.Participant{ID: "b"}, State: Joined})
	changes, _, inStep := r.apply(u, time.Now())
	if !inStep || len(changes) != 2 || changes[0].after != nil || changes[1].after.ID != "b" {
		t.Errorf("changes are %+v, in step: %t", changes, inStep)
	}
	late, _ := writer.put(entry{Participant: wire.Participant{ID: "c"}, State: Joined})
	if changes, _, inStep := r.apply(late, time.Now()); len(changes) != 0 || !inStep {
		t.Errorf("the node's former life still counts: %+v", changes)
	}
}

// A node that was restarted asks before anybody is on it: those who were on it before have left all the same.
func TestRestartedNodeAsksFirst(t *testing.T) {
	r := newRoster("n0", 1)
	writer := newRoster("n1", 10)
	first, _ := writer.put(entry{Participant: wire.Participant{ID: "a"}, State: Joined})
	r.apply(first, time.Now())
	changes, _, inStep := r.apply(newRoster("n1", 20).standing(), time.Now())
	if !inStep || len(changes) != 1 || changes[0].after != nil {
		t.Errorf("changes are %+v, in step: %t", changes, inStep)
	}
}

func TestNewsKeepsItsOrder(t *testing.T) {
	who := func(id string) wire.Identity { return wire.Identity{ID: id} }
	var b bulletin
	b.add(wire.TypeParticipantJoined, who("a"))
	b.add(wire.TypeParticipantJoined, who("b"))
	b.add(wire.TypeParticipantLeft, who("a"))
	b.add(wire.TypeParticipantJoined, who("a"))
	got := messages(b.items)
	want := []wire.ParticipantEvent{
		{Participant: who("a"), Participants: []wire.Identity{who("a"), who("b")}},
		{Participant: who("a")},
		{Participant: who("a")},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("messages are %+v", got)
	}
	if !b.mentions("b") || b.mentions("c") {
		t.Error("the bulletin does not know whom it mentions")
	}
}

// FuzzUpdate applies whatever another node may have sent: it must not break the roster.
func FuzzUpdate(f *testing.F) {
	f.Add([]byte(`{"node":"n1","incarnation":1,"version":1,"step":true,"set":{"id":"a","state":"joined","tracks":[{"id":"t"}]}}`))
	f.Add([]byte(`{"node":"n1","incarnation":1,"version":1,"step":true,"gone":"a"}`))
	f.Add([]byte(`{"node":"n1","incarnation":9,"version":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var u update
		if json.Unmarshal(data, &u) != nil {
			return
		}
		r := newRoster("n0", 1)
		r.put(entry{Participant: wire.Participant{ID: "a"}, State: Joined, Since: 5})
		r.apply(u, time.Now())
		for id := range r.view {
			if _, known := r.ownerOf(id); !known {
				t.Errorf("nobody owns %q", id)
			}
		}
	})
}
