package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/pion/rtcp"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/packet"
)

// One order of speakers for a whole room needs one who decides: each node hears the others later, and what came first counts.
// So one of the nodes with an open microphone and somebody who listens conducts the room, the one with the least id: it tells the others who
// speaks and whose microphones are heard. Nobody elects it. A node conducts as long as it hears of none with a lesser id that
// does, and the others go by the least that they hear of. As they hear the same themselves and take over what they are
// told, any of them goes on from there when the one conducts no more.
//
// The word goes over links as RTCP: what is late is lost, as the next will say it again.

// stage is who speaks in a room, loudest first, and whose microphones are heard, by track ids. Heard is nil where all are; an
// empty id in it is a free place.
type stage struct {
	Speakers []packet.Speaker
	Heard    []string
}

// word is the stage of a room as one node has it for all.
type word struct {
	Room      string           `json:"room"`
	Conductor string           `json:"by"`
	Number    uint64           `json:"number"` // higher than those before it over the same link
	Over      bool             `json:"over,omitempty"`
	Speakers  []packet.Speaker `json:"speakers,omitempty"`
	Heard     []string         `json:"heard,omitempty"`
}

const (
	wordPacket = 204 // RTCP APP (RFC 3550 section 6.7)
	wordName   = "stag"
	maxWord    = 1100 // bytes
	maxHeard   = 32
	maxName    = 256 // bytes of an id

	// A change is said at once and, since it may be lost, wordTimes times more wordAgain later; and every wordEvery as long as
	// there is something to say. Who has heard nothing for wordFor goes by its own ears. In nanoseconds.
	wordTimes = 2
	wordAgain = 80e6
	wordEvery = 3e9
	wordFor   = 8e9
)

var errWord = errors.New("not a room's stage")

func (w *word) validate() error {
	bad := func(id string) bool { return len(id) > maxName }
	switch {
	case w.Room == "" || w.Conductor == "" || bad(w.Room) || bad(w.Conductor):
		return errWord
	case len(w.Speakers) > packet.MaxSpeakers || len(w.Heard) > maxHeard || slices.ContainsFunc(w.Heard, bad):
		return errWord
	case slices.ContainsFunc(w.Speakers, func(s packet.Speaker) bool { return bad(s.ID) || s.Level > 127 }):
		return errWord
	}
	return nil
}

func (w *word) encode() ([]byte, error) {
	b, err := json.Marshal(w)
	if err == nil {
		b, err = rtcp.ApplicationDefined{SSRC: reportSSRC, Name: wordName, Data: b}.Marshal()
	}
	if err == nil && len(b) > maxWord {
		err = errWord
	}
	if err != nil {
		return nil, fmt.Errorf("encode a room's stage: %w", err)
	}
	return b, nil
}

// isWord reports whether an RTCP packet may be one.
func isWord(b []byte) bool { return len(b) > 1 && b[1] == wordPacket }

func readWord(b []byte) (w word, err error) {
	var app rtcp.ApplicationDefined
	if err = app.Unmarshal(b); err == nil && (app.Name != wordName || len(b) > maxWord) {
		err = errWord
	}
	if err == nil {
		err = json.Unmarshal(app.Data, &w)
	}
	if err == nil {
		err = w.validate()
	}
	if err != nil {
		return word{}, fmt.Errorf("read a room's stage: %w", err)
	}
	return w, nil
}

// heardWord is a word as it came.
type heardWord struct {
	word
	link  *cascade.Link // that it came over; it is worth nothing without it
	relay *relay
	at    int64
	taken bool // by the room's Speakers
}

// worth reports whether the word still stands.
func (w *heardWord) worth(now int64) bool {
	return w != nil && now-w.at < wordFor && w.relay.current() == w.link
}

// conducts returns who conducts a room: of those whose word stands, and of this node where it could, the one with the least id; nil
// is this node, or nobody. The hearing's mutex is held.
func (h *hearing) conducts(self string, able bool, now int64) (w *heardWord) {
	for id, o := range h.words {
		if !o.worth(now) {
			delete(h.words, id)
			continue
		}
		if (!able || id < self) && (w == nil || id < w.Conductor) {
			w = o
		}
	}
	return w
}

// conducting is what this node has said as the one who conducts. The hearing's mutex guards it.
type conducting struct {
	said   stage
	number uint64
	at     int64
	again  int  // how many times more it is to be said
	yes    bool // this node conducts
}

