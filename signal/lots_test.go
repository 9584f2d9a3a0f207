package signal

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/node/grant"
)

func TestLend(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name     string
		settings grant.Settings
		seated   int
		locked   bool
		want     []places // for n2, n3, n2, n3, … in turn
	}{
		{"no limits", grant.Settings{}, 0, false, []places{{8, 8}, {8, 8}, {0, 0}}},
		{"half of what may be lent", grant.Settings{MaxParticipants: 40, MaxCameras: 25}, 0, false, []places{{5, 3}, {3, 2}, {0, 0}, {1, 1}, {0, 0}}},
		{"no more than eight", grant.Settings{MaxParticipants: 1000, MaxCameras: 8}, 0, false, []places{{8, 1}, {8, 1}, {0, 0}}},
		{"little is left", grant.Settings{MaxParticipants: 16, MaxCameras: 3}, 13, false, []places{{0, 0}}},
		{"less than nothing is left", grant.Settings{MaxParticipants: 10}, 13, false, []places{{0, 8}}},
		{"waiting room", grant.Settings{WaitingRoom: true}, 0, false, []places{{0, 0}}},
		{"locked", grant.Settings{}, 0, true, []places{{0, 0}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := NewHome(tc.settings, 10)
			h.SetLocked(tc.locked)
			for i := range tc.seated {
				h.Seat(fmt.Sprint(i), "n1", 1)
			}
			var last uint64
			for i, want := range tc.want {
				a := h.lend([]string{"n2", "n3"}[i%2], nil, start)
				if got := (places{a.Seats, a.Cameras}); got != want {
					t.Errorf("question %d got %v, want %v", i, got, want)
				}
				if (a.Number != 0) != (want != places{}) || a.Number != 0 && a.Number <= last {
					t.Errorf("lot %d after %d", a.Number, last)
				}
				last = max(last, a.Number)
			}
		})
	}
}

func TestLotsCountAsTaken(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name string
		do   func(h *Home, lot uint64)
		free int // of 8 seats, of which one is lent
	}{
		{"lent", func(*Home, uint64) {}, 7},
		{"used", func(h *Home, lot uint64) { h.Used("n2", lot, 0) }, 8},
		{"used twice", func(h *Home, lot uint64) { h.Used("n2", lot, 0); h.Used("n2", lot, 0) }, 8},
		{"used by another", func(h *Home, lot uint64) { h.Used("n3", lot, 0) }, 7},
		{"lived on", func(h *Home, _ uint64) { h.Expire(start.Add(lotLife + promiseFor)) }, 7},
		{"over", func(h *Home, _ uint64) { h.Expire(start.Add(lotLife + promiseFor + 1)) }, 8},
		{"given a new life", func(h *Home, lot uint64) {
			h.lend("n2", []uint64{lot}, start.Add(lotLife))
			h.Expire(start.Add(lotLife + promiseFor + 1))
		}, 7},
		{"called back", func(h *Home, lot uint64) { h.Returned("n2", lot) }, 8},
		{"an earlier one called back", func(h *Home, lot uint64) { h.Returned("n2", lot-1) }, 7},
		{"given back", func(h *Home, lot uint64) { h.Return("n2", &[]uint64{lot}) }, 8},
		{"given back by another", func(h *Home, lot uint64) { h.Return("n3", &[]uint64{lot}) }, 7},
		{"its node has died", func(h *Home, _ uint64) { h.Forfeit("n2") }, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := NewHome(grant.Settings{MaxParticipants: 8, MaxCameras: 1}, 10)
			first := h.lend("n2", nil, start)
			if first.Seats != 1 || first.Cameras != 0 {
				t.Fatalf("lent: %+v", first)
			}
			tc.do(h, first.Number)
			free := 0
			for ; free <= 8; free++ {
				if _, err := h.Knock(fmt.Sprint(free), grant.Attendee, false, promise{}); err != nil {
					break
				}
			}
			if free != tc.free {
				t.Errorf("%d seats are free, want %d", free, tc.free)
			}
		})
	}
}

