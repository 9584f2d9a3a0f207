package signal

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

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
			h.Seat("first")
			wait, err := h.Knock("pt", tc.role, tc.trusted)
			if full := err != nil && node.AsError(err).Kind == node.Full; wait != tc.wait || full != tc.full {
				t.Errorf("Knock = %q, %v", wait, err)
			}
			if wait, err := h.Knock("first", grant.Attendee, false); wait != "" || err != nil {
				t.Errorf("who sits already is told %q, %v", wait, err)
			}
		})
	}
}

func TestHomeLobbyIsBounded(t *testing.T) {
	h := NewHome(grant.Settings{WaitingRoom: true}, 2)
	for i := range 3 {
		_, err := h.Knock(fmt.Sprint(i), grant.Attendee, false)
		if (err != nil) != (i == 2) {
			t.Errorf("number %d is told %v", i, err)
		}
	}
	if err := h.Admit("2"); err == nil {
		t.Error("somebody was admitted who does not wait")
	}
	if err := h.Admit("0"); err != nil {
		t.Error(err)
	}
	if !h.SetSettings(grant.Settings{Revision: 1, MaxParticipants: 1}) {
		t.Error("newer settings are refused")
	}
	if got := h.Reconsider(); len(got) != 0 {
		t.Errorf("a full room let %v in", got)
	}
	h.Leave("0")
	if got := h.Reconsider(); len(got) != 1 || got[0] != "1" {
		t.Errorf("let in: %v", got)
	}
}

func TestHomeNeverExceedsItsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settings := grant.Settings{
			MaxParticipants: rapid.IntRange(1, 4).Draw(t, "max participants"), MaxCameras: rapid.IntRange(1, 3).Draw(t, "max cameras"),
			WaitingRoom: rapid.Bool().Draw(t, "waiting room"),
		}
		h := NewHome(settings, 3)
		id := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"})
		role := rapid.SampledFrom([]grant.Role{grant.Host, grant.Attendee, grant.Viewer})
		t.Repeat(map[string]func(*rapid.T){
			"knock":  func(t *rapid.T) { h.Knock(id.Draw(t, "id"), role.Draw(t, "role"), rapid.Bool().Draw(t, "trusted")) },
			"admit":  func(t *rapid.T) { h.Admit(id.Draw(t, "id")) },
			"leave":  func(t *rapid.T) { h.Leave(id.Draw(t, "id")) },
			"camera": func(t *rapid.T) { h.Camera(id.Draw(t, "id")) },
			"off":    func(t *rapid.T) { h.CameraOff(id.Draw(t, "id")) },
			"lock":   func(t *rapid.T) { h.SetLocked(rapid.Bool().Draw(t, "locked")) },
			"again":  func(*rapid.T) { h.Reconsider() },
			"": func(t *rapid.T) {
				if len(h.seats) > settings.MaxParticipants || len(h.cameras) > settings.MaxCameras || len(h.lobby) > 3 {
					t.Fatalf("%d seats, %d cameras, %d waiting", len(h.seats), len(h.cameras), len(h.lobby))
				}
				for id := range h.lobby {
					if h.seats[id] {
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
			if _, err := h.Knock(id, grant.Attendee, false); err != nil {
				return
			}
			seated.Add(1)
			if granted, _ := h.Camera(id); granted {
				cameras.Add(1)
			}
		})
	}
	wg.Wait()
	if seated.Load() != 10 || cameras.Load() != 5 {
		t.Errorf("%d seats and %d cameras were given", seated.Load(), cameras.Load())
	}
}
