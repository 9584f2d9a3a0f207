package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/wire"
)

// gossipDelay is how long gossip takes to notice that a node has died or is cut off; that it is back takes a second.
const gossipDelay = 5 * time.Second

// play is a cluster of real Services on an ether, and people who come, act and go.
type play struct {
	ether *ether
	cast  []*actor
	birth uint64      // incarnations so far
	words []time.Time // when gossip brings news
}

// later lets gossip bring news after a while, when sleep has come there.
func (p *play) later(d time.Duration) { p.words = append(p.words, time.Now().Add(d)) }

// sleep lets time pass.
func (p *play) sleep(d time.Duration) {
	end := time.Now().Add(d)
	for {
		next := end
		for _, at := range p.words {
			if at.Before(next) {
				next = at
			}
		}
		time.Sleep(time.Until(next))
		due := len(p.words)
		p.words = slices.DeleteFunc(p.words, func(at time.Time) bool { return !at.After(next) })
		if len(p.words) < due {
			p.gossipNow()
		}
		if next.Equal(end) {
			return
		}
	}
}

// actor is one node. Its Service is nil while the node is dead.
type actor struct {
	node    placement.Node
	svc     *Service
	port    *port
	gossip  *gossip
	stop    context.CancelFunc
	stopped sync.WaitGroup
	seen    map[*member]map[string]bool // whom a member of this node saw in its snapshot
}

func newPlay(nodes int, seed uint64) *play {
	p := &play{ether: newEther(seed)}
	for i := range nodes {
		p.cast = append(p.cast, &actor{node: clusterNode(i)})
	}
	for _, a := range p.cast {
		p.start(a)
	}
	p.gossipNow()
	return p
}

func (p *play) start(a *actor) {
	p.birth++
	a.node.Incarnation = p.birth
	a.port, a.gossip, a.seen = p.ether.plug(a.node.ID), &gossip{nodes: []placement.Node{a.node}}, map[*member]map[string]bool{}
	svc, err := New(Defaults(), Deps{
		Media: &fakeMedia{peers: map[string]*fakePeer{}}, Speakers: NewSpeakers(), Bus: a.port, Cluster: a.gossip, Locator: lone(a.node.ID), Leases: a.port, Direct: a.port,
		Keys: noKeys{}, Revoked: grant.NewRevocations(nil, silence()), NodeID: a.node.ID, Log: silence(),
	})
	if err != nil {
		panic(err)
	}
	a.svc = svc
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	a.stopped.Go(func() { _ = svc.Run(ctx) })
}

// kill ends a node without a word.
func (p *play) kill(a *actor) {
	p.ether.mu.Lock()
	a.port.dead = true
	delete(p.ether.ports, a.node.ID)
	p.ether.mu.Unlock()
	a.stop()
	a.stopped.Wait()
	a.svc = nil
}

func (p *play) end() {
	for _, a := range p.cast {
		if a.svc != nil {
			p.kill(a)
		}
	}
}

func (p *play) alive() (actors []*actor) {
	return slices.DeleteFunc(slices.Clone(p.cast), func(a *actor) bool { return a.svc == nil })
}

// gossipNow tells every node whom it can reach.
func (p *play) gossipNow() {
	for _, a := range p.alive() {
		var nodes []placement.Node
		for _, b := range p.alive() {
			p.ether.mu.Lock()
			near := p.ether.side[a.node.ID] == p.ether.side[b.node.ID]
			p.ether.mu.Unlock()
			if near {
				nodes = append(nodes, b.node)
			}
		}
		a.gossip.see(nodes...)
	}
}

// join seats somebody, in the place of a socket's session.
func (a *actor) join(meeting, id string) {
	for {
		r := a.svc.open(grant.Claims{MeetingID: meeting})
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			continue
		}
		m := r.members[id]
		if m == nil {
			m = &member{id: id, events: newEventLog(4096)}
			r.members[id] = m
			m.entry.JoinedAt = time.Now().UTC()
		}
		m.stage, m.synced = seated, false
		m.entry.Participant, m.entry.State, m.entry.Since = wire.Participant{ID: id}, Joined, r.newSinceLocked(m)
		r.putLocked(m)
		m.synced, m.upTo = true, r.news.last // as a snapshot does
		m.events.restart()
		a.seen[m] = map[string]bool{}
		for other, e := range r.roster.view {
			if e.seated() {
				a.seen[m][other] = true
			}
		}
		r.mu.Unlock()
		return
	}
}