// conduct tells the other nodes that share the room of its stage, where there is something new or time has passed. The hearing's
// mutex is held.
func (r *room) conduct(s stage, now int64) {
	c := &r.hearing.own
	if !c.yes || !s.same(c.said) {
		c.yes, c.again = true, wordTimes+1
	}
	since := now - c.at
	due := c.again > wordTimes || c.again > 0 && since >= wordAgain ||
		since >= wordEvery && (len(s.Speakers) > 0 || s.Heard != nil)
	if !due {
		return
	}
	c.again = max(0, c.again-1)
	c.said = stage{slices.Clone(s.Speakers), slices.Clone(s.Heard)}
	r.say(word{Speakers: s.Speakers, Heard: s.Heard}, now)
}

// cede has this node conduct no more. Over tells the others. The hearing's mutex is held.
func (r *room) cede(over bool, now int64) {
	c := &r.hearing.own
	if c.yes {
		c.yes, c.again = false, wordTimes+1
	}
	if !over {
		c.again = 0
	}
	if c.again > wordTimes || c.again > 0 && now-c.at >= wordAgain {
		c.again--
		r.say(word{Over: true}, now)
	}
}

// same reports whether another stage differs in nothing but levels.
func (s stage) same(o stage) bool {
	id := func(a, b packet.Speaker) bool { return a.ID == b.ID }
	return slices.EqualFunc(s.Speakers, o.Speakers, id) && (s.Heard == nil) == (o.Heard == nil) && slices.Equal(s.Heard, o.Heard)
}

func (r *room) say(w word, now int64) {
	c := &r.hearing.own
	c.number = max(c.number+1, uint64(now/1e6)) // a room that begins anew must not begin below
	c.at = now
	w.Room, w.Conductor, w.Number = r.id, r.node.id, c.number
	b, err := w.encode()
	if err != nil {
		r.node.log.Debug("conduct a room", "room_id", r.id, "error", err)
		return
	}
	for _, to := range r.neighbours() {
		to.sendWord(b)
	}
}

// neighbours are the nodes that something of the room goes to or comes from, and the origins of its tracks.
func (r *room) neighbours() (relays []*relay) {
	origins := map[string]bool{}
	for _, t := range r.carried() {
		if f, remote := t.sender.(*feed); remote {
			origins[f.origin] = true
		}
	}
	for _, o := range r.node.relayList() {
		if origins[o.peer] || o.shares(r) {
			relays = append(relays, o)
		}
	}
	return relays
}

// shares reports whether something of a room goes to the other node or comes from there.
func (r *relay) shares(with *room) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pulls {
		if p.feed.track.room == with {
			return true
		}
	}
	for _, o := range r.outlets {
		if o.track.room == with {
			return true
		}
	}
	return false
}

func (r *relay) sendWord(b []byte) {
	if l := r.current(); l != nil {
		if err := l.Transport().SendRTCP(b); err != nil {
			r.node.log.Debug("tell of a room's stage", "peer_node", r.peer, "error", err)
		}
	}
}

// told takes another node's word of a room, and passes it on to those that are reached through this node.
func (r *relay) told(b []byte) {
	w, err := readWord(b)
	if err != nil {
		r.node.log.Debug("word of a room", "peer_node", r.peer, "error", err)
		return
	}
	with := r.node.roomOf(w.Room)
	link := r.current()
	if with == nil || link == nil || w.Conductor == r.node.id || w.Conductor != r.peer && !r.node.knows(w.Conductor) {
		return
	}
	if w.Conductor == r.peer {
		for _, o := range r.node.relayList() {
			if o != r && o.passesOn(with) {
				o.sendWord(b)
			}
		}
	}
	with.takeWord(&heardWord{word: w, link: link, relay: r, at: r.node.endpoint.Now()})
}

// passesOn reports whether tracks of a room are passed on to the other node, from others.
func (r *relay) passesOn(of *room) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.outlets {
		if o.feed != nil && o.track.room == of {
			return true
		}
	}
	return false
}

func (n *Node) roomOf(id string) *room {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rooms[id]
}

// takeWord notes a word, unless a newer one of the same node has come.
func (r *room) takeWord(w *heardWord) {
	h := &r.hearing
	h.mu.Lock()
	old := h.words[w.Conductor]
	if old.worth(w.at) && old.Number >= w.Number {
		h.mu.Unlock()
		return
	}
	if h.words == nil {
		h.words = map[string]*heardWord{}
	}
	if h.words[w.Conductor] = w; w.Over {
		delete(h.words, w.Conductor)
	}
	h.mu.Unlock()
	r.attend()
}
