package signal

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// stagePlay runs a play of three nodes with 80 ms between them, on each of which somebody is in the meeting.
func stagePlay(t *testing.T, act func(t *testing.T, p *play)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(3, 1)
		defer p.end()
		p.ether.delay, p.ether.exact = 40*time.Millisecond, true
		for i, a := range p.cast {
			a.join("mtg_a", fmt.Sprint("mtg_a_", i))
		}
		p.sleep(5 * time.Second)
		if err := p.differ("mtg_a"); err != nil {
			t.Fatal(err)
		}
		act(t, p)
		if err := p.told("mtg_a", "mtg_b"); err != nil {
			t.Error(err)
		}
	})
}

// converges waits until all see one roster, and fails after a limit.
func (p *play) converges(t *testing.T, within time.Duration) {
	t.Helper()
	start := time.Now()
	for p.differ("mtg_a") != nil {
		if time.Since(start) > within {
			t.Fatalf("after %v: %v", within, p.differ("mtg_a"))
		}
		p.sleep(10 * time.Millisecond)
	}
	t.Logf("one roster after %v", time.Since(start))
}

// participantEvent is one that may stand for several.
type participantEvent wire.ParticipantEvent

func (e participantEvent) everybody() []wire.Identity {
	if len(e.Participants) == 0 {
		return []wire.Identity{e.Participant}
	}
	return e.Participants
}

// news returns the joins and leaves that somebody was told of, as "+id" and "-id".
func (a *actor) news(id string) (news string) {
	time.Sleep(2 * burst)
	a.with("mtg_a", id, func(_ *room, m *member) {
		events, _ := m.events.after(1)
		for _, e := range events {
			sign := map[string]string{wire.TypeParticipantJoined: "+", wire.TypeParticipantLeft: "-"}[e.typ]
			body, _ := json.Marshal(e.body)
			var about participantEvent
			if sign == "" || json.Unmarshal(body, &about) != nil {
				continue
			}
			for _, who := range about.everybody() {
				news += sign + strings.TrimPrefix(who.ID, "mtg_a_")
			}
		}
	})
	return news
}

func TestOneRosterTwoSecondsAfterNATSIsBack(t *testing.T) {
	stagePlay(t, func(t *testing.T, p *play) {
		before := p.cast[0].news("mtg_a_0")
		p.ether.mu.Lock()
		p.ether.down = true
		p.ether.mu.Unlock()
		p.sleep(30 * time.Second)
		for _, a := range p.cast {
			a.join("mtg_a", "mtg_a_late"+a.node.ID)
		}
		p.cast[1].with("mtg_a", "mtg_a_1", func(r *room, m *member) { r.leaveLocked(m) })
		p.sleep(29 * time.Second)
		if n := len(p.cast[0].svc.Participants("mtg_a")); n != 4 {
			t.Errorf("n1 knows %d participants while NATS is away: somebody was forgotten", n)
		}
		p.ether.restore()
		p.converges(t, time.Second)
		if got := strings.TrimPrefix(p.cast[0].news("mtg_a_0"), before); len(got) != len("+laten1+laten2+laten3-1") {
			t.Errorf("told %q", got)
		}
	})
}

func TestOneRosterTwoSecondsAfterAPartitionHeals(t *testing.T) {
	stagePlay(t, func(t *testing.T, p *play) {
		p.ether.mu.Lock()
		p.ether.side["n3"] = 1
		p.ether.mu.Unlock()
		p.later(gossipDelay)
		p.sleep(60 * time.Second)
		if here, there := p.cast[0].svc.Participants("mtg_a"), p.cast[2].svc.Participants("mtg_a"); len(here) != 2 || len(there) != 1 {
			t.Errorf("%d on one side, %d on the other", len(here), len(there))
		}
		if homes := p.homesOf("mtg_a"); len(homes) == 0 || len(homes) > 2 {
			t.Errorf("homes are %v", homes)
		}
		p.cast[2].join("mtg_a", "mtg_a_3")
		p.cast[1].join("mtg_a", "mtg_a_4")
		p.heal()
		p.converges(t, 2*time.Second)
		p.sleep(10 * time.Second)
		if homes := p.homesOf("mtg_a"); len(homes) != 1 {
			t.Errorf("homes are %v", homes)
		}
	})
}