func TestPurse(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	home, other := process{"n1", 1}, process{"n2", 1}
	a := allowance{Home: "n1", Number: 7, Seats: 2, Cameras: 1, Revision: 3}
	for _, tc := range []struct {
		name string
		do   func(p *purses)
		home process
		at   time.Duration
		has  bool
	}{
		{"put", func(*purses) {}, home, time.Second, true},
		{"of the home's other life", func(*purses) {}, process{"n1", 2}, time.Second, false},
		{"of another home", func(*purses) {}, other, time.Second, false},
		{"it lives from before it was asked for", func(*purses) {}, home, lotLife - 1, true},
		{"over", func(*purses) {}, home, lotLife, false},
		{"given a new life", func(p *purses) {
			p.put("mtg", home, allowance{Revision: 3, Extended: []uint64{7}}, start.Add(time.Second), start.Add(2*time.Second))
		}, home, lotLife, true},
		{"not by a late answer", func(p *purses) {
			p.put("mtg", home, allowance{Revision: 3, Extended: []uint64{7}}, start.Add(-time.Second), start.Add(2*time.Second))
		}, home, lotLife - 1, true},
		{"called back", func(p *purses) { p.void("mtg", home, 9, start) }, home, time.Second, false},
		{"called back while it was on its way", func(p *purses) { p.void("mtg", home, 9, start); p.put("mtg", home, a, start, start) }, home, time.Second, false},
		{"handed out after that", func(p *purses) { p.void("mtg", home, 6, start); p.put("mtg", home, a, start, start) }, home, time.Second, true},
		{"called back by the next home while it was on its way", func(p *purses) {
			p.void("mtg", other, 1, start)
			p.put("mtg", home, a, start, start.Add(time.Second))
		}, home, 2 * time.Second, false},
		{"the room is closed", func(p *purses) { p.back("mtg") }, home, time.Second, false},
		{"used up", func(p *purses) { p.take("mtg", home, 3, true, true, start) }, home, time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPurses()
			p.put("mtg", home, a, start, start.Add(time.Second/2))
			tc.do(p)
			if _, has := p.take("mtg", tc.home, 3, true, true, start.Add(tc.at)); has != tc.has {
				t.Errorf("there is a place: %v", has)
			}
		})
	}
	p := newPurses()
	p.put("mtg", home, a, start, start)
	if _, has := p.take("mtg", home, 4, true, false, start); has {
		t.Error("settings have changed, and a place was given away")
	}
	p.tidy(start.Add(lotLife))
	if len(p.rooms) != 1 {
		t.Error("it is forgotten while something may still be on its way")
	}
	if p.tidy(start.Add(lotLife + time.Second)); len(p.rooms) != 0 {
		t.Error("it is kept for ever")
	}
}

func TestAskedAheadOnce(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	p := newPurses()
	if !p.begin("mtg", start) || p.begin("mtg", start.Add(time.Hour)) {
		t.Error("not exactly one question is out")
	}
	p.end("mtg")
	if p.begin("mtg", start.Add(lotLife/2-1)) || !p.begin("mtg", start.Add(lotLife/2)) {
		t.Error("the next question is asked too early, or never")
	}
	for i := range purseAsking {
		if p.begin(fmt.Sprint(i), start) != (i < purseAsking-1) {
			t.Errorf("question %d", i)
		}
	}
}

// bazaar is a home, nodes that let people in and messages between them, which arrive in any order or never.
type bazaar struct {
	now    time.Time
	term   int // of the home: it is process{"h", term}
	home   *Home
	shown  map[string]bool // who is in the roster
	nodes  map[string]*stall
	post   []func()
	serial int
	limits grant.Settings
}

// stall is a node of it.
type stall struct {
	purses  *purses
	knows   int // the home's term, as far as the node has heard
	version uint64
	people  map[string]*guest
}

type guest struct {
	camera, seated bool
	version        uint64 // of the node's part when it was let in
}

func (b *bazaar) homeOf(term int) process { return process{"h", uint64(term)} }

func (b *bazaar) promise(node string, version uint64) promise {
	return promise{node, version, b.now.Add(promiseFor)}
}

// join lets somebody in through a node, out of its purse or by a question.
func (b *bazaar) join(node string, camera bool) {
	b.serial++
	id, s := fmt.Sprint("pt", b.serial), b.nodes[node]
	version := s.version
	if used, ok := s.purses.take("mtg", b.homeOf(s.knows), 0, true, camera, b.now); ok {
		s.people[id] = &guest{camera: camera, version: version}
		b.ask(node, func() bool {
			if p := s.people[id]; !b.shown[id] || p == nil {
				b.home.LetIn(id, b.promise(node, version))
				if camera {
					b.home.CameraLetIn(id, b.promise(node, version))
				}
			}
			b.home.Used(node, used.Seat, used.Camera)
			return true
		}, func(bool) {
			if s.people[id] == nil {
				b.post = append(b.post, func() { b.home.Release(id, node, false) })
			}
		})
		return
	}
	granted := false
	b.ask(node, func() bool {
		_, err := b.home.Knock(id, grant.Attendee, false, b.promise(node, version))
		if err == nil && camera {
			granted, _ = b.home.Camera(id, b.promise(node, version))
		}
		return err == nil
	}, func(in bool) {
		if in && b.nodes[node] == s {
			s.people[id] = &guest{camera: granted, version: version}
		}
	})
}

