package signal

import (
	"sync"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// The reasons to hold somebody in the lobby, as wire.Waiting has them.
const (
	heldByHost = "waiting_room"
	heldByLock = "locked"
)

// Home decides who gets in: max_participants, the lobby, the lock, max_cameras. It is pure book-keeping without clock,
// network or sockets. Every node keeps the book of a room that it has, from the roster; the book of the room's home is the
// one that is asked. All methods are safe for concurrent use.
//
// Rules: hosts are never held in the lobby; everybody counts against max_participants, hosts too; who sits already is
// never asked to leave because a limit shrank.
type Home struct {
	maxWaiting int

	mu       sync.Mutex
	settings grant.Settings
	known    bool // the settings are those of the meeting
	locked   bool
	seats    map[string]place // who is in
	lobby    map[string]place // who waits
	cameras  map[string]place // who publishes a camera, or was just allowed to
	lots     map[uint64]lot   // places that nodes may give away, by number
	lastLot  uint64
}

// place is a seat, or a place in the lobby or for a camera, that somebody has.
type place struct {
	shown   bool // the roster shows it, or it is a participant's of this node
	promise promise
}

// promise is a place that was given to a participant of another node, whose roster does not show it yet.
type promise struct {
	node    string    // empty: no promise
	version uint64    // of that node's part when it asked: only a later one can show the place
	until   time.Time // then it is forgotten
}

// NewHome returns the Home of an empty room. Settings of revision 0 are none: the first that come are taken over.
func NewHome(settings grant.Settings, maxWaiting int) *Home {
	return &Home{
		maxWaiting: maxWaiting,
		settings:   settings,
		known:      settings != grant.Settings{},
		seats:      map[string]place{},
		lobby:      map[string]place{},
		cameras:    map[string]place{},
		lots:       map[uint64]lot{},
	}
}

// Knock asks for a seat. It returns the reason to wait in the lobby, or the empty string with the seat taken. Whoever
// sits already keeps the seat. Somebody who was let in before, or is now by a host (trusted), is not held. The place of a
// participant of another node is promised; the empty promise is for those of this node.
func (h *Home) Knock(id string, role grant.Role, trusted bool, p promise) (wait string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, sits := h.seats[id]
	if reason := h.holdLocked(role); reason != "" && !trusted && !sits {
		if _, waits := h.lobby[id]; !waits && len(h.lobby) >= h.maxWaiting {
			return "", fullError("Too many people are waiting already.")
		}
		give(h.lobby, id, p)
		return reason, nil
	}
	if limit := h.settings.MaxParticipants; !sits && limit > 0 && len(h.seats)+h.lentLocked("").seats >= limit {
		return "", fullError("The room is full.")
	}
	delete(h.lobby, id)
	give(h.seats, id, p)
	return "", nil
}

// LetIn notes the seat of somebody whom its node has let in. It is never refused.
func (h *Home) LetIn(id string, p promise) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.lobby, id)
	give(h.seats, id, p)
}

// give gives somebody a place, at once or by a promise.
func give(places map[string]place, id string, p promise) {
	now := places[id]
	if p.node == "" {
		now.shown = true
	} else {
		now.promise = p
	}
	places[id] = now
}

// show notes that a node's part of the roster, at a version, shows who has a place. It keeps the promise.
func show(places map[string]place, id, node string, version uint64) {
	now := places[id]
	now.shown = true
	if now.promise.node == node && version > now.promise.version {
		now.promise = promise{}
	}
	places[id] = now
}

// hide notes that no roster shows it any more. What is promised stays.
func hide(places map[string]place, id string) {
	now, has := places[id]
	now.shown = false
	switch {
	case !has:
	case now.promise.node == "":
		delete(places, id)
	default:
		places[id] = now
	}
}

// Seat notes somebody who was let in, as a node's part of the roster shows it. It is never refused.
func (h *Home) Seat(id, node string, version uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.lobby, id)
	show(h.seats, id, node, version)
}

// Waits notes somebody in the lobby, as a node's part of the roster shows it.
func (h *Home) Waits(id, node string, version uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, sits := h.seats[id]; sits {
		return // let in, and not yet shown
	}
	show(h.lobby, id, node, version)
}

// Leave frees whatever id has and no promise holds: seat, place in the lobby, camera.
func (h *Home) Leave(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, places := range []map[string]place{h.seats, h.lobby, h.cameras} {
		hide(places, id)
	}
}

// Camera takes a camera place for id, and says whether there was one. Fresh is false when id had it already. The promise
// is as in Knock.
func (h *Home) Camera(id string, p promise) (granted, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, has := h.cameras[id]
	if limit := h.settings.MaxCameras; !has && limit > 0 && len(h.cameras)+h.lentLocked("").cameras >= limit {
		return false, false
	}
	give(h.cameras, id, p)
	return true, !has
}

// CameraLetIn notes the camera place that a node has given somebody. It is never refused.
func (h *Home) CameraLetIn(id string, p promise) {
	h.mu.Lock()
	defer h.mu.Unlock()
	give(h.cameras, id, p)
}

// CameraOn notes a camera that a node's part of the roster shows. It is never refused.
func (h *Home) CameraOn(id, node string, version uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	show(h.cameras, id, node, version)
}

// CameraOff frees the camera place of id, unless a promise holds it.
func (h *Home) CameraOff(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hide(h.cameras, id)
}

// promising says whether anything is promised, and not shown yet, or lent.
func (h *Home) promising() bool {
	seats, cameras := h.promised()
	return len(seats)+len(cameras) > 0 || h.lent() != places{}
}

// HasCamera says whether id has a camera place.
func (h *Home) HasCamera(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, has := h.cameras[id]
	return has
}

// promised returns the seats and camera places that are promised, and not shown yet.
func (h *Home) promised() (seats, cameras []promised) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return unkept(h.seats), unkept(h.cameras)
}

func unkept(places map[string]place) (all []promised) {
	for id, now := range places {
		if p := now.promise; p.node != "" {
			all = append(all, promised{ID: id, Node: p.node, Version: p.version})
		}
	}
	return all
}

// Release takes back what was promised to id on a node: it did not come of it.
func (h *Home) Release(id, node string, camera bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked(func(who string, p promise) bool { return who == id && p.node == node }, camera)
}

// Expire forgets the promises and the lots that are over. It says whether anybody has a seat, or a
// promise of one, or may be given one by a node.
func (h *Home) Expire(now time.Time) (inUse bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked(func(_ string, p promise) bool { return now.After(p.until) }, false)
	for number, l := range h.lots {
		if now.After(l.until) {
			delete(h.lots, number)
		}
	}
	return len(h.seats) > 0 || len(h.lobby) > 0 || len(h.lots) > 0
}

func (h *Home) releaseLocked(which func(id string, p promise) bool, onlyCamera bool) {
	all := []map[string]place{h.cameras, h.seats, h.lobby}
	if onlyCamera {
		all = all[:1]
	}
	for _, places := range all {
		for id, now := range places {
			if now.promise.node == "" || !which(id, now.promise) {
				continue
			}
			now.promise = promise{}
			places[id] = now
			if !now.shown {
				delete(places, id)
			}
		}
	}
}

// SetSettings takes settings over if they are newer than those known, and says whether they were.
func (h *Home) SetSettings(settings grant.Settings) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known && settings.Revision <= h.settings.Revision || settings == (grant.Settings{}) {
		return false
	}
	h.settings, h.known = settings, true
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

func fullError(say string) error {
	return &node.Error{Kind: node.Full, Code: wire.CodeRoomFull, Say: say}
}
