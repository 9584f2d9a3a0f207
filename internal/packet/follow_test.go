package packet

import (
	"slices"
	"testing"
	"time"
)

// TestFollow: who has followed another's order and places goes on with them, as long as nobody has a reason to change.
func TestFollow(t *testing.T) {
	type levels = map[string]uint8
	m := &meeting{}
	m.speak(time.Second, levels{"a": 30, "b": 35, "c": 30})
	m.s.Loudest(2, int64(m.now))
	m.s.Follow([]Speaker{{"b", 35}, {"c", 30}, {"b", 1}, {"a", 30}}, []string{"c", "", "c"}, int64(m.now))
	if got := m.s.Loudest(3, int64(m.now)); !slices.Equal(got, []string{"c", "a", "b"}) {
		t.Errorf("places %v", got)
	}
	m.speak(2*time.Second, levels{"a": 30, "b": 35, "c": 30})
	if want := []string{"b", "c", "a"}; !slices.Equal(m.order, want) {
		t.Errorf("order %v, want %v", m.order, want)
	}
	m.speak(time.Second, levels{"a": 30, "c": 30})
	if want := []string{"c", "a"}; !slices.Equal(m.order, want) {
		t.Errorf("order %v after one fell silent, want %v", m.order, want)
	}
	m.s.Follow([]Speaker{{"far", 20}}, nil, int64(m.now))
	m.ask()
	if want := []string{"far", "a", "c"}; !slices.Equal(m.order, want) {
		t.Errorf("order %v with somebody who is not heard here, want %v", m.order, want)
	}
	m.speak(time.Second, levels{"a": 30, "c": 30})
	if want := []string{"a", "c"}; !slices.Equal(m.order, want) {
		t.Errorf("order %v a second later, want %v", m.order, want)
	}
}

func TestBar(t *testing.T) {
	type levels = map[string]uint8
	for name, tc := range map[string]struct {
		levels levels
		min    uint8
		max    uint8
	}{
		"a free place":       {levels{"a": 20}, 127, 127},
		"one is silent":      {levels{"a": 20, "b": 127}, 127, 127},
		"two speak":          {levels{"a": 20, "b": 40}, 30, 31},
		"two of four, loud":  {levels{"a": 10, "b": 5, "c": 60, "d": 90}, 0, 1},
		"the loudest of all": {levels{"a": 0, "b": 0}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := &meeting{}
			m.speak(2*time.Second, tc.levels)
			m.s.Loudest(2, int64(m.now))
			if got := m.s.Bar(); got < tc.min || got > tc.max {
				t.Errorf("the bar is %d, want %d to %d", got, tc.min, tc.max)
			}
		})
	}
	if got := new(Speakers).Bar(); got != 127 {
		t.Errorf("without places it is %d", got)
	}
}
