package signal

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
)

func TestHomeKnock(t *testing.T) {
	for _, tc := range []struct {
		name     string
		settings grant.Settings
		locked   bool
		role     grant.Role
		trusted  bool
		wait     string
		full     bool
	}{
		{name: "an open room", role: grant.Attendee},
		{name: "waiting room", settings: grant.Settings{WaitingRoom: true}, role: grant.Attendee, wait: heldByHost},
		{name: "waiting room, viewer", settings: grant.Settings{WaitingRoom: true}, role: grant.Viewer, wait: heldByHost},
		{name: "waiting room, host", settings: grant.Settings{WaitingRoom: true}, role: grant.Host},
		{name: "waiting room, resumed", settings: grant.Settings{WaitingRoom: true}, role: grant.Attendee, trusted: true},
		{name: "locked", locked: true, role: grant.Attendee, wait: heldByLock},
		{name: "locked, host", locked: true, role: grant.Host},
		{name: "full", settings: grant.Settings{MaxParticipants: 1}, role: grant.Attendee, full: true},
		{name: "full, host", settings: grant.Settings{MaxParticipants: 1}, role: grant.Host, full: true},
		{name: "full, waiting room", settings: grant.Settings{MaxParticipants: 1, WaitingRoom: true}, role: grant.Attendee, wait: heldByHost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := NewHome(tc.settings, 10)
			h.SetLocked(tc.locked)
			h.Seat("first", "n1", 1)
			wait, err := h.Knock("pt", tc.role, tc.trusted, promise{})
			if full := err != nil && node.AsError(err).Kind == node.Full; wait != tc.wait || full != tc.full {
				t.Errorf("Knock = %q, %v", wait, err)
			}
			if wait, err := h.Knock("first", grant.Attendee, false, promise{}); wait != "" || err != nil {
				t.Errorf("who sits already is told %q, %v", wait, err)
			}
		})
	}
}

func TestHomeLobbyIsBounded(t *testing.T) {
	h := NewHome(grant.Settings{WaitingRoom: true}, 2)
	for i := range 3 {
		_, err := h.Knock(fmt.Sprint(i), grant.Attendee, false, promise{})
		if (err != nil) != (i == 2) {
			t.Errorf("number %d is told %v", i, err)
		}
	}
	if _, err := h.Knock("0", grant.Attendee, true, promise{}); err != nil {
		t.Error(err)
	}
	if !h.SetSettings(grant.Settings{Revision: 1, MaxParticipants: 1}) {
		t.Error("newer settings are refused")
	}
	if _, err := h.Knock("1", grant.Attendee, false, promise{}); err == nil {
		t.Error("a full room let somebody in")
	}
	h.Leave("0")
	if wait, err := h.Knock("1", grant.Attendee, false, promise{}); wait != "" || err != nil {
		t.Errorf("told %q, %v", wait, err)
	}
	if len(h.lobby) != 0 {
		t.Errorf("in the lobby: %v", h.lobby)
	}
}

func TestFirstSettingsAreTakenOver(t *testing.T) {
	h := NewHome(grant.Settings{}, 2)
	if !h.SetSettings(grant.Settings{MaxParticipants: 3}) || h.SetSettings(grant.Settings{MaxParticipants: 4}) {
		t.Errorf("settings are %+v", h.Meeting())
	}
}