// ask has the home decide, and its answer arrive.
func (b *bazaar) ask(node string, decide func() bool, then func(bool)) {
	s, asked := b.nodes[node], b.now
	named := s.purses.ask("mtg", asked)
	b.post = append(b.post, func() {
		if b.now.Sub(asked) > homeTimeout {
			return
		}
		in, term := decide(), b.term
		a := b.home.lend(node, named, b.now)
		b.post = append(b.post, func() {
			if b.now.Sub(asked) <= homeTimeout {
				s.purses.put("mtg", b.homeOf(term), a, asked, b.now)
				then(in)
			}
		})
	})
}

// show puts somebody into the roster.
func (b *bazaar) show(node, id string) {
	s := b.nodes[node]
	p := s.people[id]
	s.version++
	p.seated, b.shown[id] = true, true
	b.home.Seat(id, node, s.version)
	if p.camera {
		b.home.CameraOn(id, node, s.version)
	}
}

// surrender is what a node tells of whom it has let in when its lots are called back.
func (s *stall) surrender(node string) (seats, cameras []promised) {
	for _, id := range slices.Sorted(maps.Keys(s.people)) {
		if p := s.people[id]; !p.seated {
			seats = append(seats, promised{id, node, s.version})
			if p.camera {
				cameras = append(cameras, promised{id, node, s.version})
			}
		}
	}
	return seats, cameras
}

func (b *bazaar) promised(seats, cameras []promised) {
	for _, p := range seats {
		b.home.LetIn(p.ID, b.promise(p.Node, p.Version))
	}
	for _, p := range cameras {
		b.home.CameraLetIn(p.ID, b.promise(p.Node, p.Version))
	}
}

// recall calls the lots of all nodes back.
func (b *bazaar) recall() {
	upTo, term := b.home.Mark(b.now), b.term
	for node, s := range b.nodes {
		b.post = append(b.post, func() {
			if term != b.term || b.nodes[node] != s {
				return
			}
			s.purses.void("mtg", b.homeOf(term), upTo, b.now)
			seats, cameras := s.surrender(node)
			b.post = append(b.post, func() {
				if term == b.term {
					b.promised(seats, cameras)
					b.home.Returned(node, upTo)
				}
			})
		})
	}
}

// succeed makes another home, which asks all nodes, and the old one if it lives. Then one of the others may be missed.
func (b *bazaar) succeed(dies bool, missed string) {
	old := b.home
	b.term++
	b.home = NewHome(b.limits, 10)
	upTo := b.home.Mark(b.now)
	var lots legacy
	if !dies {
		b.promised(old.promised())
		lots.hear(reply{Lots: old.lentOut(b.now)})
	} else {
		b.now = b.now.Add(leaseSettles) // before that nobody takes over
	}
	for _, node := range slices.Sorted(maps.Keys(b.nodes)) {
		s := b.nodes[node]
		if dies || node != missed {
			lots.hear(reply{Back: s.purses.void("mtg", b.homeOf(b.term), upTo, b.now)})
			b.promised(s.surrender(node))
		}
		for id, p := range s.people {
			if p.seated {
				b.show(node, id)
			}
		}
	}
	b.home.inherit(lots.left("h"), b.now)
}

// pass lets time pass. Who was let in is shown by then.
func (b *bazaar) pass(d time.Duration) {
	for node, s := range b.nodes {
		for id, p := range s.people {
			if !p.seated {
				b.show(node, id)
			}
		}
	}
	b.now = b.now.Add(d)
	b.home.Expire(b.now)
}

func (b *bazaar) inside() (n places) {
	for _, s := range b.nodes {
		for _, p := range s.people {
			if n.seats++; p.camera {
				n.cameras++
			}
		}
	}
	return n
}

