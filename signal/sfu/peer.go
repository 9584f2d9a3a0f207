package sfu

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/mailbox"
	"github.com/parley-sfu/parley/node"
)

// remotePeer is a peer on another node. It implements Peer.
type remotePeer struct {
	remote  *Remote
	id      uint64
	cfg     node.PeerConfig
	tell    mailbox.Mailbox // calls of cfg.Events
	errands mailbox.Mailbox // requests that nobody waits for

	calls chan struct{} // held by the one request at a time

	mu      sync.Mutex
	number  uint64 // of the last request
	born    bool   // the node has it
	over    bool   // closed or lost
	heard   uint64
	pulling bool
	tracks  []node.Track
	muted   map[node.Source]bool
	agreed  []node.Source // what the node was told last of muted
}

// call sends one request of the peer, after those before it.
func (p *remotePeer) call(ctx context.Context, limit time.Duration, q request) (reply, error) {
	select {
	case p.calls <- struct{}{}:
	case <-ctx.Done():
		return reply{}, &node.Error{Kind: node.Moved, Code: "going_away", Say: "The request was given up.", Err: ctx.Err()}
	}
	defer func() { <-p.calls }()
	p.mu.Lock()
	if p.over && q.Op != opClose {
		p.mu.Unlock()
		return reply{}, gone()
	}
	p.number++
	q.Room, q.Participant, q.Peer, q.Number = p.cfg.Room, p.cfg.Participant, p.id, p.number
	q.Muted = mutedList(p.muted)
	p.mu.Unlock()
	got, err := p.remote.ask(ctx, limit, q)
	if err == nil {
		p.mu.Lock()
		p.agreed = q.Muted
		p.mu.Unlock()
	}
	return got, err
}

// Offer implements Peer. Allow is asked here, before the request: for the sources that the offer names, and, when it turns
// out to start others, for these too; then the offer is sent once more, which changes nothing else.
func (p *remotePeer) Offer(ctx context.Context, o node.Offer) (node.Answer, error) {
	asked, allowed := map[node.Source]bool{}, []node.Source{}
	ask := func(source node.Source) (yes bool) {
		if asked[source] {
			return false
		}
		asked[source] = true
		if yes = o.Allow == nil || o.Allow(source); yes {
			allowed = append(allowed, source)
		}
		return yes
	}
	for _, h := range o.Tracks {
		ask(h.Source)
	}
	body := offer{
		CanPublish: p.cfg.CanPublish, SDP: o.SDP, Former: tracksOut(o.Former),
		Tracks: each(o.Tracks, func(h node.TrackHint) hint { return hint(h) }),
	}
	for {
		body.Allowed = slices.Clone(allowed)
		got, err := p.call(ctx, offerTimeout, request{Op: opOffer, Offer: &body})
		if err != nil {
			return node.Answer{}, err
		}
		if got.Answer == nil {
			return node.Answer{}, gone()
		}
		again := false
		for _, source := range got.Answer.Asked {
			again = ask(source) || again
		}
		if !again {
			return p.answered(got.Answer), nil
		}
	}
}

func (p *remotePeer) answered(a *answer) node.Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.born, p.tracks = true, tracksIn(a.Tracks)
	return node.Answer{SDP: a.SDP, Tracks: slices.Clone(p.tracks), Refused: a.Refused}
}

// adopted takes over what the peer has told another signalling node.
func (p *remotePeer) adopted(s *state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.born, p.heard, p.tracks, p.agreed = true, max(p.heard, s.Event), tracksIn(s.Tracks), s.Muted
	for _, source := range s.Muted {
		p.muted[source] = true
	}
}

// Subscribe implements Peer.
func (p *remotePeer) Subscribe(s node.Subscription) error {
	_, err := p.call(context.Background(), callTimeout, request{Op: opSubscribe, Wish: wishOut(s)})
	return err
}

// SetMuted implements Peer. It returns when the node has obeyed, or does not answer: then a comparison makes it obey.
func (p *remotePeer) SetMuted(source node.Source, muted bool) {
	p.mu.Lock()
	p.muted[source] = muted
	known := !p.born || p.over || slices.Equal(p.agreed, mutedList(p.muted)) // the first offer tells
	p.mu.Unlock()
	if !known {
		_, _ = p.call(context.Background(), callTimeout, request{Op: opMute})
	}
}

// Close implements Peer. The node ends the peer as soon as it hears of it.
func (p *remotePeer) Close() {
	if !p.end() {
		return
	}
	p.errands.Post(func() {
		_, err := p.call(context.Background(), callTimeout, request{Op: opClose})
		if errors.Is(err, ErrUnreachable) {
			p.remote.fleet.log.Debug("a peer is not closed yet", "participant_id", p.cfg.Participant, "error", err)
		}
	})
}

// lose ends a peer that is gone.
func (p *remotePeer) lose(err error) {
	if !p.end() {
		return
	}
	p.remote.fleet.losses.Inc()
	if events, ok := p.cfg.Events.(Losable); ok {
		p.tell.Post(func() { events.Lost(err) })
	}
}

func (p *remotePeer) end() (first bool) {
	p.mu.Lock()
	first = !p.over
	p.over = true
	p.mu.Unlock()
	p.remote.forget(p)
	return first
}

func (p *remotePeer) mark() mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return mark{Peer: p.id, New: !p.born, Event: p.heard, Number: p.number, Muted: mutedList(p.muted)}
}

// hear takes an event, or notices that one before it was lost.
func (p *remotePeer) hear(ctx context.Context, e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over || e.Number <= p.heard:
		return
	case e.Number > p.heard+1:
		if !p.pulling {
			p.pulling = true
			p.errands.Post(func() { p.pull(ctx) })
		}
		return
	}
	p.heard = e.Number
	p.tellLocked(e)
}

// tellLocked passes an event on.
func (p *remotePeer) tellLocked(e event) {
	events := p.cfg.Events
	switch e.Kind {
	case eventUnpublished:
		if e.Track == nil {
			return
		}
		t := node.Track(*e.Track)
		p.tracks = slices.DeleteFunc(p.tracks, func(o node.Track) bool { return o.ID == t.ID })
		p.tell.Post(func() { events.TrackUnpublished(t) })
	case eventSlots:
		p.tell.Post(func() { events.SlotsChanged(slotsIn(e.Slots)) })
	case eventLayers:
		p.tell.Post(func() { events.LayersWanted(e.TrackID, e.Layers, e.Spatial) })
	case eventConnected:
		p.tell.Post(events.Connected)
	case eventDisconnected:
		p.tell.Post(func() { events.Disconnected(errors.New(e.Reason)) })
	}
}

// pull asks for the peer's whole state and passes on what is news.
func (p *remotePeer) pull(ctx context.Context) {
	p.remote.fleet.pulls.Inc()
	got, err := p.call(ctx, callTimeout, request{Op: opState})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulling = false
	s := got.State
	if err != nil || s == nil || p.over || s.Event < p.heard {
		return // the next comparison brings it up again
	}
	p.heard = s.Event
	for _, t := range p.tracks {
		if !slices.ContainsFunc(s.Tracks, func(o track) bool { return o.ID == t.ID }) {
			p.tellLocked(event{Kind: eventUnpublished, Track: new(track(t))})
		}
	}
	p.tellLocked(event{Kind: eventSlots, Slots: s.Slots})
	for id, layers := range s.Wanted {
		p.tellLocked(event{Kind: eventLayers, TrackID: id, Layers: layers, Spatial: s.Spatial[id]})
	}
}