func TestPromises(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	by := func(node string, version uint64) promise { return promise{node, version, start.Add(10 * time.Second)} }
	seat := func(h *Home, id string) { h.Knock(id, grant.Attendee, false, by("n2", 5)) }
	for _, tc := range []struct {
		name string
		do   func(h *Home)
		has  bool
	}{
		{"promised", func(*Home) {}, true},
		{"lapsed", func(h *Home) { h.Expire(start.Add(11 * time.Second)) }, false},
		{"not lapsed yet", func(h *Home) { h.Expire(start.Add(9 * time.Second)) }, true},
		{"released", func(h *Home) { h.Release("a", "n2", false) }, false},
		{"released by another node", func(h *Home) { h.Release("a", "n3", false) }, true},
		{"only the camera released", func(h *Home) { h.Release("a", "n2", true) }, true},
		{"shown", func(h *Home) { h.Seat("a", "n2", 6); h.Expire(start.Add(time.Hour)) }, true},
		{"shown and gone", func(h *Home) { h.Seat("a", "n2", 6); h.Leave("a") }, false},
		{"an older session gone", func(h *Home) { h.Seat("a", "n1", 90); h.Leave("a") }, true},
		{"an older state shown and gone", func(h *Home) { h.Seat("a", "n2", 5); h.Leave("a") }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := NewHome(grant.Settings{MaxParticipants: 1, MaxCameras: 1}, 10)
			seat(h, "a")
			tc.do(h)
			if _, err := h.Knock("b", grant.Attendee, false, promise{}); (err != nil) != tc.has {
				t.Errorf("the next is told %v", err)
			}
		})
		t.Run(tc.name+", camera", func(t *testing.T) {
			h := NewHome(grant.Settings{MaxCameras: 1}, 10)
			h.Camera("a", by("n2", 5))
			switch tc.name {
			case "shown":
				h.CameraOn("a", "n2", 6)
				h.Expire(start.Add(time.Hour))
			case "shown and gone":
				h.CameraOn("a", "n2", 6)
				h.CameraOff("a")
			case "an older session gone":
				h.CameraOn("a", "n1", 90)
				h.CameraOff("a")
			case "an older state shown and gone":
				h.CameraOn("a", "n2", 5)
				h.CameraOff("a")
			case "only the camera released":
				return
			default:
				tc.do(h)
			}
			if granted, _ := h.Camera("b", promise{}); granted == tc.has {
				t.Errorf("the next is told %v", granted)
			}
		})
	}
}

func TestHomeNeverExceedsItsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settings := grant.Settings{
			MaxParticipants: rapid.IntRange(1, 4).Draw(t, "max participants"), MaxCameras: rapid.IntRange(1, 3).Draw(t, "max cameras"),
			WaitingRoom: rapid.Bool().Draw(t, "waiting room"),
		}
		h := NewHome(settings, 3)
		now := time.Unix(1, 0)
		id := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"})
		role := rapid.SampledFrom([]grant.Role{grant.Host, grant.Attendee, grant.Viewer})
		by := func(t *rapid.T) promise {
			return promise{rapid.SampledFrom([]string{"", "n1", "n2"}).Draw(t, "node"), 0, now.Add(10 * time.Second)}
		}
		// What is shown was let in before: rosters never show anybody else, unless the home was out of reach.
		sits := func(t *rapid.T) (string, bool) {
			who := id.Draw(t, "id")
			_, is := h.seats[who]
			return who, is
		}
		t.Repeat(map[string]func(*rapid.T){
			"knock": func(t *rapid.T) {
				h.Knock(id.Draw(t, "id"), role.Draw(t, "role"), rapid.Bool().Draw(t, "trusted"), by(t))
			},
			"shown": func(t *rapid.T) {
				if who, is := sits(t); is {
					h.Seat(who, "n1", 1)
				}
			},
			"release": func(t *rapid.T) { h.Release(id.Draw(t, "id"), "n1", rapid.Bool().Draw(t, "camera")) },
			"later": func(*rapid.T) {
				now = now.Add(6 * time.Second)
				h.Expire(now)
			},
			"leave":  func(t *rapid.T) { h.Leave(id.Draw(t, "id")) },
			"camera": func(t *rapid.T) { h.Camera(id.Draw(t, "id"), by(t)) },
			"off":    func(t *rapid.T) { h.CameraOff(id.Draw(t, "id")) },
			"lock":   func(t *rapid.T) { h.SetLocked(rapid.Bool().Draw(t, "locked")) },
			"": func(t *rapid.T) {
				if len(h.seats) > settings.MaxParticipants || len(h.cameras) > settings.MaxCameras || len(h.lobby) > 3 {
					t.Fatalf("%d seats, %d cameras, %d waiting", len(h.seats), len(h.cameras), len(h.lobby))
				}
				for id := range h.lobby {
					if _, sits := h.seats[id]; sits {
						t.Fatalf("%s sits and waits", id)
					}
				}
			},
		})
	})
}

func TestHundredAtOnceFillExactlyTheSeats(t *testing.T) {
	h := NewHome(grant.Settings{MaxParticipants: 10, MaxCameras: 5}, 10)
	var seated, cameras atomic.Int64
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			id := fmt.Sprint(i)
			if _, err := h.Knock(id, grant.Attendee, false, promise{}); err != nil {
				return
			}
			seated.Add(1)
			if granted, _ := h.Camera(id, promise{}); granted {
				cameras.Add(1)
			}
		})
	}
	wg.Wait()
	if seated.Load() != 10 || cameras.Load() != 5 {
		t.Errorf("%d seats and %d cameras were given", seated.Load(), cameras.Load())
	}
}