// somebody draws one of those who are in. It is false when there is nobody.
func (b *bazaar) somebody(t *rapid.T, seated bool) (node, id string, ok bool) {
	var all [][2]string
	for node, s := range b.nodes {
		for id, p := range s.people {
			if p.seated == seated {
				all = append(all, [2]string{node, id})
			}
		}
	}
	if len(all) == 0 {
		return "", "", false
	}
	slices.SortFunc(all, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	one := rapid.SampledFrom(all).Draw(t, "who")
	return one[0], one[1], true
}

// mail draws a message that is on its way, and takes it away.
func (b *bazaar) mail(t *rapid.T) func() {
	if len(b.post) == 0 {
		return func() {}
	}
	i := rapid.IntRange(0, len(b.post)-1).Draw(t, "message")
	f := b.post[i]
	b.post = slices.Delete(b.post, i, i+1)
	return f
}

// start makes a node that knows nobody.
func (b *bazaar) start(node string) {
	b.nodes[node] = &stall{purses: newPurses(), people: map[string]*guest{}, knows: b.term, version: uint64(b.serial) << 20}
}

// step lets something happen.
func (b *bazaar) step(t *rapid.T, node *rapid.Generator[string]) {
	name := node.Draw(t, "node")
	s := b.nodes[name]
	switch dice := rapid.IntRange(0, 99).Draw(t, "what"); {
	case dice < 25:
		for range rapid.IntRange(1, 6).Draw(t, "people") {
			b.join(name, rapid.Bool().Draw(t, "camera"))
		}
	case dice < 66:
		for range rapid.IntRange(1, 20).Draw(t, "messages") {
			b.mail(t)()
		}
	case dice < 69:
		b.mail(t) // is lost
	case dice < 75:
		if node, id, ok := b.somebody(t, false); ok {
			b.show(node, id)
		}
	case dice < 79:
		if node, id, ok := b.somebody(t, true); ok {
			b.goes(node, id)
			b.home.Leave(id)
		}
	case dice < 81:
		if node, id, ok := b.somebody(t, false); ok {
			b.goes(node, id)
			b.post = append(b.post, func() { b.home.Release(id, node, false) })
		}
	case dice < 85:
		b.recall()
	case dice < 87 && len(s.people) == 0: // it closes the room
		_, named := s.purses.back("mtg")
		b.post = append(b.post, func() { b.home.Return(name, &named) })
	case dice < 88: // it dies
		for id, p := range s.people {
			if p.seated {
				b.home.Leave(id)
			}
		}
		b.home.Forfeit(name)
		b.start(name)
	case dice < 91:
		b.succeed(rapid.Bool().Draw(t, "dies"), node.Draw(t, "missed"))
	case dice < 95:
		s.knows = b.term
	case dice < 98:
		b.now = b.now.Add(300 * time.Millisecond)
	default:
		b.pass(rapid.SampledFrom([]time.Duration{3, 14, 29, 31, 44}).Draw(t, "s") * time.Second)
	}
}

func (b *bazaar) goes(node, id string) {
	delete(b.nodes[node].people, id)
	delete(b.shown, id)
	b.nodes[node].version++
}

// Whatever order messages come in, whichever are lost, whoever dies or takes over: nobody is let in beyond the limits, and
// when all has settled every place can be filled.
func TestLotsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &bazaar{now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), shown: map[string]bool{}, nodes: map[string]*stall{}}
		b.limits = grant.Settings{MaxParticipants: rapid.SampledFrom([]int{3, 8, 20, 40, 64}).Draw(t, "seats"), MaxCameras: rapid.SampledFrom([]int{2, 8, 16, 40}).Draw(t, "cameras")}
		b.home = NewHome(b.limits, 10)
		names := []string{"n1", "n2", "n3"}
		for _, node := range names {
			b.start(node)
		}
		node := rapid.SampledFrom(names)
		for range 150 {
			b.step(t, node)
			if n := b.inside(); n.seats > b.limits.MaxParticipants || n.cameras > b.limits.MaxCameras {
				t.Fatalf("%+v are inside, limits are %d and %d", n, b.limits.MaxParticipants, b.limits.MaxCameras)
			}
		}
		b.pass(time.Minute)
		for range b.limits.MaxParticipants + b.limits.MaxCameras {
			b.serial++
			_, _ = b.home.Knock(fmt.Sprint("late", b.serial), grant.Attendee, false, promise{})
			b.home.Camera(fmt.Sprint("late", b.serial), promise{})
		}
		if got := (places{len(b.home.seats), len(b.home.cameras)}); got != (places{b.limits.MaxParticipants, b.limits.MaxCameras}) {
			t.Fatalf("%+v were filled, limits are %d and %d", got, b.limits.MaxParticipants, b.limits.MaxCameras)
		}
	})
}
