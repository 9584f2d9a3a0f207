package signal

import (
	"maps"
	"slices"
	"sync"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// The reasons to hold somebody in the lobby, as wire.Waiting has them.
const (
	heldByHost = "waiting_room"
	heldByLock = "locked"
)

// Home decides who gets in: max_participants, the lobby, the lock, max_cameras. It is pure book-keeping without time,
// network or sockets. All methods are safe for concurrent use.
//
// Rules: hosts are never held in the lobby; everybody counts against max_participants, hosts too; who sits already is
// never asked to leave because a limit shrank.
type Home struct {
	maxWaiting int

	mu       sync.Mutex
	settings grant.Settings
	locked   bool
	seats    map[string]bool   // who is in
	lobby    map[string]string // who waits, and why
	cameras  map[string]bool   // who publishes a camera, or was just allowed to
}

// NewHome returns the Home of an empty room.
func NewHome(settings grant.Settings, maxWaiting int) *Home {
	return &Home{
		maxWaiting: maxWaiting,
		settings:   settings,
		seats:      map[string]bool{},
		lobby:      map[string]string{},
		cameras:    map[string]bool{},
	}
}

// Knock asks for a seat. It returns the reason to wait in the lobby, or the empty string with the seat taken. Whoever
// sits already keeps the seat. Somebody who was let in before (trusted) is not held again.
func (h *Home) Knock(id string, role grant.Role, trusted bool) (wait string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seats[id] {
		return "", nil
	}
	if reason := h.holdLocked(role); reason != "" && !trusted {
		if _, waits := h.lobby[id]; !waits && len(h.lobby) >= h.maxWaiting {
			return "", fullError("Too many people are waiting already.")
		}
		h.lobby[id] = reason
		return reason, nil
	}
	return "", h.sitLocked(id)
}

// Admit moves somebody from the lobby to a seat.
func (h *Home) Admit(id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, waits := h.lobby[id]; !waits {
		return notFound("Nobody with that id is waiting.")
	}
	return h.sitLocked(id)
}

// Reconsider seats those in the lobby whom no rule holds any longer, as far as there are seats, and returns their ids.
func (h *Home) Reconsider() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holdLocked(grant.Attendee) != "" {
		return nil
	}
	var seated []string
	for _, id := range slices.Sorted(maps.Keys(h.lobby)) {
		if h.sitLocked(id) == nil {
			seated = append(seated, id)
		}
	}
	return seated
}

// Seat notes somebody who was let in elsewhere. It is never refused.
func (h *Home) Seat(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.lobby, id)
	h.seats[id] = true
}

// Leave frees whatever id has: seat, place in the lobby, camera.
func (h *Home) Leave(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.seats, id)
	delete(h.lobby, id)
	delete(h.cameras, id)
}

// Camera takes a camera place for id, and says whether there was one. Fresh is false when id had it already.
func (h *Home) Camera(id string) (granted, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cameras[id] {
		return true, false
	}
	if limit := h.settings.MaxCameras; limit > 0 && len(h.cameras) >= limit {
		return false, false
	}
	h.cameras[id] = true
	return true, true
}

// CameraOn notes a camera that was allowed elsewhere. It is never refused.
func (h *Home) CameraOn(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cameras[id] = true
}

// CameraOff frees the camera place of id.
func (h *Home) CameraOff(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.cameras, id)
}

// SetSettings takes settings over if they are newer than those known, and says whether they were.
func (h *Home) SetSettings(settings grant.Settings) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if settings.Revision <= h.settings.Revision {
		return false
	}
	h.settings = settings
	return true
}

// SetLocked locks or unlocks, and says whether anything changed.
func (h *Home) SetLocked(locked bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed := h.locked != locked
	h.locked = locked
	return changed
}

// Locked says whether newcomers are held because the room is locked.
func (h *Home) Locked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.locked
}

// Settings returns the settings as participants see them.
func (h *Home) Settings() wire.Settings {
	h.mu.Lock()
	defer h.mu.Unlock()
	return wire.Settings{
		MaxParticipants: h.settings.MaxParticipants,
		MaxCameras:      h.settings.MaxCameras,
		WaitingRoom:     h.settings.WaitingRoom,
		Guests:          h.settings.Guests,
		Locked:          h.locked,
	}
}

// Meeting returns the meeting's settings.
func (h *Home) Meeting() grant.Settings {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.settings
}

func (h *Home) holdLocked(role grant.Role) string {
	switch {
	case role == grant.Host:
		return ""
	case h.locked:
		return heldByLock
	case h.settings.WaitingRoom:
		return heldByHost
	}
	return ""
}

func (h *Home) sitLocked(id string) error {
	if limit := h.settings.MaxParticipants; limit > 0 && len(h.seats) >= limit {
		return fullError("The room is full.")
	}
	delete(h.lobby, id)
	h.seats[id] = true
	return nil
}

func fullError(say string) error {
	return &node.Error{Kind: node.Full, Code: wire.CodeRoomFull, Say: say}
}
