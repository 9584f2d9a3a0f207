package node

import (
	"crypto/rand"
	"log/slog"
	mrand "math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/mailbox"
	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/udp"
)

// Peer is one participant's connection: the tracks it publishes and the slots it receives in. It is safe for concurrent
// use; whoever joined it closes it.
type Peer struct {
	// What each packet to it needs comes first, in as few cache lines as may be.
	node      *Node
	number    uint64 // of all that packets leave for
	transport *rtc.Transport
	way       way
	pacer     pacer

	room       *room
	id         string
	canPublish bool
	events     PeerEvents
	tell       mailbox.Mailbox // calls of events
	log        *slog.Logger
	in         *ingress
	slots      atomic.Pointer[[]*slot] // in the order of their m-lines; only ever appended to
	group      uint64                  // below reportGroups: when it gets its sender reports
	repeats    repeats

	// Guarded by the room's mutex.
	auto  bool
	share share

	offering sync.Mutex // held by the one Offer at a time; guards what follows
	answers  uint64     // given so far
	ufrag    string     // the client's ICE credentials of the last offer

	mu        sync.Mutex
	published map[string]*published // by mid
	muted     map[Source]bool
	closed    bool
}

func newPeer(n *Node, cfg PeerConfig) (*Peer, error) {
	p := &Peer{
		node: n, number: n.remotes.Add(1), id: cfg.Participant, canPublish: cfg.CanPublish, events: cfg.Events, log: cfg.Log,
		in: newIngress(n, cfg.Log), group: mrand.Uint64N(reportGroups), auto: true, published: map[string]*published{}, muted: map[Source]bool{},
	}
	p.slots.Store(&[]*slot{})
	p.way.cfg = n.bandwidth
	var err error
	p.transport, err = n.endpoint.NewTransport(p, nil, cfg.Log)
	p.in.transport.Store(p.transport)
	return p, err
}

// Wants implements rtc.Handler.
func (p *Peer) Wants(h *packet.Header, b []byte) bool { return p.in.wants(h, b) }

// RTP implements rtc.Handler.
func (p *Peer) RTP(run []*packet.Packet, out *udp.Batch) { p.in.take(run, out) }

// Connected implements rtc.Handler. Who was cut off for a while needs keyframes, and so does who shows what it sends: what
// was lost meanwhile is too much to be repaired.
func (p *Peer) Connected() {
	p.log.Debug("media connected", "over", p.transport.Over())
	now := p.node.endpoint.Now()
	for _, s := range p.slotList() {
		switch v := s.state(); {
		case v.target == nil:
		case s.kind == Audio:
			s.joinIn(v.target, now)
		case v.current != v.target:
			s.start(v.target, now)
		default:
			v.current.requestKeyframe(now)
		}
	}
	for _, t := range p.publishedVideo() {
		for _, l := range t.layers {
			if len(*l.subs.Load()) > 0 {
				l.requestKeyframe(now)
			}
		}
	}
	p.tell.Post(p.events.Connected)
}

// publishedVideo returns the pictures that the peer sends.
func (p *Peer) publishedVideo() (tracks []*published) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.published {
		if t.Kind == Video {
			tracks = append(tracks, t)
		}
	}
	return tracks
}

// Disconnected implements rtc.Handler.
func (p *Peer) Disconnected(err error) {
	p.log.Debug("media disconnected", "error", err)
	p.tell.Post(func() { p.events.Disconnected(err) })
}

// Subscribe replaces the peer's wish for its slots. Naming a slot that does not exist, or one of the peer's own tracks,
// is Invalid and changes nothing. A track that is not there (any more) leaves its slot empty.
func (p *Peer) Subscribe(sub Subscription) error {
	slots := p.slotList()
	wishes := make(map[string]SlotRequest, len(sub.Slots))
	for _, w := range sub.Slots {
		if err := p.checkWish(w, slots); err != nil {
			return err
		}
		wishes[w.MID] = w
	}
	p.room.mu.Lock()
	p.auto = sub.Auto
	for _, s := range slots {
		s.wish = wishes[s.mid]
	}
	p.room.mu.Unlock()
	p.room.wake(p)
	return nil
}

func (p *Peer) checkWish(w SlotRequest, slots []*slot) error {
	if w.MaxWidth < 0 || w.MaxHeight < 0 {
		return &Error{Kind: Invalid, Code: "invalid_message", Say: "A slot's size must not be negative."}
	}
	for _, t := range p.Tracks() {
		if t.ID == w.TrackID {
			return &Error{Kind: Invalid, Code: "invalid_message", Say: "A slot cannot show your own track."}
		}
	}
	for _, s := range slots {
		if s.mid == w.MID {
			return nil
		}
	}
	return &Error{Kind: Invalid, Code: "invalid_message", Say: "There is no slot with the mid " + w.MID + "."}
}

// SetMuted stops or resumes the forwarding of everything that the peer publishes, or will publish, of a source.
func (p *Peer) SetMuted(source Source, muted bool) {
	p.mu.Lock()
	p.muted[source] = muted
	for _, t := range p.published {
		if t.Source == source {
			t.muted.Store(muted)
		}
	}
	p.mu.Unlock()
	p.room.wakeAll()
}

// Slots returns what the peer's slots carry now, in the order of their m-lines.
func (p *Peer) Slots() []Slot {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return viewsLocked(p.slotList())
}

// Tracks returns what the peer publishes.
func (p *Peer) Tracks() []Track {
	p.mu.Lock()
	defer p.mu.Unlock()
	tracks := make([]Track, 0, len(p.published))
	for _, t := range p.published {
		tracks = append(tracks, t.Track)
	}
	return tracks
}

// Close takes the peer out of its room with everything it publishes. When Close returns nothing is forwarded to it, and from it
// nothing but what had been read before. Closing again does nothing.
func (p *Peer) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	tracks := p.published
	p.published = map[string]*published{}
	p.mu.Unlock()
	for _, t := range tracks {
		p.withdraw(t)
	}
	p.node.leave(p)
	if err := p.transport.Close(); err != nil {
		p.log.Debug("close transport", "error", err)
	}
}

// withdraw ends a track that is no longer in p.published.
func (p *Peer) withdraw(t *published) {
	p.in.forget(t)
	t.gone.Store(true)
	p.room.unpublish(t)
	t.close()
	p.node.turnAway(t, cascade.Ended)
	p.tell.Post(func() { p.events.TrackUnpublished(t.Track) })
}

// refreshLayer implements publisher.
func (p *Peer) refreshLayer(l *layer) { p.in.sendPLI(l.ssrc.Load()) }

func (p *Peer) slotList() []*slot { return *p.slots.Load() }

func (p *Peer) slotBySSRC(ssrc uint32) *slot {
	for _, s := range p.slotList() {
		if s.media.SSRC == ssrc || s.repair.SSRC == ssrc {
			return s
		}
	}
	return nil
}

// newID returns a random identifier of 128 bits with a prefix.
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

func newSSRC() uint32 {
	for {
		if ssrc := mrand.Uint32(); ssrc != 0 && ssrc != reportSSRC {
			return ssrc
		}
	}
}