// with calls f with somebody's room and member, under the room's lock, if they are there.
func (a *actor) with(meeting, id string, f func(r *room, m *member)) {
	r := a.svc.room(meeting)
	if r == nil {
		return
	}
	r.mu.Lock()
	if m := r.members[id]; m != nil {
		f(r, m)
	}
	r.mu.Unlock()
	a.svc.sweep(r)
}

// act is one thing that happens in a play.
type act struct {
	what    string
	node    int
	meeting string
	id      string
	value   int
	then    time.Duration // what passes before the next
}

func actOf(nodes int) *rapid.Generator[act] {
	return rapid.Custom(func(t *rapid.T) act {
		a := act{
			what: rapid.SampledFrom([]string{
				"join", "join", "join", "hand", "hand", "chat", "leave", "loss", "cut", "heal", "kill", "restart", "outage",
			}).Draw(t, "what"),
			node:    rapid.IntRange(0, nodes-1).Draw(t, "node"),
			meeting: rapid.SampledFrom([]string{"mtg_a", "mtg_b"}).Draw(t, "meeting"),
			value:   rapid.IntRange(0, 1<<nodes-1).Draw(t, "value"),
			then:    time.Duration(rapid.SampledFrom([]int{0, 1, 30, 300, 2500, 9000}).Draw(t, "then ms")) * time.Millisecond,
		}
		a.id = a.meeting + rapid.SampledFrom([]string{"_1", "_2", "_3", "_4"}).Draw(t, "id")
		return a
	})
}

// perform does what an act says. Gossip hears of cuts and deaths later, at the time that it takes.
func (p *play) perform(a act) {
	actor := p.cast[a.node]
	switch a.what {
	case "loss":
		p.ether.mu.Lock()
		p.ether.loss = float64(a.value%4) / 4
		p.ether.mu.Unlock()
	case "cut":
		p.ether.mu.Lock()
		for i, other := range p.cast {
			p.ether.side[other.node.ID] = a.value >> i & 1
		}
		p.ether.mu.Unlock()
		p.later(gossipDelay)
	case "heal":
		p.heal()
	case "outage":
		p.ether.mu.Lock()
		p.ether.down = true
		p.ether.mu.Unlock()
	}
	if actor.svc == nil {
		if a.what == "restart" {
			p.start(actor)
			p.gossipNow()
		}
		return
	}
	switch a.what {
	case "join":
		actor.join(a.meeting, a.id)
	case "hand":
		actor.with(a.meeting, a.id, func(r *room, m *member) {
			m.entry.HandRaised = !m.entry.HandRaised
			r.putLocked(m)
		})
	case "chat":
		actor.with(a.meeting, a.id, func(r *room, _ *member) {
			line := wire.Chat{From: a.id, Text: "of " + a.meeting}
			r.tell(r.meeting, r.roster.say(line))
			r.deliverLocked(line)
		})
	case "leave":
		actor.with(a.meeting, a.id, func(r *room, m *member) { r.leaveLocked(m) })
	case "kill":
		p.kill(actor)
		p.later(gossipDelay)
	case "restart":
		p.kill(actor)
		p.start(actor)
		p.gossipNow()
	}
}

// heal mends everything but the dead.
func (p *play) heal() {
	p.ether.mu.Lock()
	clear(p.ether.side)
	clear(p.ether.bus)
	p.ether.loss = 0
	p.ether.mu.Unlock()
	p.ether.restore()
	p.later(time.Second)
}

// differ says where the nodes that have a room see it differently, or wrongly.
func (p *play) differ(meeting string) error {
	truth := map[string]entry{}
	rooms := map[*actor]*room{}
	for _, a := range p.alive() {
		r := a.svc.room(meeting)
		if r == nil {
			continue
		}
		r.mu.Lock()
		if opened := time.Unix(0, r.roster.self.Incarnation); time.Since(opened) > 500*time.Millisecond {
			rooms[a] = r // it has had the time to hear of the others
		}
		for id := range r.members {
			if _, twice := truth[id]; twice {
				r.mu.Unlock()
				return fmt.Errorf("%s is on two nodes", id)
			}
			truth[id] = r.roster.self.Entries[id]
		}
		r.mu.Unlock()
	}
	for a, r := range rooms {
		r.mu.Lock()
		view := map[string]entry{}
		for id, e := range r.roster.view {
			e.JoinedAt = e.JoinedAt.UTC()
			view[id] = e
		}
		r.mu.Unlock()
		if !reflect.DeepEqual(view, truth) {
			return fmt.Errorf("%s sees %v in %s, there are %v", a.node.ID, view, meeting, truth)
		}
	}
	return nil
}