// NATS servers may find each other a good deal later than everything else after a partition: people and their tracks are there before.
func TestOneRosterBeforeNATSIsOneAgain(t *testing.T) {
	stagePlay(t, func(t *testing.T, p *play) {
		p.ether.mu.Lock()
		p.ether.side["n3"], p.ether.bus["n3"] = 1, 1
		p.ether.mu.Unlock()
		p.later(gossipDelay)
		p.sleep(60 * time.Second)
		p.cast[2].join("mtg_a", "mtg_a_3")
		p.cast[1].join("mtg_a", "mtg_a_4")
		before := p.cast[0].news("mtg_a_0")
		p.ether.mu.Lock()
		clear(p.ether.side)
		p.ether.mu.Unlock()
		p.gossipNow()
		p.converges(t, 500*time.Millisecond)
		p.cast[2].join("mtg_a", "mtg_a_5")
		p.sleep(2 * time.Second)
		if here := p.cast[0].svc.Participants("mtg_a"); len(here) != 5 {
			t.Errorf("%d are known, want all but the one whose word NATS did not carry", len(here))
		}
		p.heal()
		p.converges(t, time.Second)
		if got := strings.TrimPrefix(p.cast[0].news("mtg_a_0"), before); got != "+2+3+5" && got != "+3+2+5" {
			t.Errorf("told %q", got)
		}
	})
}

// Neither gossip nor a node's own connection to NATS notices a short cut between the NATS servers: the silence does.
func TestOneRosterASecondAfterACutThatNobodyNoticed(t *testing.T) {
	stagePlay(t, func(t *testing.T, p *play) {
		for _, cut := range []time.Duration{4 * time.Second, 4300 * time.Millisecond, 5 * time.Second, 6700 * time.Millisecond} {
			p.ether.mu.Lock()
			p.ether.side["n3"] = 1
			p.ether.mu.Unlock()
			p.sleep(cut / 2)
			p.cast[2].join("mtg_a", "mtg_a_there"+cut.String())
			p.cast[1].join("mtg_a", "mtg_a_here"+cut.String())
			p.sleep(cut / 2)
			p.ether.mu.Lock()
			delete(p.ether.side, "n3")
			p.ether.mu.Unlock()
			p.converges(t, time.Second)
			p.sleep(5 * time.Second)
		}
	})
}

func TestThePeopleOfADeadNodeLeaveOnceUnlessTheyComeBack(t *testing.T) {
	stagePlay(t, func(t *testing.T, p *play) {
		p.cast[2].join("mtg_a", "mtg_a_9")
		p.sleep(time.Second)
		before := p.cast[0].news("mtg_a_0")
		p.kill(p.cast[2])
		p.later(gossipDelay)
		p.sleep(gossipDelay + 2*time.Second)
		p.cast[1].join("mtg_a", "mtg_a_9")
		p.sleep(20 * time.Second)
		if got := strings.TrimPrefix(p.cast[0].news("mtg_a_0"), before); got != "-2" {
			t.Errorf("told %q, want that only 2 left, once", got)
		}
	})
}

func TestNobodyLeavesBecauseGossipIsCut(t *testing.T) {
	stagePlay(t, func(t *testing.T, p *play) {
		before := p.cast[0].news("mtg_a_0")
		p.cast[0].gossip.see(p.cast[0].node, p.cast[1].node)
		p.sleep(30 * time.Second)
		if got := p.cast[0].news("mtg_a_0"); got != before {
			t.Errorf("told %q", strings.TrimPrefix(got, before))
		}
	})
}

func TestANodeThatStartedAnewHasLostItsPeople(t *testing.T) {
	stagePlay(t, func(t *testing.T, p *play) {
		before := p.cast[0].news("mtg_a_0")
		p.kill(p.cast[2])
		p.start(p.cast[2])
		p.gossipNow()
		p.sleep(Defaults().NodeGrace + 100*time.Millisecond)
		if got := strings.TrimPrefix(p.cast[0].news("mtg_a_0"), before); got != "-2" {
			t.Errorf("told %q", got)
		}
	})
}

func TestAResumedSessionWinsOverAClockAhead(t *testing.T) {
	r := newRoom("mtg_1", "n1", grant.Settings{}, Defaults(), func(string) Media { return nil }, func(string, update) {}, silence())
	issued := time.Now().Add(time.Minute) // by a node whose clock is ahead
	m := &member{id: "pt", claims: grant.Claims{IssuedAt: issued}, session: &session{trusted: true}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := r.newSinceLocked(m); since <= issued.UnixNano() {
		t.Errorf("the session is of %v", time.Unix(0, since))
	}
	m.session.trusted = false
	if since := r.newSinceLocked(m); since >= issued.UnixNano() {
		t.Error("a join token makes a session of the future")
	}
}

// A room of 500 on nine nodes at rest: what a node hears of it.
func TestDigestsOfABigRoomAreCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(9, 1)
		defer p.end()
		for i := range 500 {
			p.cast[i%9].join("mtg_a", fmt.Sprintf("mtg_a_%03d", i))
		}
		p.sleep(10 * time.Second)
		bytes := func() int64 {
			p.ether.mu.Lock()
			defer p.ether.mu.Unlock()
			return p.ether.bytes
		}
		before := bytes()
		p.sleep(time.Minute)
		perNode := float64(bytes()-before) / 60 / 9
		t.Logf("%.0f bytes/s for each node", perNode)
		if perNode > 2000 {
			t.Errorf("%.0f bytes/s for each node", perNode)
		}
	})
}
