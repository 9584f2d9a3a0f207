package packet

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// meeting feeds Speakers a packet of everybody each 20 ms and asks for the order each 100 ms.
type meeting struct {
	s       Speakers
	now     time.Duration
	changes int
	order   []string
}

// speak lets time pass while people have the levels given; those not named send nothing.
func (m *meeting) speak(d time.Duration, levels map[string]uint8) *meeting {
	for end := m.now + d; m.now < end; m.now += 20 * time.Millisecond {
		for id, level := range levels {
			m.s.Update(id, level, level < 100, int64(m.now))
		}
		if m.now%(100*time.Millisecond) == 0 {
			m.ask()
		}
	}
	return m
}

func (m *meeting) ask() {
	changed, speakers := m.s.Order(int64(m.now))
	if changed {
		m.changes++
	}
	m.order = m.order[:0]
	for _, s := range speakers {
		m.order = append(m.order, s.ID)
	}
}

func TestSpeakersOrder(t *testing.T) {
	type levels = map[string]uint8
	const quiet = 127
	for name, tc := range map[string]struct {
		play    func(m *meeting)
		want    []string
		changes int
	}{
		"silence":       {func(m *meeting) { m.speak(time.Second, levels{"a": quiet, "b": quiet}) }, nil, 0},
		"one speaks":    {func(m *meeting) { m.speak(300*time.Millisecond, levels{"a": 30, "b": quiet}) }, []string{"a"}, 1},
		"a click":       {func(m *meeting) { m.speak(40*time.Millisecond, levels{"a": 20}).speak(time.Second, levels{"a": quiet}) }, nil, 0},
		"noise":         {func(m *meeting) { m.speak(2*time.Second, levels{"a": 70}) }, nil, 0},
		"falls silent":  {func(m *meeting) { m.speak(time.Second, levels{"a": 30}).speak(time.Second, levels{"a": quiet}) }, nil, 2},
		"DTX":           {func(m *meeting) { m.speak(time.Second, levels{"a": 30}).speak(time.Second, nil) }, nil, 2},
		"louder first":  {func(m *meeting) { m.speak(time.Second, levels{"a": 50, "b": 20}) }, []string{"b", "a"}, 2},
		"a short pause": {func(m *meeting) { m.speak(time.Second, levels{"a": 30}).speak(600*time.Millisecond, nil) }, []string{"a"}, 1},
		"typing": {func(m *meeting) {
			for range 10 {
				m.speak(20*time.Millisecond, levels{"a": 30}).speak(180*time.Millisecond, levels{"a": quiet})
			}
		}, nil, 0},
		"as loud does not overtake": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 35}).speak(3*time.Second, levels{"a": 35, "b": 30})
		}, []string{"a", "b"}, 2},
		"clearly louder overtakes": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 45}).speak(3*time.Second, levels{"a": 45, "b": 20})
		}, []string{"b", "a"}, 3},
		"turns taken in short pauses do not flap": {func(m *meeting) {
			for range 10 {
				m.speak(400*time.Millisecond, levels{"a": 30, "b": quiet}).speak(400*time.Millisecond, levels{"a": quiet, "b": 30})
			}
		}, []string{"a", "b"}, 2},
		"one leaves": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 30, "b": 45})
			m.s.Remove("a")
			m.s.Remove("nobody")
			m.ask()
		}, []string{"b"}, 2},
		"comes back": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 30})
			m.s.Remove("a")
			m.speak(time.Second, levels{"a": 30})
		}, []string{"a"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var m meeting
			tc.play(&m)
			if !slices.Equal(m.order, tc.want) || m.changes > tc.changes {
				t.Errorf("order %v after %d changes, want %v after at most %d", m.order, m.changes, tc.want, tc.changes)
			}
		})
	}
}

func TestSpeakersOrderBounds(t *testing.T) {
	var m meeting
	levels := make(map[string]uint8)
	for i := range 12 {
		levels[fmt.Sprintf("p%02d", i)] = uint8(20 + i)
	}
	m.speak(time.Second, levels)
	if len(m.order) != MaxSpeakers {
		t.Errorf("%d speakers", len(m.order))
	}
	_, speakers := m.s.Order(int64(m.now))
	if level := speakers[0].Level; level < 20 || level > 32 {
		t.Errorf("loudest level = %d", level)
	}
}

func TestSpeakersLoudest(t *testing.T) {
	type levels = map[string]uint8
	const quiet = 127
	for name, tc := range map[string]struct {
		play func(m *meeting)
		want []string // of two places
	}{
		"nobody":               {func(*meeting) {}, []string{"", ""}},
		"room for all":         {func(m *meeting) { m.speak(20*time.Millisecond, levels{"a": quiet, "b": quiet}) }, []string{"a", "b"}},
		"no room for the mute": {func(m *meeting) { m.speak(time.Second, levels{"a": 50, "b": quiet, "c": 30}) }, []string{"c", "a"}},
		"the silent give way at once": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 30, "b": quiet})
			m.s.Loudest(2, int64(m.now))
			m.speak(20*time.Millisecond, levels{"c": 40})
		}, []string{"a", "c"}},
		"a pause keeps the place": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 30, "b": 30})
			m.s.Loudest(2, int64(m.now))
			m.speak(600*time.Millisecond, levels{"c": 30, "a": 30})
		}, []string{"a", "b"}},
		"longer silence does not": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 30, "b": 30})
			m.s.Loudest(2, int64(m.now))
			m.speak(800*time.Millisecond, levels{"c": 30, "a": 30})
		}, []string{"a", "c"}},
		"clearly louder": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 30, "b": 50})
			m.s.Loudest(2, int64(m.now))
			m.speak(time.Second, levels{"a": 30, "b": 50, "c": 30})
		}, []string{"a", "c"}},
		"a place made free": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 30, "b": 30, "c": 30})
			m.s.Loudest(2, int64(m.now))
			m.s.Remove("a")
		}, []string{"c", "b"}},
		"and left free": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 30, "b": 30})
			m.s.Loudest(2, int64(m.now))
			m.s.Remove("a")
		}, []string{"", "b"}},
		"fewer places": {func(m *meeting) {
			m.speak(time.Second, levels{"a": 50, "b": 40, "c": 30})
			m.s.Loudest(5, int64(m.now))
		}, []string{"c", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var m meeting
			tc.play(&m)
			if got := m.s.Loudest(2, int64(m.now)); !slices.Equal(got, tc.want) {
				t.Errorf("loudest %v, want %v", got, tc.want)
			}
			if again := m.s.Loudest(2, int64(m.now)); !slices.Equal(again, tc.want) {
				t.Errorf("then %v, want %v", again, tc.want)
			}
		})
	}
}

func TestSpeakersWaiting(t *testing.T) {
	var s Speakers
	if s.Update("a", 127, false, 0) {
		t.Error("silence waits")
	}
	if !s.Update("a", 30, true, 20*ms) {
		t.Error("speech does not wait")
	}
	s.Loudest(1, 20*ms)
	if s.Update("a", 30, true, 40*ms) {
		t.Error("somebody heard waits")
	}
	if !s.Update("b", 30, true, 40*ms) {
		t.Error("the next does not wait")
	}
}