// told checks what the clients of a room were told: joins and leaves make the roster, nothing comes twice, and nothing of
// another meeting.
func (p *play) told(meeting, other string) error {
	for _, a := range p.alive() {
		r := a.svc.room(meeting)
		if r == nil {
			continue
		}
		r.mu.Lock()
		r.flushLocked()
		for id, m := range r.members {
			if err := retell(m, a.seen[m], r.roster.view, other); err != nil {
				r.mu.Unlock()
				return fmt.Errorf("%s on %s: %w", id, a.node.ID, err)
			}
		}
		r.mu.Unlock()
	}
	return nil
}

func retell(m *member, snapshot map[string]bool, view map[string]entry, other string) error {
	events, ok := m.events.after(1)
	if !ok {
		return nil // more than are kept
	}
	there := map[string]bool{}
	for id := range snapshot {
		there[id] = true
	}
	for _, e := range events {
		body, err := json.Marshal(e.body)
		if err != nil {
			return err
		}
		if strings.Contains(string(body), other) {
			return fmt.Errorf("heard of another meeting: %s", body)
		}
		if e.typ != wire.TypeParticipantJoined && e.typ != wire.TypeParticipantLeft {
			continue
		}
		var news participantEvent
		if err := json.Unmarshal(body, &news); err != nil {
			return err
		}
		for _, one := range news.everybody() {
			if there[one.ID] == (e.typ == wire.TypeParticipantJoined) {
				return fmt.Errorf("%s of %s came twice", e.typ, one.ID)
			}
			there[one.ID] = e.typ == wire.TypeParticipantJoined
		}
	}
	for id, is := range there {
		if _, known := view[id]; known != is {
			return fmt.Errorf("was told that %s being there is %v", id, is)
		}
	}
	return nil
}

// homesOf returns the nodes that are a meeting's home.
func (p *play) homesOf(meeting string) (ids []string) {
	for _, a := range p.alive() {
		if r := a.svc.room(meeting); r != nil {
			r.mu.Lock()
			if r.kept {
				ids = append(ids, a.node.ID)
			}
			r.mu.Unlock()
		}
	}
	return ids
}

// runPlay performs acts, heals, and says what is wrong one digest period later.
func runPlay(nodes int, seed uint64, acts []act) error {
	p := newPlay(nodes, seed)
	defer p.end()
	for _, a := range acts {
		p.perform(a)
		p.sleep(a.then)
	}
	cfg := Defaults()
	p.heal()
	wait := cfg.DigestEvery + 500*time.Millisecond // of which the network takes some
	if slices.ContainsFunc(acts, func(a act) bool { return a.what == "kill" || a.what == "restart" }) {
		// Gossip may never have known a node that the bus told of: then only its silence says that it is dead.
		wait = cfg.NodeSilence + cfg.DigestEvery + 500*time.Millisecond
	}
	p.sleep(wait)
	for _, meeting := range []string{"mtg_a", "mtg_b"} {
		other := map[string]string{"mtg_a": "mtg_b", "mtg_b": "mtg_a"}[meeting]
		if err := p.differ(meeting); err != nil {
			return err
		}
		if err := p.told(meeting, other); err != nil {
			return err
		}
	}
	return p.settle(cfg)
}

// settle waits until homes are right: one for a room with people, none for an empty one.
func (p *play) settle(cfg Config) error {
	p.sleep(cfg.Grace + 2*leaseSettles + 4*cfg.DigestEvery + promiseFor + lotLife)
	for _, meeting := range []string{"mtg_a", "mtg_b"} {
		people := 0
		for _, a := range p.alive() {
			if r := a.svc.room(meeting); r != nil {
				r.mu.Lock()
				people = max(people, len(r.roster.view))
				r.mu.Unlock()
			}
		}
		switch homes := p.homesOf(meeting); {
		case people > 0 && len(p.alive()) > 1 && len(homes) != 1:
			return fmt.Errorf("homes of %s are %v", meeting, homes)
		case people == 0 && len(homes) > 0:
			return fmt.Errorf("homes of the empty %s are %v", meeting, homes)
		}
	}
	return nil
}

func TestOneRosterEverywhereAfterAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		nodes := rapid.IntRange(2, 4).Draw(rt, "nodes")
		acts := rapid.SliceOfN(actOf(nodes), 1, 30).Draw(rt, "acts")
		seed := rapid.Uint64().Draw(rt, "seed")
		var err error
		synctest.Test(t, func(*testing.T) { err = runPlay(nodes, seed, acts) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}
