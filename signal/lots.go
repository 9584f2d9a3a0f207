package signal

import (
	"cmp"
	"slices"
	"time"
)

// A lot is a few places that the home of a room hands a node in advance: the node gives them to its own participants at once,
// and tells the home afterwards whom. That is safe because of two rules.
//
// Places: those of a lot are taken in the home's book from the moment that it hands them out. What a node gives away is
// therefore never more than the home has set aside. When the node's word is lost the participant is counted twice, once in
// the lot and once as the roster shows it: too much, never too little.
//
// Time: the node counts a lot's life, lotLife, from before it asked, and the home from when it answered, which is later. The
// home adds promiseFor for a participant who was let in at the last moment to be shown by a roster. So the node stops first
// and whoever it let in is in the roster before the home forgets the lot. Both measure spans with their own clocks, which
// nobody compares: what they show does not matter, only that a second is about a second.
const (
	lotLife   = 30 * time.Second // for a node to give places of a lot away
	lotsShare = 4                // one place in so many of those that are free may be in lots, over all nodes
	lotsANode = 8                // places that one node has in lots, at most
)

// lot is what the home's book has of a lot.
type lot struct {
	node           string
	seats, cameras int // not used, as far as the home has heard
	until          time.Time
}

// lentOut is a lot on its way to the next home.
type lentOut struct {
	Number  uint64        `json:"number"`
	Node    string        `json:"node"`
	Seats   int           `json:"seats,omitempty"`
	Cameras int           `json:"cameras,omitempty"`
	Left    time.Duration `json:"left"` // ns until it is forgotten
}

// allowance is what a verdict hands to the node that asked. It goes with the home's word only: its node is Home.
type allowance struct {
	Home     string   `json:"home"`
	Number   uint64   `json:"number,omitempty"` // of a new lot; 0: there is none
	Seats    int      `json:"seats,omitempty"`
	Cameras  int      `json:"cameras,omitempty"`
	Revision uint64   `json:"revision"`           // of the settings that it goes by
	Extended []uint64 `json:"extended,omitempty"` // lots of the node whose life begins anew
}

// lend hands a node places in advance, and lengthens the life of those lots of the node that are named. It is nothing while
// somebody might have to wait in the lobby, and when little is left.
func (h *Home) lend(node string, named []uint64, now time.Time) (a allowance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.Revision = h.settings.Revision
	if !h.openLocked() {
		return a
	}
	until := now.Add(lotLife + promiseFor)
	all, own := h.lentLocked(""), h.lentLocked(node)
	may := places{spare(h.settings.MaxParticipants, len(h.seats)), spare(h.settings.MaxCameras, len(h.cameras))}
	if all.seats <= may.seats && all.cameras <= may.cameras {
		for _, number := range named {
			if l, is := h.lots[number]; is && l.node == node {
				l.until = until
				h.lots[number] = l
				a.Extended = append(a.Extended, number)
			}
		}
	}
	a.Seats = portion(may.seats, all.seats, own.seats)
	a.Cameras = portion(may.cameras, all.cameras, own.cameras)
	if a.Seats+a.Cameras > 0 {
		h.markLocked(now)
		a.Number = h.lastLot
		h.lots[a.Number] = lot{node: node, seats: a.Seats, cameras: a.Cameras, until: until}
	}
	return a
}

// spare is how many places may be in lots. A limit of 0 is none.
func spare(limit, taken int) int {
	if limit <= 0 {
		return 1 << 20
	}
	return max(0, limit-taken) / lotsShare
}

// portion is what a node gets: half of what may still be lent, for another may come next, and never more than half of all
// that may be.
func portion(may, all, own int) int {
	return max(0, min((may-all+1)/2, (may+1)/2-own, lotsANode-own))
}

// Used notes that a node has used a place of a lot: of a seat's lot, a camera's, or both. Zero is none.
func (h *Home) Used(node string, seat, camera uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l, is := h.lots[seat]; is && l.node == node && l.seats > 0 {
		l.seats--
		h.keepLocked(seat, l)
	}
	if l, is := h.lots[camera]; is && l.node == node && l.cameras > 0 {
		l.cameras--
		h.keepLocked(camera, l)
	}
}

func (h *Home) keepLocked(number uint64, l lot) {
	if h.lots[number] = l; l.seats+l.cameras == 0 {
		delete(h.lots, number)
	}
}

// Mark returns a number that no lot up to now is above, and every later one is.
func (h *Home) Mark(now time.Time) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.markLocked(now)
	return h.lastLot
}

// markLocked draws a number. Numbers grow, also over the lots of an earlier home that are known.
func (h *Home) markLocked(now time.Time) {
	h.lastLot = max(h.lastLot+1, uint64(max(0, now.UnixNano())))
}

// Returned forgets the lots of a node up to a number: it has said that it uses them no more, and whom they were used for.
func (h *Home) Returned(node string, upTo uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for number, l := range h.lots {
		if l.node == node && number <= upTo {
			delete(h.lots, number)
		}
	}
}

// Return forgets those lots of a node that it names.
func (h *Home) Return(node string, named *[]uint64) {
	if named == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, number := range *named {
		if h.lots[number].node == node {
			delete(h.lots, number)
		}
	}
}

// Forfeit forgets all lots of a node, which is gone.
func (h *Home) Forfeit(node string) { h.Returned(node, 1<<64-1) }

// lentOut returns the lots that are out.
func (h *Home) lentOut(now time.Time) (lots []lentOut) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for number, l := range h.lots {
		lots = append(lots, lentOut{number, l.node, l.seats, l.cameras, l.until.Sub(now)})
	}
	slices.SortFunc(lots, func(a, b lentOut) int { return cmp.Compare(a.Number, b.Number) })
	return lots
}

// inherit counts lots that an earlier home has handed out.
func (h *Home) inherit(lots []lentOut, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range lots {
		if l.Seats < 0 || l.Cameras < 0 || l.Seats+l.Cameras > 2*lotsANode || l.Node == "" || l.Number>>63 != 0 {
			continue
		}
		h.lots[l.Number] = lot{l.Node, l.Seats, l.Cameras, now.Add(min(l.Left, lotLife+promiseFor))}
		h.lastLot = max(h.lastLot, l.Number)
	}
}

// places is a number of seats and of places for cameras.
type places struct{ seats, cameras int }

// lent counts the places that are in lots.
func (h *Home) lent() places {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lentLocked("")
}

// lentLocked counts those of one node, or of all.
func (h *Home) lentLocked(node string) (n places) {
	for _, l := range h.lots {
		if node == "" || l.node == node {
			n.seats, n.cameras = n.seats+l.seats, n.cameras+l.cameras
		}
	}
	return n
}

func (h *Home) openLocked() bool { return !h.locked && !h.settings.WaitingRoom }

// open says that nobody has to wait in the lobby, by the settings of a revision.
func (h *Home) open(revision uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.openLocked() && h.settings.Revision == revision
}

// camerasFull says that as many cameras are on as may be, without that of id.
func (h *Home) camerasFull(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, has := h.cameras[id]
	return !has && h.settings.MaxCameras > 0 && len(h.cameras) >= h.settings.MaxCameras
}
